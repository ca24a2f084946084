// Neighbours that live and die, the nexthops behind them, and the hub's own addresses that others claim (RFC 4861 §7.3,
// RFC 5227 §2.4).
#include "dataplane/link_watch.hpp"
#include "tests/dataplane/support/ends.hpp"
#include "tests/dataplane/support/expect.hpp"
#include "tests/dataplane/support/test_hub.hpp"

using namespace sekisho;
using namespace sekisho::test;
using dataplane::Neighbours;

namespace {

// kita's two lines, for all of its prefixes.
Policy two_ways(bool backup) {
    Policy policy = standard_policy();
    for (Way& way : policy.ways)
        if (way.kind == dataplane::Nexthop::Kind::gateway && way.line == "kita")
            way.or_by("kita-backup", way.prefix.is_ipv4() ? "10.255.1.2" : "fd00:fffe::2", backup);
    return policy;
}
std::string gateway(const Ends& ends, bool backup) {
    if (ends.family == Family::ipv4) return backup ? "10.255.1.2" : "10.255.0.2";
    return backup ? "fd00:fffe::2" : "fd00:ffff::2";
}
// The gateway of one of kita's lines answers a question.
void gateway_answers(TestHub& hub, const Ends& ends, bool backup) {
    const std::string line = backup ? "kita-backup" : "kita";
    const std::string_view mac = backup ? kBackupGateway : kKitaGateway;
    const std::string from = gateway(ends, backup);
    const std::string own = from.substr(0, from.size() - 1) + "1";
    if (ends.family == Family::ipv4)
        hub.send(line, arp(2, {.sender_mac = mac,
                               .sender = from,
                               .target_mac = hub.policy().line(line).mac_address.text(),
                               .target = own}));
    else
        hub.send(line, neighbour_advertisement(from, own, from, mac, kNdFlagSolicited | kNdFlagOverride));
}
Frame to_kita(const Ends& ends, unsigned port = 4000) {
    return udp(at(ends.portal, 53), at(ends.client_hub, port));
}
Sent back_to_kita(const TestHub& hub, const Ends& ends, bool backup) {
    return hub.by(
        backup ? "kita-backup" : "kita",
        udp(at(ends.portal_hub, 53), at(ends.client, 4000)).ttl(63).to(backup ? kBackupGateway : kKitaGateway));
}
std::uint32_t number_of(TestHub& hub, const Ends& ends) {
    const IpAddress address = test::address(gateway(ends, false));
    return address.is_ipv4() ? hub.worker().neighbours.find(AttachmentId(0), address.ipv4())
                             : hub.worker().neighbours.find(AttachmentId(0), address.ipv6());
}
Neighbours::State state_of(TestHub& hub, const Ends& ends) {
    return hub.worker().neighbours.link(number_of(hub, ends)).state();
}

}  // namespace

TEST_CASE("nexthop: a neighbour in use is asked by unicast, while packets go on, and stays when it answers",
          "[path][neighbour]") {
    StandardHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    hub.wait(46);
    CHECK(state_of(hub, ends) == Neighbours::State::stale);
    hub.send("center", to_kita(ends));
    CHECK(hub.left() == Frames{back_to_kita(hub, ends, false)});
    hub.wait(0.1);
    CHECK(state_of(hub, ends) == Neighbours::State::delay);
    CHECK(hub.left() == Frames{});
    hub.wait(5.0);
    CHECK(state_of(hub, ends) == Neighbours::State::probe);
    REQUIRE(hub.left().size() == 1);  // to its own MAC address, not to everybody
    const MacAddress known = mac(kKitaGateway);
    CHECK(std::equal(known.bytes().begin(), known.bytes().end(), hub.left().front().frame.begin()));
    hub.send("center", to_kita(ends));
    CHECK(hub.left() == Frames{back_to_kita(hub, ends, false)});
    gateway_answers(hub, ends, false);
    CHECK(state_of(hub, ends) == Neighbours::State::reachable);
}

TEST_CASE("nexthop: a neighbour in use that answers three probes with silence has failed", "[path][neighbour]") {
    StandardHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    hub.wait(46);
    hub.send("center", to_kita(ends));
    hub.wait(5.1);
    hub.wait(3.0);
    CHECK(state_of(hub, ends) == Neighbours::State::failed);
    hub.send("center", to_kita(ends));
    CHECK(hub.drops() == Drops{{DropReason::neighbour_unresolved, 1}});
}

