// A policy at the scale of a test, and the tables that it means: independent of control/, and as plain as can be.
//
// Every institution is a row of its VRF's matrix and a column of every other; nothing is shared or interned. The
// standard policy, which most tests start from, is drawn below.
#pragma once

#include <deque>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "dataplane/tables.hpp"

namespace sekisho::test {

struct Line {  // an attachment
    std::string name;
    std::size_t vrf = 0;
    unsigned port = 0, vlan_id = 0, mtu_bytes = 1500;
    MacAddress mac_address;
    std::string address4, address6;  // "10.255.0.1/29": the hub's own and its subnet
    bool is_open = true;
    TapId kernel_port;
    bool is_underlay = false;
    TunnelId tunnel_number;  // its path, in place of the port
    std::string below, local, peer;
    unsigned local_port = 0, peer_port = 0;  // of ESP in UDP; 0: it is not
    unsigned keepalive_seconds = 0;

    Line& underlay() { return is_underlay = true, *this; }
    // Its path is a tunnel by the line `underlay`, between the outer addresses.
    Line& through(unsigned number, std::string_view underlay, std::string_view ours, std::string_view theirs) {
        return tunnel_number = TunnelId(number), below = underlay, local = ours, peer = theirs, *this;
    }
    Line& in_udp(unsigned ours = 4500, unsigned theirs = 4500) { return local_port = ours, peer_port = theirs, *this; }
    Line& keepalive(unsigned seconds) { return keepalive_seconds = seconds, *this; }
    Line& vlan(unsigned id) { return vlan_id = id, *this; }
    Line& mtu(unsigned bytes) { return mtu_bytes = bytes, *this; }
    Line& ipv4(std::string_view text) { return address4 = text, *this; }
    Line& ipv6(std::string_view text) { return address6 = text, *this; }
    Line& close(bool closed = true) { return is_open = !closed, *this; }
    Line& tap(unsigned number) { return kernel_port = TapId(number), *this; }
};

struct House {  // an institution
    std::string name;
    std::size_t vrf = 0;
    std::vector<std::string> lines;
    std::vector<std::pair<IpPrefix, IpPrefix>> maps;  // operator space, hub space
    std::vector<IpPrefix> shared;                     // operator space, behind the operator's block of ports
    bool is_closed = false;

    House& behind(std::string_view inside);
    House& map(std::string_view inside, std::string_view hub);
    House& uses(std::string_view line) { return lines.emplace_back(line), *this; }
    House& close(bool closed = true) { return is_closed = closed, *this; }
};

struct Agreement {
    enum class What { any, echo, tcp, udp };
    std::string client, service;
    What what = What::any;
    unsigned low = 0, high = 65535;
    bool is_tracked = false;

    Agreement& tcp(unsigned from, unsigned to) { return what = What::tcp, low = from, high = to, *this; }
    Agreement& tcp(unsigned port) { return tcp(port, port); }
    Agreement& udp(unsigned from, unsigned to) { return what = What::udp, low = from, high = to, *this; }
    Agreement& udp(unsigned port) { return udp(port, port); }
    Agreement& echo() { return what = What::echo, *this; }
    Agreement& any() { return what = What::any, *this; }
    Agreement& tracked() { return is_tracked = true, *this; }
};

struct Way {  // a route
    std::size_t vrf = 0;
    IpPrefix prefix = Prefix4();
    dataplane::Nexthop::Kind kind = dataplane::Nexthop::Kind::blackhole;
    std::string line, gateway;

    Way& by(std::string_view attachment, std::string_view neighbour);
    Way& connected(std::string_view attachment);
    Way& into(std::string_view attachment);  // whose path is a tunnel
    Way& or_by(std::string_view attachment, std::string_view neighbour, bool backup = false);
    std::vector<std::tuple<std::string, std::string, bool>> others;  // attachment, gateway, backup
};

// A port block: addresses that an operator's houses share. Copies of it are of one pool, and what is lent stays lent.
struct Block {
    std::size_t vrf = 0;
    std::shared_ptr<dataplane::PortShares> shares;
    nat::PortRules rules;
    std::vector<nat::StaticMap> statics;

    Block& by_institution();  // before anything is lent
    Block& quota(std::uint32_t blocks) { return rules.blocks_each = blocks, *this; }
    Block& hold_down(std::uint32_t seconds) { return rules.hold_down = seconds, *this; }
    // "100.64.9.1:8443" leads to "10.0.5.9:443".
    Block& door(nat::PortProtocol protocol, std::string_view outside, std::string_view inside);
};

class Policy {
  public:
    Policy& pool(std::string_view prefix);
    Block& block(std::string_view vrf, std::string_view addresses, std::size_t workers = 1, std::uint32_t since = 1);
    Policy& vrf(std::string_view name) { return vrfs.emplace_back(name), *this; }
    Line& line(std::string_view vrf, std::string_view name, unsigned port);
    House& house(std::string_view vrf, std::string_view name);
    Agreement& agreement(std::string_view client, std::string_view service);
    Way& way(std::string_view vrf, std::string_view prefix);

    // Those that are there already.
    Line& line(std::string_view name) { return lines[line_index(name)]; }
    const Line& line(std::string_view name) const { return lines[line_index(name)]; }
    House& house(std::string_view name) { return houses[house_index(name)]; }
    std::size_t line_index(std::string_view name) const;
    std::size_t house_index(std::string_view name) const;
    std::size_t vrf_index(std::string_view name) const;

    // True (the default): a hub row names its nexthop when one route covers all of its prefix.
    Policy& direct_nexthops(bool wanted) { return direct_ = wanted, *this; }
    std::unique_ptr<dataplane::Tables> tables() const;

    std::vector<std::string> vrfs{""};  // 0 is nobody's, so that a forgotten id is a wrong one
    std::vector<IpPrefix> pools;
    std::deque<Line> lines;  // by AttachmentId
    std::deque<House> houses;
    std::deque<Agreement> agreements;
    std::deque<Way> ways;
    std::deque<Block> blocks;
    nat::Timeouts timeouts;

  private:
    bool direct_ = true;
};

// Two operators with the same addresses, and a service provider. Hub space is 100.64.0.0/10 and 2001:db8:4000::/34.
//
//   kita    port 0            10.255.0.1/29, fd00:ffff::1/64   gateway .2, ::2
//           port 0, VLAN 100  10.255.1.1/29, fd00:fffe::1/64   gateway .2, ::2    (its backup line)
//     kita-hospital   10.0.0.0/24  = 100.64.0.0/24    fd00:0:0:1::/64 = 2001:db8:4000:1::/64      both lines
//     kita-clinic     10.0.1.0/24  = 100.64.1.0/24    fd00:0:0:2::/64 = 2001:db8:4000:2::/64      the first line
//   minami  port 1, VLAN 20   10.255.0.1/29, fd00:ffff::1/64   gateway .2, ::2
//     minami-hospital 10.0.0.0/24  = 100.64.16.0/24   fd00:0:0:1::/64 = 2001:db8:4000:101::/64
//   center  port 2            192.168.9.1/24, fd99::1/64       everyone a neighbour; gateway .2, ::2
//     portal          192.168.9.0/24 = 100.64.2.0/24  fd99::/64 = 2001:db8:4000:201::/64          connected
//     archive         100.64.3.0/24, 2001:db8:4000:301::/64, its own hub numbers                   by the gateway
//
//   kita-hospital → portal: UDP 53, TCP 443, TCP 8000 to 8099, echo     kita-hospital → archive: any
//   minami-hospital → portal: TCP 443, UDP 53
Policy standard_policy();

}  // namespace sekisho::test
