// ESP through the whole path, the port apart: walks of bursts of 64 from parse to the outbox, beside IPsec-MB's bare
// call on the same bytes in the same process.
//
//   esp_bench [--json FILE] [--runs N] [--only path|many|workers|installs]
//
// Sizes are Ethernet frames without FCS, before sealing or after opening. Cycles are TSC's; a figure is the median over
// the walks of a run, and then over the runs.
#include "perf/esp_cases.hpp"
#include "perf/esp_driver.hpp"
#include "tests/dataplane/support/eal.hpp"

using namespace sekisho;
using namespace sekisho::perf;

int main(int count, char** words) {
    const Options options = options_of(count, words, 3, "path|many|workers|installs");
    const Eal eal("sk-esp-bench", Eal::Pages::huge_if_free);
    if (!eal.why_not().empty()) {
        std::fprintf(stderr, "DPDK does not start: %s\n", eal.why_not().c_str());
        return 1;
    }
    fmt::print("{}; bursts of {}, in {} pages; medians of {} runs; TSC cycles a packet, port apart\n\n",
               must(crypto::make_engine(crypto::fastest_engine()))->description(), kFrames,
               eal.has_huge_pages() ? "huge" : "small", options.runs);
    Report report("esp");
    if (options.wants("path")) whole_path(report, options);
    if (options.wants("many")) many_tunnels(report, options);
    if (options.wants("workers")) two_workers(report, options);
    if (options.wants("installs")) installs(report, options);
    return written(report, options);
}
