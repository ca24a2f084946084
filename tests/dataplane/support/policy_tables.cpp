// From the test's policy to tables, the plain way.
#include <bit>
#include <map>
#include <optional>
#include <set>
#include <stdexcept>

#include "tests/dataplane/support/must.hpp"
#include "tests/dataplane/support/policy.hpp"

namespace sekisho::test {
namespace {

using dataplane::Attachment;
using dataplane::FamilyTables;
using dataplane::HubRow;
using dataplane::kResolve;
using dataplane::Nexthop;
using dataplane::PortClass;
using dataplane::Tables;
using dataplane::WhoRow;

template <class Address>
const Prefix<Address>& prefix_of(const IpPrefix& prefix) {
    if constexpr (Address::kFamily == Family::ipv4)
        return prefix.ipv4();
    else
        return prefix.ipv6();
}

// "10.255.0.1/29": the address and its subnet.
template <class Address>
std::pair<Address, Prefix<Address>> host_and_subnet(const std::string& text) {
    const std::size_t slash = text.find('/');
    const auto host = Address::parse(text.substr(0, slash));
    if (!host) throw std::invalid_argument("no address: " + text);
    return {*host, Prefix<Address>(*host, std::stoi(text.substr(slash + 1)))};
}

Attachment attachment_of(const Line& line) {
    Attachment attachment;
    attachment.port = PortId(static_cast<std::uint16_t>(line.port));
    attachment.vlan = VlanId(static_cast<std::uint16_t>(line.vlan_id));
    attachment.vrf = VrfId(static_cast<std::uint16_t>(line.vrf));
    attachment.owner = OperatorId(static_cast<std::uint16_t>(line.vrf));
    attachment.open = line.is_open;
    attachment.tap = line.kernel_port;
    attachment.tunnel = line.tunnel_number;
    attachment.underlay = line.is_underlay;
    attachment.mtu = static_cast<std::uint16_t>(line.mtu_bytes);
    attachment.mac = line.mac_address;
    attachment.serves_ipv4 = !line.address4.empty();
    attachment.serves_ipv6 = !line.address6.empty();
    if (attachment.serves_ipv4)
        std::tie(attachment.ipv4, attachment.subnet4) = host_and_subnet<Ipv4Address>(line.address4);
    if (attachment.serves_ipv6) {
        std::tie(attachment.ipv6, attachment.subnet6) = host_and_subnet<Ipv6Address>(line.address6);
        attachment.link_local = *Ipv6Address::parse("fe80::1");
    }
    return attachment;
}

// The routes of a family: rows of `where`, and for hub rows the nexthop of a whole prefix.
template <class Address>
std::optional<NexthopId> nexthop_of_all(const Policy& policy, std::size_t vrf, const Prefix<Address>& prefix) {
    std::optional<std::size_t> best;
    for (std::size_t i = 0; i < policy.ways.size(); ++i) {
        const Way& way = policy.ways[i];
        if (way.vrf != vrf || way.prefix.family() != Address::kFamily) continue;
        const Prefix<Address>& known = prefix_of<Address>(way.prefix);
        if (prefix.contains(known) && prefix != known) return std::nullopt;
        if (!known.contains(prefix)) continue;
        if (!best || known.length() > policy.ways[*best].prefix.length()) best = i;
    }
    if (!best || policy.ways[*best].kind == Nexthop::Kind::connected) return std::nullopt;
    return NexthopId(static_cast<std::uint32_t>(*best));
}

using SetOf = std::vector<dataplane::AttachmentSets::Name>;  // by house

SetOf share_lines(const Policy& policy, Tables& tables) {
    SetOf sets;
    for (const House& house : policy.houses) {
        std::set<std::uint32_t> members;
        for (const std::string& line : house.lines) members.insert(static_cast<std::uint32_t>(policy.line_index(line)));
        sets.push_back(tables.attachment_sets.add(std::vector(members.begin(), members.end())));
    }
    return sets;
}

// A row of `hub` for each pool, and for each house behind one two rows that lead to each other.
void fill_blocks(const Policy& policy, bool direct, const SetOf& sets, FamilyTables<Ipv4Address>& family,
                 lpm::Fib4& who, lpm::Fib4& hub) {
    for (std::size_t b = 0; b < policy.blocks.size(); ++b) {
        const Block& block = policy.blocks[b];
        const auto number = static_cast<std::uint16_t>(b + 1);
        const VrfId vrf(static_cast<std::uint16_t>(block.vrf));
        must(hub.insert(0, block.shares->addresses(), static_cast<lpm::Row>(family.hub_rows.size())));
        family.hub_rows.push_back({InstitutionId(), vrf, 0, kResolve, {}, number});
        for (std::size_t i = 0; i < policy.houses.size(); ++i) {
            if (policy.houses[i].vrf != block.vrf) continue;
            for (const IpPrefix& prefix : policy.houses[i].shared) {
                must(who.insert(vrf.value(), prefix.ipv4(), static_cast<lpm::Row>(family.who_rows.size())));
                const InstitutionId id(static_cast<std::uint32_t>(i));
                family.who_rows.push_back({id,
                                           sets[i],
                                           {},
                                           static_cast<std::uint32_t>(family.hub_rows.size()),
                                           static_cast<std::uint16_t>(i)});
                const auto nexthop = direct ? nexthop_of_all(policy, block.vrf, prefix.ipv4()) : std::nullopt;
                family.hub_rows.push_back(
                    {id, vrf, static_cast<std::uint16_t>(i + 1), nexthop.value_or(kResolve), {}, number});
            }
        }
    }
}

template <class Address>
void fill_family(const Policy& policy, bool direct, const SetOf& sets, FamilyTables<Address>& family) {
    lpm::Fib<Address> who(policy.vrfs.size());
    lpm::Fib<Address> hub(1);
    lpm::Fib<Address> where(policy.vrfs.size());
    for (std::size_t i = 0; i < policy.houses.size(); ++i) {
        const House& house = policy.houses[i];
        const auto vrf = static_cast<std::uint16_t>(house.vrf);
        for (const auto& [inside_of, outside_of] : house.maps) {
            if (inside_of.family() != Address::kFamily) continue;
            const auto& inside = prefix_of<Address>(inside_of);
            const auto& outside = prefix_of<Address>(outside_of);
            must(who.insert(vrf, inside, static_cast<lpm::Row>(family.who_rows.size())));
            must(hub.insert(0, outside, static_cast<lpm::Row>(family.hub_rows.size())));
            const InstitutionId id(static_cast<std::uint32_t>(i));
            family.who_rows.push_back(
                {id, sets[i], {inside, outside}, WhoRow<Address>::kNotBehind, static_cast<std::uint16_t>(i)});
            const auto nexthop = direct ? nexthop_of_all(policy, house.vrf, inside) : std::nullopt;
            family.hub_rows.push_back(
                {id, VrfId(vrf), static_cast<std::uint16_t>(i + 1), nexthop.value_or(kResolve), {outside, inside}});
        }
    }
    if constexpr (Address::kFamily == Family::ipv4) fill_blocks(policy, direct, sets, family, who, hub);
    for (std::size_t i = 0; i < policy.ways.size(); ++i)
        if (policy.ways[i].prefix.family() == Address::kFamily)
            must(where.insert(static_cast<lpm::TableId>(policy.ways[i].vrf), prefix_of<Address>(policy.ways[i].prefix),
                              static_cast<lpm::Row>(i)));
    for (const IpPrefix& pool : policy.pools)
        if (pool.family() == Address::kFamily) family.hub_space.push_back(prefix_of<Address>(pool));
    family.who = who.view();
    family.hub = hub.view();
    family.where = where.view();
}

// Port classes: ports that the same agreements cover are one class. Bit i of a mask is agreement i.
class Classes {
  public:
    explicit Classes(const Policy& policy) : policy_(policy) {
        tcp_ = classify(Agreement::What::tcp);
        udp_ = classify(Agreement::What::udp);
    }
    std::size_t count() const { return masks_.size() + 2; }
    const std::vector<PortClass>& tcp() const { return tcp_; }
    const std::vector<PortClass>& udp() const { return udp_; }

