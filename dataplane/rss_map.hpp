// Which worker a device's RSS brings a packet to, so that a port can be lent whose answers come to its lender.
//
// A Toeplitz hash over IPv4 addresses and ports, and a table of queues by its low bits: as the device itself says of
// its key and its table (Port::rss_map()). It never changes; any thread.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "nat/endpoint.hpp"
#include "net/ids.hpp"

namespace sekisho::dataplane {

class RssMap {
  public:
    static constexpr std::size_t kTuple = 12;        // bytes: addresses, then ports
    static constexpr std::size_t kKey = kTuple + 4;  // bytes of a key that are used; the others mean nothing here

    // `workers`: by the hash's low bits, a power of two of them.
    RssMap(std::span<const std::uint8_t, kKey> key, std::vector<WorkerId> workers);

    std::uint32_t hash(const nat::Endpoint& source, const nat::Endpoint& destination) const noexcept {
        return at(0, source.address.value()) ^ at(4, destination.address.value()) ^
               at(8, std::uint32_t{source.port} << 16 | destination.port);
    }
    // Of TCP and UDP.
    WorkerId worker_of(const nat::Endpoint& source, const nat::Endpoint& destination) const noexcept {
        return workers_[hash(source, destination) & (workers_.size() - 1)];
    }

  private:
    // What four bytes of the tuple add to the hash, which is linear in its bits.
    std::uint32_t at(std::size_t first, std::uint32_t bytes) const noexcept {
        return parts_[first][bytes >> 24] ^ parts_[first + 1][bytes >> 16 & 0xff] ^
               parts_[first + 2][bytes >> 8 & 0xff] ^ parts_[first + 3][bytes & 0xff];
    }

    std::array<std::array<std::uint32_t, 256>, kTuple> parts_;  // by place in the tuple and value
    std::vector<WorkerId> workers_;
};

}  // namespace sekisho::dataplane
