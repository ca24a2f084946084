// Sealed packets that wait for a neighbour: they hold ESP and nothing else, and do not outlive what they were sealed
// by.
#include "tests/dataplane/support/protected.hpp"

namespace sekisho::test {
namespace {

// The tunnel's peer is a neighbour that is not known yet.
Policy with_near_peer() {
    Policy policy = standard_policy();
    add_higashi(policy, Family::ipv4);
    policy.line("higashi").through(1, "higashi-line", "203.0.113.1", "203.0.113.5");
    return policy;
}
const Frame kOut = udp("10.0.0.7:7", std::string(kHigashiHub4) + ":9").payload(100);
constexpr std::string_view kPeerMac = "02:00:00:00:0d:05";

Frame peer_answer() {
    return arp(2, {kPeerMac, "203.0.113.5", "02:5e:00:00:00:05", "203.0.113.1"});
}
// The ARP question, and nothing else, has left.
void expect_question(TestHub& hub) {
    REQUIRE(hub.left().size() == 1);
    const Bytes& frame = hub.left()[0].frame;
    CHECK(get16(frame, get16(frame, 12) == 0x8100 ? 16 : 12) == 0x0806);
}

TEST_CASE("a sealed packet waits for its neighbour sealed, and leaves as it was sealed", "[esp]") {
    ProtectedHub hub(with_near_peer(), {});
    hub.send("kita", std::vector<Frame>{kOut, kOut});
    expect_question(hub);
    CHECK(hub.held() == 2);
    hub.send("higashi-line", peer_answer());
    REQUIRE(hub.left().size() == 2);
    std::uint32_t number = 1;
    for (const Sent& sent : hub.left()) {
        const auto outer = outer_of(sent.frame);
        REQUIRE(outer);
        const auto inner = open_esp(hub.out, outer->esp);
        REQUIRE(inner);
        CHECK(inner->sequence == number++);
        CHECK(inner->inner == udp("100.64.0.7:7", "10.0.0.7:9").payload(100).ttl(63).ip());
    }
    CHECK(hub.held() == 0);
    CHECK(hub.drops() == Drops{});
}

TEST_CASE("a sealed packet whose neighbour does not answer is given up", "[esp]") {
    ProtectedHub hub(with_near_peer(), {});
    hub.send("kita", kOut);
    hub.wait(5);
    CHECK(hub.drops() == Drops{{DropReason::neighbour_unresolved, 1}});
    CHECK(hub.held() == 0);
}

TEST_CASE("a sealed packet that waited is not sent in another generation: nobody can look it up again", "[esp]") {
    const Policy policy = with_near_peer();
    ProtectedHub hub(policy, {});
    hub.send("kita", kOut);
    hub.commit(policy);
    hub.send("higashi-line", peer_answer());
    CHECK(hub.left().empty());
    CHECK(hub.drops() == Drops{{DropReason::handover_stale, 1}});
}

TEST_CASE("a gate that closes while a sealed packet waits keeps it", "[esp]") {
    ProtectedHub hub(with_near_peer(), {});
    const auto& tables = hub.tables();
    SECTION("of its sender") {
        hub.send("kita", kOut);
        tables.close_institutions({std::uint64_t{1} << hub.policy().house_index("kita-hospital")});
        hub.send("higashi-line", peer_answer());
        CHECK(hub.drops() == Drops{{DropReason::institution_closed, 1}});
    }
    SECTION("of its receiver") {
        hub.send("kita", kOut);
        tables.close_institutions({std::uint64_t{1} << hub.policy().house_index("higashi-hospital")});
        hub.send("higashi-line", peer_answer());
        CHECK(hub.drops() == Drops{{DropReason::institution_closed, 1}});
    }
    SECTION("of the tunnel's attachment") {
        hub.send("kita", kOut);
        std::vector<bool> open(tables.attachments.size(), true);
        open[hub.policy().line_index("higashi")] = false;
        tables.open_attachments(open);
        hub.send("higashi-line", peer_answer());
        CHECK(hub.drops() == Drops{{DropReason::egress_closed, 1}});
    }
    SECTION("of a third") {
        hub.send("kita", kOut);
        tables.close_institutions({std::uint64_t{1} << hub.policy().house_index("minami-hospital")});
        hub.send("higashi-line", peer_answer());
        CHECK(hub.drops() == Drops{});
        CHECK(hub.left().size() == 1);
    }
    CHECK(hub.held() == 0);
}

TEST_CASE("an SA that is removed while its packet waits does not matter: the packet was sealed in its time", "[esp]") {
    ProtectedHub hub(with_near_peer(), {});
    hub.send("kita", kOut);
    hub.associations()->forget(kHigashiTunnel);
    hub.send("higashi-line", peer_answer());
    REQUIRE(hub.left().size() == 1);
    const auto outer = outer_of(hub.left()[0].frame);
    REQUIRE(outer);
    CHECK(open_esp(hub.out, outer->esp));
}

TEST_CASE("an attachment that becomes a tunnel, or an underlay, while plain packets wait on it",
          "[esp][conformance-28]") {
    Policy policy = protected_policy();
    ProtectedHub hub(policy, {});
    hub.send("kita", udp("10.0.0.7:4000", "100.64.2.50:53"));  // 192.168.9.50: not known
    expect_question(hub);
    CHECK(hub.held() == 1);
    hub.pause(true);  // the answer lets it go on, in a walk that the next generation is for
    hub.send("center", arp(2, {"02:00:00:00:0c:50", "192.168.9.50", "02:5e:00:00:00:04", "192.168.9.1"}));
    CHECK(hub.held() == 1);
    hub.pause(false);
    SECTION("a tunnel") {
        policy.line("center").through(2, "higashi-line", "203.0.113.1", "198.51.100.8");
        hub.commit(policy);
        hub.wait(0.1);
        CHECK(hub.drops() == Drops{{DropReason::sa_missing, 1}});
    }
    SECTION("an underlay") {
        policy.line("center").underlay();
        hub.commit(policy);
        hub.wait(0.1);
        CHECK(hub.drops() == Drops{{DropReason::underlay_plain, 1}});
    }
    CHECK(hub.left().empty());
    CHECK(hub.held() == 0);
}

TEST_CASE("the hub tells and asks nobody on a tunnel's attachment, which has no neighbours", "[esp]") {
    ProtectedHub hub;
    hub.announces(true);
    hub.wait(5);
    for (const Sent& sent : hub.left())
        CHECK_FALSE((sent.port == 0 && get16(sent.frame, 12) == 0x0806 && get16(sent.frame, 30) == 0));
    std::size_t announcements = 0;
    for (const Sent& sent : hub.left()) announcements += sent.frame[11] == 0x06 ? 1U : 0U;  // the tunnel's MAC address
    CHECK(announcements == 0);
    CHECK_FALSE(hub.left().empty());
}

TEST_CASE("kernel frames neither come out of a tunnel nor go into one", "[esp]") {
    Policy policy = protected_policy();
    policy.line("higashi").tap(7);
    ProtectedHub hub(policy, {});
    hub.peer_sends(hub.from_peer(tcp("10.0.0.7:4000", "10.255.0.1:179").syn().ip()));
    CHECK(hub.drops() == Drops{{DropReason::no_kernel_port, 1}});
    CHECK(hub.to_kernel().empty());
    hub.kernel_sends("higashi",
                     tcp("10.255.0.1:179", "10.0.0.7:4000").from(policy.line("higashi").mac_address).bytes());
    CHECK(hub.drops() == Drops{{DropReason::kernel_frame_refused, 1}});
    CHECK(hub.left().empty());
}

TEST_CASE("a tunnel as one of a route's nexthops is used while it has an SA and its underlay a way", "[esp]") {
    Policy policy = protected_policy();
    policy.line("higashi", "higashi-plain", 4).ipv4("10.255.7.1/29").ipv6("fd00:fff7::1/64");
    policy.house("higashi-hospital").uses("higashi-plain");
    for (Way& way : policy.ways)
        if (way.line == "higashi" && way.prefix.is_ipv4() && way.prefix.length() == 16)
            way.or_by("higashi-plain", "10.255.7.2", true);
    ProtectedHub hub(policy, {});
    hub.know("higashi-plain", "10.255.7.2", "02:00:00:00:0d:77");
    const auto leaves_by = [&]() -> unsigned {
        hub.keep_neighbours();
        hub.wait(0.3);
        hub.send("kita", kOut);
        return hub.left().size() == 1 ? hub.left()[0].port : 99U;
    };
    CHECK(leaves_by() == 3);
    REQUIRE(hub.associations()->remove_outbound(kHigashiTunnel, hub.out.spi));
    CHECK(leaves_by() == 4);
    hub.install_outbound(hub.out);
    CHECK(leaves_by() == 3);
    policy.line("higashi-line").close();
    hub.commit(policy);
    CHECK(leaves_by() == 4);
}

}  // namespace
}  // namespace sekisho::test
