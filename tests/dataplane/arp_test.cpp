// Stage 2, ARP: what is answered, what is learned, and what is neither (RFC 826, RFC 5227).
#include "tests/dataplane/support/expect.hpp"
#include "tests/dataplane/support/test_hub.hpp"

using namespace sekisho;
using namespace sekisho::test;

namespace {

// A good request of the station .3 for the hub's address, with some bytes of the ARP packet replaced.
Frame request_with(std::size_t at, const Bytes& bytes) {
    Bytes body = arp(1, {.sender_mac = kStation, .sender = "10.255.0.3", .target = "10.255.0.1"}).ip();
    std::copy(bytes.begin(), bytes.end(), body.begin() + static_cast<std::ptrdiff_t>(at));
    return on_link(0x0806, body).from(kStation).to(kBroadcastMac);
}

}  // namespace

TEST_CASE("arp: a request for the hub's address is answered with the attachment's MAC, and its sender learned",
          "[path][local]") {
    StandardHub hub;
    hub.send("kita", arp(1, {.sender_mac = kStation, .sender = "10.255.0.3", .target = "10.255.0.1"}));
    CHECK(hub.left() == Frames{hub.by("kita", arp(2, {.sender_mac = mac_of(hub, "kita"),
                                                      .sender = "10.255.0.1",
                                                      .target_mac = kStation,
                                                      .target = "10.255.0.3"}))});
    CHECK(hub.drops() == Drops{});
    CHECK(hub.consumed() == 1);
    CHECK(where(hub, "10.255.0.3") == kStation);
    // Padded to Ethernet's least length, by unicast, and on a tagged line with the same addresses: another station.
    hub.send("minami", arp(1, {.sender_mac = kOther, .sender = "10.255.0.3", .target = "10.255.0.1"})
                           .to(hub.policy().line("minami").mac_address)
                           .padded(18));
    CHECK(hub.left() == Frames{hub.by("minami", arp(2, {.sender_mac = mac_of(hub, "minami"),
                                                        .sender = "10.255.0.1",
                                                        .target_mac = kOther,
                                                        .target = "10.255.0.3"}))});
    CHECK(where(hub, "10.255.0.3") == kStation);
}

TEST_CASE("arp: a probe for the hub's address is answered, and nothing learned", "[path][local]") {
    StandardHub hub;
    hub.send("kita", arp(1, {.sender_mac = kStation, .sender = "0.0.0.0", .target = "10.255.0.1"}));
    CHECK(hub.left() == Frames{hub.by("kita", arp(2, {.sender_mac = mac_of(hub, "kita"),
                                                      .sender = "10.255.0.1",
                                                      .target_mac = kStation,
                                                      .target = "0.0.0.0"}))});
    CHECK(hub.consumed() == 1);
    expect_drop(hub, "kita", arp(1, {.sender_mac = kStation, .sender = "0.0.0.0", .target = "10.255.0.4"}),
                DropReason::arp_not_ours);
}

TEST_CASE("arp: whoever is known is updated by what it says, whoever is not is not kept", "[path][local]") {
    StandardHub hub;
    // An announcement, a request to another station, a reply: from the gateway, which is known.
    expect_taken(hub, "kita", arp(1, {.sender_mac = kOther, .sender = "10.255.0.2", .target = "10.255.0.2"}));
    CHECK(where(hub, "10.255.0.2") == kOther);
    expect_taken(hub, "kita", arp(1, {.sender_mac = kStation, .sender = "10.255.0.2", .target = "10.255.0.5"}));
    CHECK(where(hub, "10.255.0.2") == kStation);
    expect_taken(hub, "kita",
                 arp(2, {.sender_mac = kKitaGateway,
                         .sender = "10.255.0.2",
                         .target_mac = mac_of(hub, "kita"),
                         .target = "10.255.0.1"}));
    CHECK(where(hub, "10.255.0.2") == kKitaGateway);
    // The same from a station that is not known.
    expect_drop(hub, "kita", arp(1, {.sender_mac = kOther, .sender = "10.255.0.4", .target = "10.255.0.4"}),
                DropReason::arp_not_ours);
    expect_drop(
        hub, "kita",
        arp(2,
            {.sender_mac = kOther, .sender = "10.255.0.4", .target_mac = mac_of(hub, "kita"), .target = "10.255.0.1"}),
        DropReason::arp_not_ours);
    CHECK(where(hub, "10.255.0.4").empty());
}

TEST_CASE("arp: a station that claims the hub's address is counted as a duplicate and not believed", "[path][local]") {
    StandardHub hub;
    const std::string own = mac_of(hub, "kita");
    // The first is answered by an announcement, which defends it (RFC 5227 §2.4(c)); the next comes too soon.
    expect_drop(hub, "kita", arp(1, {.sender_mac = kOther, .sender = "10.255.0.1", .target = "10.255.0.1"}),
                DropReason::duplicate_address,
                {hub.by("kita", arp(1, {.sender_mac = own, .sender = "10.255.0.1", .target = "10.255.0.1"}))});
    expect_drop(
        hub, "kita",
        arp(2,
            {.sender_mac = kOther, .sender = "10.255.0.1", .target_mac = mac_of(hub, "kita"), .target = "10.255.0.2"}),
        DropReason::duplicate_address);
}

