// The test's policy, as tests write it down.
#include "tests/dataplane/support/policy.hpp"

#include <stdexcept>

#include "tests/dataplane/support/must.hpp"

namespace sekisho::test {
namespace {

using dataplane::Nexthop;

template <class Things, class Name>
std::size_t index_of(const Things& things, std::string_view name, const Name& name_of) {
    for (std::size_t i = 0; i < things.size(); ++i)
        if (name_of(things[i]) == name) return i;
    throw std::invalid_argument("the test's policy has no " + std::string(name));
}

}  // namespace

House& House::behind(std::string_view inside) {
    shared.push_back(must(IpPrefix::parse(inside)));
    return *this;
}
Block& Block::by_institution() {
    shares = must(dataplane::PortShares::make({"block", shares->addresses(), true}, shares->workers(), 1));
    return *this;
}
Block& Block::door(nat::PortProtocol protocol, std::string_view outside, std::string_view inside) {
    const auto endpoint = [](std::string_view text) {
        const std::size_t colon = text.find(':');
        return nat::Endpoint{*Ipv4Address::parse(text.substr(0, colon)),
                             static_cast<std::uint16_t>(std::stoi(std::string(text.substr(colon + 1))))};
    };
    statics.push_back({protocol, endpoint(outside), static_cast<std::uint16_t>(vrf + 1), endpoint(inside)});
    return *this;
}
Block& Policy::block(std::string_view vrf, std::string_view addresses, std::size_t workers, std::uint32_t since) {
    Block& block = blocks.emplace_back();
    block.vrf = vrf_index(vrf);
    block.shares =
        must(dataplane::PortShares::make({"block", must(IpPrefix::parse(addresses)).ipv4(), false}, workers, since));
    return block;
}
House& House::map(std::string_view inside, std::string_view hub) {
    maps.emplace_back(must(IpPrefix::parse(inside)), must(IpPrefix::parse(hub)));
    return *this;
}

Way& Way::by(std::string_view attachment, std::string_view neighbour) {
    kind = Nexthop::Kind::gateway;
    line = attachment;
    gateway = neighbour;
    return *this;
}
Way& Way::or_by(std::string_view attachment, std::string_view neighbour, bool backup) {
    others.emplace_back(attachment, neighbour, backup);
    return *this;
}
Way& Way::into(std::string_view attachment) {
    kind = Nexthop::Kind::tunnel;
    line = attachment;
    return *this;
}
Way& Way::connected(std::string_view attachment) {
    kind = Nexthop::Kind::connected;
    line = attachment;
    return *this;
}

Policy& Policy::pool(std::string_view prefix) {
    pools.push_back(must(IpPrefix::parse(prefix)));
    return *this;
}
Line& Policy::line(std::string_view vrf, std::string_view name, unsigned port) {
    Line& line = lines.emplace_back();
    line.name = name;
    line.vrf = vrf_index(vrf);
    line.port = port;
    line.mac_address = MacAddress({0x02, 0x5e, 0, 0, 0, static_cast<std::uint8_t>(lines.size())});
    return line;
}
House& Policy::house(std::string_view vrf, std::string_view name) {
    House& house = houses.emplace_back();
    house.name = name;
    house.vrf = vrf_index(vrf);
    return house;
}
Agreement& Policy::agreement(std::string_view client, std::string_view service) {
    return agreements.emplace_back(Agreement{std::string(client), std::string(service)});
}
Way& Policy::way(std::string_view vrf, std::string_view prefix) {
    Way& way = ways.emplace_back();
    way.vrf = vrf_index(vrf);
    way.prefix = must(IpPrefix::parse(prefix));
    return way;
}

std::size_t Policy::line_index(std::string_view name) const {
    return index_of(lines, name, [](const Line& line) -> const std::string& { return line.name; });
}
std::size_t Policy::house_index(std::string_view name) const {
    return index_of(houses, name, [](const House& house) -> const std::string& { return house.name; });
}
std::size_t Policy::vrf_index(std::string_view name) const {
    return index_of(vrfs, name, [](const std::string& vrf) -> const std::string& { return vrf; });
}

}  // namespace sekisho::test
