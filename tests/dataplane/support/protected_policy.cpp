// The protected operator.
#include "tests/dataplane/support/protected_policy.hpp"

namespace sekisho::test {

void add_higashi(Policy& policy, Family outer) {
    const OuterEnds& ends = outer_ends(outer);
    policy.vrf("higashi");
    policy.line("higashi", "higashi-line", 3).vlan(30).ipv4("203.0.113.1/29").ipv6("2001:db8:99::1/64").underlay();
    policy.line("higashi", "higashi", 0)
        .ipv4("10.255.0.1/29")
        .ipv6("fd00:ffff::1/64")
        .mtu(1400)
        .through(kHigashiTunnel.value(), "higashi-line", ends.hub, ends.peer);
    policy.house("higashi", "higashi-hospital")
        .map("10.0.0.0/24", "100.64.32.0/24")
        .map("fd00:0:0:1::/64", "2001:db8:4000:401::/64")
        .uses("higashi");
    policy.agreement("higashi-hospital", "portal").udp(53);
    policy.agreement("higashi-hospital", "portal").tcp(443);
    policy.agreement("higashi-hospital", "portal").echo();
    policy.agreement("kita-hospital", "higashi-hospital").any();
    policy.way("higashi", "10.255.0.0/29").into("higashi");
    policy.way("higashi", "fd00:ffff::/64").into("higashi");
    policy.way("higashi", "10.0.0.0/16").into("higashi");
    policy.way("higashi", "fd00::/48").into("higashi");
    policy.way("higashi", "203.0.113.0/29").connected("higashi-line");
    policy.way("higashi", "2001:db8:99::/64").connected("higashi-line");
    policy.way("higashi", "198.51.100.0/24").by("higashi-line", "203.0.113.2");
    policy.way("higashi", "2001:db8:77::/64").by("higashi-line", "2001:db8:99::2");
}

Policy protected_policy(Family outer) {
    Policy policy = standard_policy();
    add_higashi(policy, outer);
    return policy;
}

Policy in_udp_policy(Family outer) {
    Policy policy = protected_policy(outer);
    policy.line("higashi").in_udp();
    return policy;
}

std::vector<crypto::Selector> any_selectors() {
    return {{*Prefix4::parse("0.0.0.0/0"), *Prefix4::parse("0.0.0.0/0")},
            {*Prefix6::parse("::/0"), *Prefix6::parse("::/0")}};
}

}  // namespace sekisho::test
