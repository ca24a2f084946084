// jemalloc's options for sekishod: what a commit took and gave back is kept for the next one, which takes as much
// again. A page that comes anew from the kernel costs more than what is written into it, and a small change uses ten
// thousand.
#include <jemalloc/jemalloc.h>

// Large blocks are kept like all others instead of going back at once, and nothing goes back with time.
const char* malloc_conf = "oversize_threshold:0,dirty_decay_ms:-1";