    std::vector<std::uint64_t> set_of(std::size_t agreement) const {
        std::vector<std::uint64_t> set((count() + 63) / 64);
        const auto add = [&](std::size_t number) { set[number / 64] |= std::uint64_t{1} << (number % 64); };
        const Agreement::What what = policy_.agreements[agreement].what;
        if (what == Agreement::What::echo) add(dataplane::kEchoClass);
        for (std::size_t number = 0; number < count(); ++number) {
            const bool covered = number >= 2 && (masks_[number - 2].first >> agreement & 1) != 0;
            if (what == Agreement::What::any || covered) add(number);
        }
        return set;
    }

  private:
    std::vector<PortClass> classify(Agreement::What what) {
        std::vector<PortClass> result;
        result.reserve(65536);
        while (result.size() < 65536) {
            // The ports from here to `end` have the same agreements.
            const std::size_t port = result.size();
            std::size_t end = 65536;
            std::uint64_t mask = 0;
            for (std::size_t i = 0; i < policy_.agreements.size(); ++i) {
                const Agreement& agreement = policy_.agreements[i];
                if (agreement.what != what) continue;
                if (agreement.low <= port && port <= agreement.high) {
                    mask |= std::uint64_t{1} << i;
                    end = std::min(end, std::size_t{agreement.high} + 1);
                } else if (agreement.low > port) {
                    end = std::min(end, std::size_t{agreement.low});
                }
            }
            result.resize(end, mask == 0 ? dataplane::kOtherClass : number_of({mask, what}));
        }
        return result;
    }
    PortClass number_of(const std::pair<std::uint64_t, Agreement::What>& mask) {
        for (std::size_t i = 0; i < masks_.size(); ++i)
            if (masks_[i] == mask) return static_cast<PortClass>(i + 2);
        masks_.push_back(mask);
        return static_cast<PortClass>(masks_.size() + 1);
    }