TEST_CASE("arp: a sender outside the subnet, or with its network or broadcast address, is answered and not learned",
          "[path][local]") {
    StandardHub hub;
    for (const std::string sender : {"10.255.0.8", "10.255.1.2", "192.0.2.1", "10.255.0.0", "10.255.0.7"}) {
        hub.send("kita", arp(1, {.sender_mac = kStation, .sender = sender, .target = "10.255.0.1"}));
        CHECK(hub.left() == Frames{hub.by("kita", arp(2, {.sender_mac = mac_of(hub, "kita"),
                                                          .sender = "10.255.0.1",
                                                          .target_mac = kStation,
                                                          .target = sender}))});
        CHECK(hub.consumed() == 1);
        CHECK(where(hub, sender).empty());
        // What it asks others, or says unasked, is nothing to us.
        expect_drop(hub, "kita", arp(1, {.sender_mac = kStation, .sender = sender, .target = "10.255.0.4"}),
                    DropReason::arp_not_ours);
        expect_drop(
            hub, "kita",
            arp(2,
                {.sender_mac = kStation, .sender = sender, .target_mac = mac_of(hub, "kita"), .target = "10.255.0.1"}),
            DropReason::arp_not_ours);
        CHECK(where(hub, sender).empty());
    }
    CHECK(hub.worker().neighbours.find(AttachmentId(0), address("192.0.2.1").ipv4()) == dataplane::Neighbours::kNone);
}

TEST_CASE("arp: on a /31 both addresses are hosts", "[path][local]") {
    Policy policy = standard_policy();
    policy.line("kita").ipv4("10.255.0.1/31");
    StandardHub hub(policy);
    hub.send("kita", arp(1, {.sender_mac = kStation, .sender = "10.255.0.0", .target = "10.255.0.1"}));
    CHECK(hub.left().size() == 1);
    CHECK(where(hub, "10.255.0.0") == kStation);
}

TEST_CASE("arp: what is not IPv4 over Ethernet, or contradicts itself, is malformed", "[path][local]") {
    StandardHub hub;
    expect_drop(hub, "kita", request_with(0, {0, 6}), DropReason::arp_malformed);        // another hardware
    expect_drop(hub, "kita", request_with(2, {0x86, 0xdd}), DropReason::arp_malformed);  // another protocol
    expect_drop(hub, "kita", request_with(4, {8}), DropReason::arp_malformed);
    expect_drop(hub, "kita", request_with(5, {16}), DropReason::arp_malformed);
    expect_drop(hub, "kita", request_with(6, {0, 0}), DropReason::arp_malformed);
    expect_drop(hub, "kita", request_with(6, {0, 3}), DropReason::arp_malformed);
    expect_drop(hub, "kita", request_with(8, {0x03}), DropReason::arp_malformed);  // a group as sender
    expect_drop(hub, "kita", request_with(8, Bytes(6)).from("00:00:00:00:00:00"), DropReason::arp_malformed);
    expect_drop(hub, "kita", request_with(0, {}).from(kOther), DropReason::arp_malformed);  // another's frame
    for (const std::size_t length : {14U, 15U, 41U})
        expect_drop(hub, "kita", request_with(0, {}).cut(length), DropReason::arp_malformed);
}

TEST_CASE("arp: more than the attachment's budget is dropped, another attachment's is not touched", "[path][local]") {
    StandardHub hub;
    const Frame request = arp(1, {.sender_mac = kStation, .sender = "10.255.0.3", .target = "10.255.0.1"});
    std::vector<Frame> flood(600, request);
    for (std::size_t sent = 0; sent < 600; sent += 60)  // an answer each needs its place in the queue
        hub.send("kita", std::vector<Frame>(flood.begin(), flood.begin() + 60));
    CHECK(hub.drops() == Drops{{DropReason::local_rate, 60}});
    hub.send("minami", request);
    CHECK(hub.drops() == Drops{});
    hub.wait(0.1);  // 2,000 a second
    hub.send("kita", std::vector<Frame>(60, request));
    CHECK(hub.drops() == Drops{});
}

TEST_CASE("arp: without a buffer the answer is not made, and is counted as that", "[path][local]") {
    StandardHub hub;
    const NoBuffers none;
    hub.send("kita", arp(1, {.sender_mac = kStation, .sender = "10.255.0.3", .target = "10.255.0.1"}));
    CHECK(hub.left() == Frames{});
    CHECK(hub.consumed() == 1);
    CHECK(hub.not_made_buffer() == 1);
}