TEST_CASE("nexthop: a neighbour that nothing is sent to is forgotten, and its number given again",
          "[path][neighbour]") {
    StandardHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    const std::uint32_t version = hub.worker().neighbours.version(number_of(hub, ends));
    hub.wait(46 + 61);
    CHECK(number_of(hub, ends) == Neighbours::kNone);
    CHECK(hub.left() == Frames{});
    const std::size_t numbers = hub.worker().neighbours.size();
    hub.send("center", to_kita(ends));  // asked anew
    CHECK(hub.held() == 1);
    CHECK(hub.worker().neighbours.size() == numbers);
    CHECK(hub.worker().neighbours.version(number_of(hub, ends)) != version);
    gateway_answers(hub, ends, false);
    CHECK(hub.left() == Frames{back_to_kita(hub, ends, false)});
}

TEST_CASE("nexthop: numbers that come and go never hide a neighbour that stays", "[path][neighbour]") {
    Neighbours neighbours(64, 64, 1'000'000);
    const auto nothing = [](const auto&) noexcept {};
    const std::uint32_t stays = neighbours.find_or_add(AttachmentId(1), Ipv4Address(1));
    std::uint64_t now = 1;
    for (std::uint32_t round = 0; round < 2000; ++round) {
        for (std::uint32_t i = 0; i < 40; ++i)
            REQUIRE(neighbours.find_or_add(AttachmentId(2), Ipv4Address(100 + round * 40 + i)) != Neighbours::kNone);
        neighbours.confirm(stays, MacAddress(), now);
        neighbours.tick(now, 256, nothing, nothing);
        now += 21'000'000;
        neighbours.confirm(stays, MacAddress(), now);
        neighbours.tick(now, 256, nothing, nothing);  // the others were never known
        neighbours.grace_passed({});
        neighbours.grace_passed({});
        REQUIRE(neighbours.find(AttachmentId(1), Ipv4Address(1)) == stays);
        REQUIRE(neighbours.find(AttachmentId(2), Ipv4Address(100 + round * 40)) == Neighbours::kNone);
    }
    CHECK(neighbours.size() <= 41);
}

TEST_CASE("nexthop: gratuitous ARP of either form, and an unsolicited advertisement, change an entry and make none",
          "[path][neighbour]") {
    StandardHub hub;
    const std::uint16_t operation = GENERATE(std::uint16_t{1}, std::uint16_t{2});
    const auto gratuitous = [&](std::string_view of) {
        return arp(operation, {.sender_mac = kStation, .sender = std::string(of), .target = std::string(of)})
            .to(kBroadcastMac);
    };
    hub.send("kita", gratuitous("10.255.0.2"));
    CHECK(state_of(hub, kEnds4) == Neighbours::State::stale);
    CHECK(hub.worker().neighbours.link(number_of(hub, kEnds4)).mac().text() == kStation);
    hub.send("kita", gratuitous("10.255.0.5"));
    CHECK(hub.drops() == Drops{{DropReason::arp_not_ours, 1}});
    hub.send("kita", neighbour_advertisement("fd00:ffff::2", "ff02::1", "fd00:ffff::2", kStation, 0));
    CHECK(state_of(hub, kEnds6) == Neighbours::State::stale);  // RFC 4861 §7.2.5: doubted, but not replaced
    CHECK(hub.worker().neighbours.link(number_of(hub, kEnds6)).mac().text() == kKitaGateway);
    hub.send("kita", neighbour_advertisement("fd00:ffff::2", "ff02::1", "fd00:ffff::2", kStation, kNdFlagOverride));
    CHECK(hub.worker().neighbours.link(number_of(hub, kEnds6)).mac().text() == kStation);
}

