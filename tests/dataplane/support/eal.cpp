// Starting and ending DPDK, with the hub's own code for both.
#include "tests/dataplane/support/eal.hpp"

#include <unistd.h>

#include "dataplane/engine.hpp"
#include "dataplane/environment.hpp"

namespace sekisho::test {
namespace {

constexpr unsigned kMegabytes = 128;
constexpr unsigned kFrames = 16383;
constexpr unsigned kMade = 2047;

// Without a cache, so that what is in use is exact.
rte_mempool* make_pool(const char* name, unsigned count, unsigned room) {
    return rte_pktmbuf_pool_create(name, count, 0, 0, static_cast<std::uint16_t>(room), SOCKET_ID_ANY);
}

rte_mempool* frame_pool = nullptr;
rte_mempool* made_pool = nullptr;

}  // namespace

Eal::Eal(const std::string& program) : file_prefix_(program + "-" + std::to_string(getpid())) {
    dataplane::EngineConfig config;
    config.memory_megabytes = kMegabytes;
    config.file_prefix = file_prefix_;
    if (auto started = dataplane::start_environment(config, false); !started) {
        why_not_ = started.error().words;
        return;
    }
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
