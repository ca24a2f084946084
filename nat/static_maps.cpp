// Two indices over one list.
#include "nat/static_maps.hpp"

#include <bit>
#include <string>

namespace sekisho::nat {

namespace {

std::size_t hash_of(std::uint16_t space, const Endpoint& endpoint, PortProtocol protocol) noexcept {
    std::uint64_t word = std::uint64_t{endpoint.address.value()} << 32 | std::uint64_t{endpoint.port} << 16 | space;
    word = (word ^ static_cast<std::uint64_t>(protocol)) * 0x9e37'79b9'7f4a'7c15ULL;
    return static_cast<std::size_t>(word >> 32);
}
// Of an outside endpoint the space does not matter: there is one hub space.
std::uint16_t space_of(const StaticMap& map, const Endpoint StaticMap::*side) noexcept {
    return side == &StaticMap::outside ? std::uint16_t{0} : map.space;
}

}  // namespace

Expected<StaticMaps> StaticMaps::make(std::vector<StaticMap> maps) {
    StaticMaps made;
    if (maps.empty()) return made;
    made.maps_ = std::move(maps);
    const std::size_t places = std::bit_ceil(made.maps_.size() * 2);
    made.outsides_.resize(places);
    made.insides_.resize(places);
    for (std::uint32_t number = 0; number < made.maps_.size(); ++number) {
        const StaticMap& map = made.maps_[number];
        const auto name = [](const Endpoint& of) { return of.address.text() + " port " + std::to_string(of.port); };
        if (map.outside.port == 0 || map.inside.port == 0)
            return Error{ErrorCode::invalid, "static map " + name(map.outside) + ": port 0"};
        if (!made.add(made.outsides_, number, 0, &StaticMap::outside))
            return Error{ErrorCode::exists, "static map " + name(map.outside) + " stands twice"};
        if (!made.add(made.insides_, number, map.space, &StaticMap::inside))
            return Error{ErrorCode::exists,
                         "static map " + name(map.outside) + ": " + name(map.inside) + " has another one"};
    }
    return made;
}

bool StaticMaps::add(Index& index, std::uint32_t number, std::uint16_t space, Endpoint StaticMap::*side) {
    const StaticMap& map = maps_[number];
    if (find(index, space, map.*side, map.protocol, side) != nullptr) return false;
    std::size_t place = hash_of(space, map.*side, map.protocol) & (index.size() - 1);
    while (index[place] != 0) place = (place + 1) & (index.size() - 1);
    index[place] = number + 1;
    return true;
}

const StaticMap* StaticMaps::find(const Index& index, std::uint16_t space, const Endpoint& endpoint,
                                  PortProtocol protocol, Endpoint StaticMap::*side) const noexcept {
    if (index.empty()) return nullptr;
    for (std::size_t place = hash_of(space, endpoint, protocol);; ++place) {
        const std::uint32_t number = index[place & (index.size() - 1)];
        if (number == 0) return nullptr;
        const StaticMap& map = maps_[number - 1];
        if (map.protocol == protocol && map.*side == endpoint && space_of(map, side) == space) return &map;
    }
}

}  // namespace sekisho::nat
