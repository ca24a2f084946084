// The peers that lpm/ is measured against, in the same process: DPDK's rte_fib, rte_fib6, rte_lpm and rte_lpm6.
//
// Each is given the same routes and its best lookup: AVX-512 where the processor has it. Rows of 24 bits at most.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "perf/lpm_data.hpp"
#include "perf/measure.hpp"

namespace sekisho::perf {

// One filled peer with its lookups as subjects over a stream that must outlive it.
template <class Address>
class Peers {
  public:
    // What the smallest of them takes whatever it holds: 2^24 slots of 2 bytes.
    static constexpr double kLeastMebibytes = 32;

    explicit Peers(const Routes<Address>& routes);
    ~Peers();
    Peers(const Peers&) = delete;
    Peers& operator=(const Peers&) = delete;

    // Each lookup that works here, over the stream; what it finds goes to a buffer of its own.
    std::vector<Subject> subjects(const Stream<Address>& stream);
    // The rows that the first subject found for the first `count` of the stream, kNoRow where it has none.
    std::vector<lpm::Row> rows(const Stream<Address>& stream, std::size_t count);

    double add_cycles() const noexcept { return add_cycles_; }  // of the first peer, an add

  private:
    struct Members;
    std::unique_ptr<Members> members_;
    double add_cycles_ = 0;
};

}  // namespace sekisho::perf
