// Ports that are a server's for ever: what is sent to `outside` goes to `inside`, and what comes from there has
// `outside` as its source.
//
// Made once, with a generation of the policy, and never changed: any thread may look. Looked at for packets to a pool
// that are of no session, and when a session is opened.
#pragma once

#include <cstddef>
#include <vector>

#include "nat/endpoint.hpp"
#include "net/expected.hpp"

namespace sekisho::nat {

struct StaticMap {
    PortProtocol protocol = PortProtocol::tcp;
    Endpoint outside;         // in hub space
    std::uint16_t space = 0;  // whose `inside` is
    Endpoint inside;
};

class StaticMaps {
  public:
    StaticMaps() = default;
    // Refuses maps that contradict one another, or have port 0.
    static Expected<StaticMaps> make(std::vector<StaticMap> maps);

    // nullptr: there is none.
    const StaticMap* by_outside(const Endpoint& outside, PortProtocol protocol) const noexcept {
        return find(outsides_, 0, outside, protocol, &StaticMap::outside);
    }
    const StaticMap* by_inside(std::uint16_t space, const Endpoint& inside, PortProtocol protocol) const noexcept {
        return find(insides_, space, inside, protocol, &StaticMap::inside);
    }
    const std::vector<StaticMap>& all() const noexcept { return maps_; }

  private:
    // Places by hash, open; 0: nothing, else a map's number and one.
    using Index = std::vector<std::uint32_t>;

    const StaticMap* find(const Index& index, std::uint16_t space, const Endpoint& endpoint, PortProtocol protocol,
                          Endpoint StaticMap::*side) const noexcept;
    bool add(Index& index, std::uint32_t number, std::uint16_t space, Endpoint StaticMap::*side);

    std::vector<StaticMap> maps_;
    Index outsides_, insides_;
};

}  // namespace sekisho::nat
