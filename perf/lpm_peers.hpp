// The peers that lpm/ is measured against, in the same process: DPDK's rte_fib and rte_lpm, rte_fib6 and rte_lpm6.
//
// Each is given the same routes and its best lookup: AVX-512 where the processor has it. Rows of 21 bits at most.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "perf/lpm_data.hpp"
#include "perf/lpm_measure.hpp"

namespace sekisho::perf {

// Routes a second of the thread's processor time.
struct UpdateRates {
    double adds = 0;     // in order, into an empty table
    double changes = 0;  // in the full one: deletes and adds of routes at random, in turn
};

// Filled peers. What cannot hold the routes is said on stderr and left out.
template <class Address>
class Peers {
  public:
    explicit Peers(const Routes<Address>& routes);
    ~Peers();
    Peers(const Peers&) = delete;
    Peers& operator=(const Peers&) = delete;

    // Each lookup that works here, over a stream that must outlive it; a second call ends those of the first. Their
    // MiB are those of the slots that the routes need, without the peer's own list of routes.
    std::vector<Lookups> lookups(const Stream<Address>& stream);

    // What rte_fib or rte_fib6, 4 bytes a row, takes in once it has been created, nobody looking up. `routes` in order;
    // nullopt: it cannot hold them.
    static std::optional<UpdateRates> update_rates(const Routes<Address>& routes, Random& random);

  private:
    struct Members;
    std::unique_ptr<Members> members_;
};

}  // namespace sekisho::perf