TEST_CASE("nexthop: the backup takes over when the gateway is gone, and gives back when it returns", "[path][ecmp]") {
    StandardHub hub(two_ways(true));
    const Ends ends = GENERATE(kEnds4, kEnds6);
    hub.send("center", to_kita(ends));
    CHECK(hub.left() == Frames{back_to_kita(hub, ends, false)});
    for (int second = 0; second < 8; ++second) {
        hub.wait(1.0);
        gateway_answers(hub, ends, true);
    }
    hub.send("center", to_kita(ends));
    CHECK(hub.left() == Frames{back_to_kita(hub, ends, true)});
    // What comes back by the backup line is the institution's, too.
    hub.send("kita-backup", udp(at(ends.client, 4000), at(ends.portal_hub, 53)));
    CHECK(hub.drops() == Drops{});
    CHECK(hub.left().size() == 1);
    gateway_answers(hub, ends, false);
    hub.wait(0.1);
    hub.send("center", to_kita(ends));
    CHECK(hub.left() == Frames{back_to_kita(hub, ends, false)});
}

TEST_CASE("nexthop: with all of them gone, packets are refused by their own reason, until one answers",
          "[path][ecmp]") {
    StandardHub hub(two_ways(GENERATE(true, false)));
    const Ends ends = GENERATE(kEnds4, kEnds6);
    hub.wait(8.0);
    hub.send("center", to_kita(ends));
    CHECK(hub.drops() == Drops{{DropReason::no_nexthop, 1}});
    CHECK(hub.made() == 1);  // administratively prohibited, as without a route
    hub.wait(3.0);
    CHECK(hub.left().size() >= 4);  // both are still asked, in both families
    gateway_answers(hub, ends, true);
    hub.wait(0.1);
    hub.send("center", to_kita(ends));
    CHECK(hub.left() == Frames{back_to_kita(hub, ends, true)});
}

TEST_CASE("nexthop: a port that is down withdraws its nexthops, whatever neighbours say", "[path][ecmp]") {
    Policy policy = two_ways(true);
    policy.line("kita-backup").port = 3;
    StandardHub hub(policy);
    const Ends ends = GENERATE(kEnds4, kEnds6);
    hub.worker().team.down_ports[0] = true;
    hub.wait(0.1);
    hub.send("center", to_kita(ends));
    CHECK(hub.left() == Frames{back_to_kita(hub, ends, true)});
    hub.worker().team.down_ports[0] = false;
    hub.wait(0.1);
    hub.send("center", to_kita(ends));
    CHECK(hub.left() == Frames{back_to_kita(hub, ends, false)});
}

TEST_CASE("nexthop: flows are spread over equal nexthops, each by one", "[path][ecmp]") {
    StandardHub hub(two_ways(false));
    const Ends ends = GENERATE(kEnds4, kEnds6);
    std::size_t by_backup = 0;
    for (unsigned port = 4000; port < 4200; ++port) {
        hub.send("center", {to_kita(ends, port), to_kita(ends, port)});
        REQUIRE(hub.left().size() == 2);
        CHECK(hub.left()[0] == hub.left()[1]);
        const MacAddress backup = mac(kBackupGateway);
        by_backup += std::equal(backup.bytes().begin(), backup.bytes().end(), hub.left()[0].frame.begin());
    }
    CHECK(by_backup > 60);
    CHECK(by_backup < 140);
}

TEST_CASE("nexthop: a group gives flows by weight, and moves only those of a member that is withdrawn", "[ecmp]") {
    const std::vector<dataplane::GroupMember> members = {
        {NexthopId(7), 1, false}, {NexthopId(8), 3, false}, {NexthopId(9), 1, true}};
    const dataplane::NexthopGroup group(members);
    std::array<int, 3> flows{};
    for (std::uint32_t i = 0; i < 6400; ++i) {
        const std::uint32_t hash = i * 0x9e37'79b9U;
        const std::size_t member = group.choose(hash, 0b111);
        ++flows.at(member);
        CHECK(group.choose(hash, 0b101) == 0);
        CHECK(group.choose(hash, 0b100) == 2);
        if (member == 1) CHECK(group.choose(hash, 0b110) == 1);
    }
    CHECK(flows[0] > 1500);
    CHECK(flows[0] < 1700);
    CHECK(flows[2] == 0);
    CHECK(group.choose(1, 0) == dataplane::NexthopGroup::kNone);
}

TEST_CASE("nexthop: a port is down when it was up and says so, unless it goes on receiving", "[ecmp]") {
    dataplane::LinkWatch never;
    CHECK_FALSE(never.look(false, 0));
    CHECK_FALSE(never.look(false, 0));
    dataplane::LinkWatch watch;
    CHECK_FALSE(watch.look(true, 10));
    CHECK(watch.look(false, 12));
    CHECK(watch.look(false, 12));
    CHECK_FALSE(watch.look(false, 13));
    CHECK_FALSE(watch.look(false, 13));
    CHECK_FALSE(watch.look(true, 13));
    CHECK(watch.look(false, 13));
}

