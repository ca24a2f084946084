// DPDK for a test program or a benchmark: started once, without root, and leaving nothing behind.
#pragma once

#include <string>

#include "dataplane/packet.hpp"

namespace sekisho::test {

class Eal {
  public:
    // Where packet buffers lie: in small pages, or in huge ones as a hub's do, where enough of them are free.
    enum class Pages : bool { small, huge_if_free };

    // `program` names the run-time directory. When DPDK does not start, why_not() says why.
    explicit Eal(const std::string& program, Pages pages = Pages::small);
    ~Eal();
    Eal(const Eal&) = delete;
    Eal& operator=(const Eal&) = delete;
    const std::string& why_not() const { return why_not_; }
    bool has_huge_pages() const { return huge_; }

    // For received frames (whose bytes lie elsewhere), and for what the hub makes itself.
    static rte_mempool* frames();
    static rte_mempool* made();

  private:
    std::string file_prefix_;
    std::string why_not_;
    bool huge_ = false;
};

}  // namespace sekisho::test
