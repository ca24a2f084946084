// DPDK for a test program: started once, without hugepages and without root, and leaving nothing behind.
#pragma once

#include <string>

#include "dataplane/packet.hpp"

namespace sekisho::test {

class Eal {
  public:
    // `program` names the run-time directory. When DPDK does not start, why_not() says why.
    explicit Eal(const std::string& program);
    ~Eal();
    Eal(const Eal&) = delete;
    Eal& operator=(const Eal&) = delete;
    const std::string& why_not() const { return why_not_; }

    // For received frames (whose bytes lie elsewhere), and for what the hub makes itself.
    static rte_mempool* frames();
    static rte_mempool* made();

  private:
    std::string file_prefix_;
    std::string why_not_;
};

}  // namespace sekisho::test