TEST_CASE("nexthop: a claim of the hub's address is noted, and defended once in ten seconds", "[path][local]") {
    StandardHub hub;
    const auto claim = [&] {
        hub.send("kita",
                 arp(2, {.sender_mac = kStation, .sender = "10.255.0.1", .target = "10.255.0.2"}).to(kBroadcastMac));
    };
    claim();
    CHECK(hub.drops() == Drops{{DropReason::duplicate_address, 1}});
    const Frames defence = {hub.by("kita", arp(1, {.sender_mac = hub.policy().line("kita").mac_address.text(),
                                                   .sender = "10.255.0.1",
                                                   .target = "10.255.0.1"}))};
    CHECK(hub.left() == defence);
    const auto noted = hub.worker().team.conflicts.claim(AttachmentId(0), hub.now());
    REQUIRE(noted);
    CHECK(noted->mac.text() == kStation);
    CHECK(noted->which == dataplane::Conflicts::Which::ipv4);
    hub.wait(9.8);
    claim();
    CHECK(hub.left() == Frames{});
    hub.wait(0.3);
    claim();
    CHECK(hub.left() == defence);
    hub.wait(61);
    CHECK_FALSE(hub.worker().team.conflicts.claim(AttachmentId(0), hub.now()));
}

TEST_CASE("nexthop: an attachment's neighbours are told of its addresses when it comes up or they change",
          "[path][local]") {
    StandardHub hub;
    hub.announces(true);
    const std::size_t lines = hub.policy().lines.size();
    hub.wait(0.1);
    CHECK(hub.left().size() == 3 * lines);  // ARP, and both IPv6 addresses
    hub.wait(1.8);
    CHECK(hub.left() == Frames{});
    hub.wait(0.2);
    CHECK(hub.left().size() == 3 * lines);
    hub.wait(5.0);
    CHECK(hub.left() == Frames{});
    Policy policy = standard_policy();
    policy.line("kita").mac_address = mac("02:5e:00:00:00:77");
    hub.commit(policy);
    hub.wait(0.1);
    CHECK(hub.left().size() == 3);
    CHECK(hub.left().front() ==
          hub.by("kita", arp(1, {.sender_mac = "02:5e:00:00:00:77", .sender = "10.255.0.1", .target = "10.255.0.1"})));
}

TEST_CASE("neighbours: who could not be asked for want of room is not held to be silent", "[neighbours]") {
    constexpr std::uint64_t kTick = 1000;  // of a TSC that runs at 10 kHz
    dataplane::Neighbours neighbours(64, 64, 10 * kTick);
    std::vector<std::uint32_t> known;
    for (std::uint32_t n = 0; n < 8; ++n) {
        known.push_back(neighbours.find_or_add(AttachmentId(0), Ipv4Address(0x0a000001U + n)));
        neighbours.confirm(known.back(), mac("02:00:00:00:00:09"), 1);
    }
    neighbours.set_reachable_time(AttachmentId(0), 2);
    std::uint64_t now = 1;
    std::size_t asked = 0;
    const auto ask = [&](const auto&) noexcept { ++asked; };
    const auto drop = [](const auto&) noexcept {};
    // Used all the time, and never asked: they stay known for as long as it lasts.
    for (int i = 0; i < 3000; ++i) {
        for (const std::uint32_t each : known) neighbours.mark_used(each);
        neighbours.tick(now += kTick, 0, ask, drop);
    }
    CHECK(asked == 0);
    for (const std::uint32_t each : known) CHECK(neighbours.is_known(each));
    // With room they are asked, and are given up when they stay silent.
    for (int i = 0; i < 300; ++i) {
        for (const std::uint32_t each : known) neighbours.mark_used(each);
        const std::size_t before = asked;
        neighbours.tick(now += kTick, 2, ask, drop);
        CHECK(asked - before <= 2);
    }
    CHECK(asked == known.size() * dataplane::Neighbours::kProbes);
    for (const std::uint32_t each : known) CHECK_FALSE(neighbours.is_known(each));
}
