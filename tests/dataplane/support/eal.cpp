// Starting and ending DPDK, with the hub's own code for both.
#include "tests/dataplane/support/eal.hpp"

#include <cstring>
#include <mutex>
#include <unistd.h>
#include <vector>

#include "dataplane/engine.hpp"
#include "dataplane/environment.hpp"

namespace sekisho::test {
namespace {

constexpr unsigned kMegabytes = 128;
constexpr unsigned kFrames = 16383;
constexpr unsigned kMade = 2047;

// Free buffers on a stack under a lock. DPDK's own way, a ring, is right too, but the thread sanitizer cannot see it: a
// buffer that one thread frees and another takes would look like a race.
struct Stack {
    std::mutex lock;
    std::vector<void*> buffers;
};
Stack& stack_of(const rte_mempool* pool) {
    return *static_cast<Stack*>(pool->pool_data);
}
int make_stack(rte_mempool* pool) {
    pool->pool_data = new Stack;
    return 0;
}
void free_stack(rte_mempool* pool) {
    delete &stack_of(pool);
}
int give_back(rte_mempool* pool, void* const* buffers, unsigned count) {
    Stack& stack = stack_of(pool);
    const std::lock_guard lock(stack.lock);
    stack.buffers.insert(stack.buffers.end(), buffers, buffers + count);
    return 0;
}
int take(rte_mempool* pool, void** buffers, unsigned count) {
    Stack& stack = stack_of(pool);
    const std::lock_guard lock(stack.lock);
    if (stack.buffers.size() < count) return -ENOBUFS;
    for (unsigned i = 0; i < count; ++i) {
        buffers[i] = stack.buffers.back();
        stack.buffers.pop_back();
    }
    return 0;
}
unsigned count_free(const rte_mempool* pool) {
    Stack& stack = stack_of(pool);
    const std::lock_guard lock(stack.lock);
    return static_cast<unsigned>(stack.buffers.size());
}

constexpr char kLockedStack[] = "sk_locked_stack";
void register_stack() {
    static rte_mempool_ops ops{};
    std::strncpy(ops.name, kLockedStack, sizeof ops.name - 1);
    ops.alloc = make_stack;
    ops.free = free_stack;
    ops.enqueue = give_back;
    ops.dequeue = take;
    ops.get_count = count_free;
    rte_mempool_register_ops(&ops);
}

// Without a cache, so that what is in use is exact.
rte_mempool* make_pool(const char* name, unsigned count, unsigned room) {
    return rte_pktmbuf_pool_create_by_ops(name, count, 0, dataplane::kPrivateRoom, static_cast<std::uint16_t>(room),
                                          SOCKET_ID_ANY, kLockedStack);
}

rte_mempool* frame_pool = nullptr;
rte_mempool* made_pool = nullptr;

}  // namespace

Eal::Eal(const std::string& program, Pages pages)
    : file_prefix_(program + "-" + std::to_string(getpid())),
      huge_(pages == Pages::huge_if_free && dataplane::free_hugepage_megabytes() >= kMegabytes) {
    dataplane::EngineConfig config;
    config.memory_megabytes = kMegabytes;
    config.file_prefix = file_prefix_;
    if (auto started = dataplane::start_environment(config, huge_); !started) {
        why_not_ = started.error().words;
        return;
    }
    register_stack();
    frame_pool = make_pool("frames", kFrames, RTE_PKTMBUF_HEADROOM);
    made_pool = make_pool("made", kMade, RTE_MBUF_DEFAULT_BUF_SIZE);
    if (frame_pool == nullptr || made_pool == nullptr) why_not_ = "no memory for packet buffers";
}

Eal::~Eal() {
    rte_mempool_free(frame_pool);
    rte_mempool_free(made_pool);
    dataplane::stop_environment(file_prefix_);
}

rte_mempool* Eal::frames() {
    return frame_pool;
}
rte_mempool* Eal::made() {
    return made_pool;
}

}  // namespace sekisho::test