    const Policy& policy_;
    std::vector<std::pair<std::uint64_t, Agreement::What>> masks_;
    std::vector<PortClass> tcp_, udp_;
};

// The tunnel of a line, and the way to its peer: a row of `where`.
void fill_tunnel(const Policy& policy, std::size_t line, Tables& tables) {
    const Line& inside = policy.lines[line];
    if (inside.tunnel_number == TunnelId()) return;
    if (tables.tunnels.size() <= inside.tunnel_number.index()) tables.tunnels.resize(inside.tunnel_number.index() + 1);
    dataplane::Tunnel& tunnel = tables.tunnels[inside.tunnel_number.index()];
    tunnel.exists = true;
    tunnel.attachment = AttachmentId(static_cast<std::uint32_t>(line));
    const std::size_t below = policy.line_index(inside.below);
    tunnel.underlay = AttachmentId(static_cast<std::uint32_t>(below));
    tunnel.local = IpAddress::parse(inside.local).value();
    tunnel.peer = IpAddress::parse(inside.peer).value();
    if (inside.local_port != 0) {
        tunnel.in_udp = true;
        tunnel.local_port = L4Port(static_cast<std::uint16_t>(inside.local_port));
        tunnel.peer_port = L4Port(static_cast<std::uint16_t>(inside.peer_port));
        tunnel.keepalive = static_cast<std::uint16_t>(inside.keepalive_seconds);
        tables.attachments[below].esp_port = tunnel.local_port;
    }
    const auto vrf = static_cast<lpm::TableId>(policy.lines[below].vrf);
    const lpm::Row row = tunnel.peer.is_ipv4() ? tables.ipv4.where.find(vrf, tunnel.peer.ipv4())
                                               : tables.ipv6.where.find(vrf, tunnel.peer.ipv6());
    if (row != lpm::kNoRow) tunnel.way = NexthopId(row);
}

void fill_matrices(const Policy& policy, Tables& tables) {
    const Classes classes(policy);
    tables.tcp_classes.assign(classes.tcp());
    tables.udp_classes.assign(classes.udp());
    tables.permissions = dataplane::Permissions(classes.count());
    dataplane::Matrix matrix;
    const std::size_t count = policy.houses.size();
    matrix.columns = static_cast<std::uint32_t>(count + 1);
    std::vector<std::uint16_t> columns;
    for (std::size_t group = 0; group <= count; ++group) columns.push_back(static_cast<std::uint16_t>(group));
    matrix.column_of_group.assign(columns);
    matrix.cells.resize(count * (count + 1));
    const std::size_t words = tables.permissions.words();
    for (std::size_t from = 0; from < count; ++from)
        for (std::size_t to = 0; to < count; ++to) {
            std::vector<std::uint64_t> sets(3 * words);
            for (std::size_t i = 0; i < policy.agreements.size(); ++i) {
                const auto client = policy.house_index(policy.agreements[i].client);
                const auto service = policy.house_index(policy.agreements[i].service);
                const std::vector<std::uint64_t> set = classes.set_of(i);
                const bool tracked = policy.agreements[i].is_tracked;
                tables.tracks |= tracked;
                for (std::size_t word = 0; word < words; ++word) {
                    if (client == from && service == to) sets[(tracked ? 2 * words : 0) + word] |= set[word];
                    if (client == to && service == from && !tracked) sets[words + word] |= set[word];
                }
            }
            if (sets == std::vector<std::uint64_t>(3 * words)) continue;
            matrix.cells[from * (count + 1) + to + 1] = tables.permissions.add(sets);
        }
    tables.matrices.assign(policy.vrfs.size(), matrix);
}

}  // namespace

std::unique_ptr<Tables> Policy::tables() const {
    auto tables = std::make_unique<Tables>();
    for (std::size_t i = 0; i < lines.size(); ++i) {
        tables->attachments.push_back(attachment_of(lines[i]));
        auto& on = tables->attachment_of;
        if (lines[i].tunnel_number != TunnelId()) continue;
        while (on.size() <= lines[i].port) on.emplace_back().fill(Tables::kNoAttachment);
        on[lines[i].port][lines[i].vlan_id] = AttachmentId(static_cast<AttachmentId::Value>(i));
    }
    for (const Way& way : ways) {
        Nexthop& nexthop = tables->nexthops.emplace_back();
        nexthop.kind = way.kind;
        nexthop.family = way.prefix.family();
        if (way.kind == Nexthop::Kind::blackhole) continue;
        nexthop.attachment = AttachmentId(static_cast<std::uint16_t>(line_index(way.line)));
        if (way.kind != Nexthop::Kind::gateway) continue;
        if (way.prefix.is_ipv4())
            nexthop.gateway4 = Ipv4Address::parse(way.gateway).value();
        else
            nexthop.gateway6 = Ipv6Address::parse(way.gateway).value();
    }
    // The members of groups come behind; a way with several is the group.
    for (std::size_t i = 0; i < ways.size(); ++i) {
        if (ways[i].others.empty()) continue;
        std::vector<dataplane::GroupMember> members;
        const auto add = [&](const Nexthop& nexthop, bool backup) {
            members.push_back({NexthopId(static_cast<std::uint32_t>(tables->nexthops.size())), 1, backup});
            tables->nexthops.push_back(nexthop);
        };
        add(Nexthop(tables->nexthops[i]), false);
        for (const auto& [line, gateway, backup] : ways[i].others) {
            Nexthop nexthop = tables->nexthops[i];
            nexthop.kind = Nexthop::Kind::gateway;
            nexthop.attachment = AttachmentId(static_cast<std::uint16_t>(line_index(line)));
            if (ways[i].prefix.is_ipv4())
                nexthop.gateway4 = Ipv4Address::parse(gateway).value();
            else
                nexthop.gateway6 = Ipv6Address::parse(gateway).value();
            add(nexthop, backup);
        }
        tables->nexthops[i].kind = Nexthop::Kind::group;
        tables->nexthops[i].group = static_cast<std::uint32_t>(tables->groups.size());
        tables->groups.emplace_back(members);
    }
    tables->closed_institutions.resize(houses.size() / 64 + 1);
    std::vector<std::uint64_t> closed(tables->closed_institutions.size());
    for (std::size_t i = 0; i < houses.size(); ++i)
        if (houses[i].is_closed) closed[i / 64] |= std::uint64_t{1} << (i % 64);
    tables->close_institutions(closed);
    const SetOf sets = share_lines(*this, *tables);
    fill_family(*this, direct_, sets, tables->ipv4);
    fill_family(*this, direct_, sets, tables->ipv6);
    for (std::size_t i = 0; i < lines.size(); ++i) fill_tunnel(*this, i, *tables);
    fill_matrices(*this, *tables);
    tables->timeouts = timeouts;
    std::vector<nat::StaticMap> statics;
    for (const Block& block : blocks) {
        tables->port_pools.push_back({block.shares, VrfId(static_cast<std::uint16_t>(block.vrf)), block.rules});
        statics.insert(statics.end(), block.statics.begin(), block.statics.end());
    }
    tables->static_maps = must(nat::StaticMaps::make(std::move(statics)));
    tables->seal();
    return tables;
}

Policy standard_policy() {
    Policy policy;
    policy.pool("100.64.0.0/10").pool("2001:db8:4000::/34");
    policy.vrf("kita").vrf("minami").vrf("center");
    policy.line("kita", "kita", 0).ipv4("10.255.0.1/29").ipv6("fd00:ffff::1/64");
    policy.line("kita", "kita-backup", 0).vlan(100).ipv4("10.255.1.1/29").ipv6("fd00:fffe::1/64");
    policy.line("minami", "minami", 1).vlan(20).ipv4("10.255.0.1/29").ipv6("fd00:ffff::1/64");
    policy.line("center", "center", 2).ipv4("192.168.9.1/24").ipv6("fd99::1/64");

    policy.house("kita", "kita-hospital")
        .map("10.0.0.0/24", "100.64.0.0/24")
        .map("fd00:0:0:1::/64", "2001:db8:4000:1::/64")
        .uses("kita")
        .uses("kita-backup");
    policy.house("kita", "kita-clinic")
        .map("10.0.1.0/24", "100.64.1.0/24")
        .map("fd00:0:0:2::/64", "2001:db8:4000:2::/64")
        .uses("kita");
    policy.house("minami", "minami-hospital")
        .map("10.0.0.0/24", "100.64.16.0/24")
        .map("fd00:0:0:1::/64", "2001:db8:4000:101::/64")
        .uses("minami");
    policy.house("center", "portal")
        .map("192.168.9.0/24", "100.64.2.0/24")
        .map("fd99::/64", "2001:db8:4000:201::/64")
        .uses("center");
    policy.house("center", "archive")
        .map("100.64.3.0/24", "100.64.3.0/24")
        .map("2001:db8:4000:301::/64", "2001:db8:4000:301::/64")
        .uses("center");

    policy.agreement("kita-hospital", "portal").udp(53);
    policy.agreement("kita-hospital", "portal").tcp(443);
    policy.agreement("kita-hospital", "portal").tcp(8000, 8099);
    policy.agreement("kita-hospital", "portal").echo();
    policy.agreement("kita-hospital", "archive").any();
    policy.agreement("minami-hospital", "portal").tcp(443);
    policy.agreement("minami-hospital", "portal").udp(53);

    policy.way("kita", "10.255.0.0/29").connected("kita");
    policy.way("kita", "10.255.1.0/29").connected("kita-backup");
    policy.way("kita", "fd00:ffff::/64").connected("kita");
    policy.way("kita", "fd00:fffe::/64").connected("kita-backup");
    policy.way("kita", "10.0.0.0/16").by("kita", "10.255.0.2");
    policy.way("kita", "fd00::/48").by("kita", "fd00:ffff::2");
    policy.way("minami", "10.255.0.0/29").connected("minami");
    policy.way("minami", "fd00:ffff::/64").connected("minami");
    policy.way("minami", "10.0.0.0/16").by("minami", "10.255.0.2");
    policy.way("minami", "fd00::/48").by("minami", "fd00:ffff::2");
    policy.way("center", "192.168.9.0/24").connected("center");
    policy.way("center", "fd99::/64").connected("center");
    policy.way("center", "100.64.3.0/24").by("center", "192.168.9.2");
    policy.way("center", "2001:db8:4000:301::/64").by("center", "fd99::2");
    return policy;
}

}  // namespace sekisho::test
