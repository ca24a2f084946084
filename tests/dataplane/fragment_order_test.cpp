// Fragments on their way through: they follow their first one, in any order, whatever changes between two (RFC 6946).
//
// What leaves is compared with the translated datagram, built from the beginning and cut by the tests' own hand at the
// same places.
#include <algorithm>

#include "tests/dataplane/support/datagrams.hpp"

using namespace sekisho;
using namespace sekisho::test;

TEST_CASE("fragment: in any order, every one leaves translated, and its datagram is whole behind the hub",
          "[path][fragment][conformance-61]") {
    StandardHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    const auto make = GENERATE(0, 1, 2, 3, 4);
    const Datagram datagram = make == 0   ? question(ends)
                              : make == 1 ? answer(ends)
                              : make == 2 ? segment(ends)
                              : make == 3 ? ping(ends)
                                          : any_protocol(ends);
    std::vector<std::size_t> order = {0, 1, 2};
    do {
        CAPTURE(order);
        // One burst: what has its first one leaves with it, what waited in the next walk.
        std::vector<std::size_t> leaving;
        bool known = false;
        for (const std::size_t i : order) {
            known = known || i == 0;
            if (known) leaving.push_back(i);
        }
        for (const std::size_t i : order) {
            if (i == 0) break;
            leaving.push_back(i);
        }
        hub.send(datagram.from, frames_of(datagram, order));
        CHECK(hub.left() == delivered_of(hub, datagram, leaving));
        CHECK(hub.drops() == Drops{});
        CHECK(hub.held() == 0);
        // One by one, with time between them.
        Frames left;
        for (const Frame& frame : frames_of(datagram, order)) {
            hub.send(datagram.from, frame);
            left.insert(left.end(), hub.left().begin(), hub.left().end());
            CHECK(hub.drops() == Drops{});
            hub.wait(0.4);
        }
        std::vector<Bytes> received;
        for (const Sent& sent : left) received.push_back(Bytes(sent.frame.begin() + 14, sent.frame.end()));
        CHECK((reassembled(received) == datagram.delivered));
        CHECK(hub.held() == 0);
    } while (std::next_permutation(order.begin(), order.end()));
}

TEST_CASE("fragment: IPv6's with other headers before and behind the fragment header", "[path][fragment]") {
    StandardHub hub;
    const Ends& ends = kEnds6;
    const auto frames = [&](std::string_view from, std::string_view to, unsigned hops) {
        const Frame whole = udp(at(from, 4000), at(to, 53)).destination_options(1).payload(800).ttl(hops);
        std::vector<Bytes> parts = pieces(whole.ip(), {64, 400});
        for (Bytes& part : parts) {  // hop-by-hop options before the fragment header
            const Bytes hop_by_hop = {44, 0, 1, 4, 0, 0, 0, 0};
            part.insert(part.begin() + 40, hop_by_hop.begin(), hop_by_hop.end());
            part[6] = 0;
            set16(part, 4, part.size() - 40);
        }
        return parts;
    };
    const auto in = frames(ends.client, ends.portal_hub, 64);
    const auto out = frames(ends.client_hub, ends.portal, 63);
    hub.send("kita", {carrying(in[2]), carrying(in[0]), carrying(in[1])});
    CHECK(hub.left() == Frames{hub.by("center", carrying(out[0]).to(kPortal)),
                               hub.by("center", carrying(out[1]).to(kPortal)),
                               hub.by("center", carrying(out[2]).to(kPortal))});
    CHECK(hub.drops() == Drops{});
    // Two fragment headers are one too many.
    Bytes twice = piece(piece(question(ends).sent, 0, 800, true, 5), 0, 400, true, 6);
    expect_drop(hub, "kita", carrying(twice), DropReason::ipv6_extension_chain);
    twice = piece(piece(question(ends).sent, 0, 800, false, 5), 0, 808, false, 6);
    expect_drop(hub, "kita", carrying(twice), DropReason::ipv6_extension_chain);
    for (std::size_t length = 41; length < 48; ++length) {
        Bytes cut = first(question(ends).piece_sent(0, 64, true).ip(), length);
        set16(cut, 4, cut.size() - 40);
        expect_drop(hub, "kita", carrying(cut), DropReason::ipv6_extension_truncated);
    }
}

TEST_CASE("fragment: an atomic one is a packet of its own", "[path][fragment][conformance-16]") {
    StandardHub hub;
    const Ends& ends = kEnds6;
    const Datagram some = question(ends);
    const Datagram alone = question(ends, 53, 40);
    expect_to_pass(hub, "kita", some.piece_sent(0, 64, true), some.piece_delivered(hub, 0, 64, true));
    for (int i = 0; i < 2; ++i)  // the same identification, and twice
        expect_to_pass(hub, "kita", alone.piece_sent(0, 48, false), alone.piece_delivered(hub, 0, 48, false));
    expect_to_pass(hub, "kita", some.piece_sent(64, 800, true), some.piece_delivered(hub, 64, 800, true));
    const Bytes refused = udp(at(ends.client, 4000), at(ends.portal_hub, 54)).ip();
    hub.send("kita", carrying(piece(refused, 0, body_size(refused), false)));
    CHECK(hub.drops() == Drops{{DropReason::no_agreement, 1}});
    CHECK(hub.made() == 1);
}

TEST_CASE("fragment: the same datagram by two lines is two", "[path][fragment][conformance-78]") {
    StandardHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    const Datagram kita = question(ends);
    expect_to_pass(hub, "kita", kita.piece_sent(0, 64, true), kita.piece_delivered(hub, 0, 64, true));
    // Minami's, with the same addresses and identification, does not follow kita's; nor does kita's other line.
    expect_to_wait(hub, "minami", kita.piece_sent(64, 800, true));
    expect_to_wait(hub, "kita-backup", kita.piece_sent(64, 800, true));
    hub.wait(1.0);
    CHECK(hub.drops() == Drops{{DropReason::fragment_without_first, 2}});
    // Nor one with another identification, nor IPv4's with another protocol.
    expect_to_wait(hub, "kita", kita.piece_sent(64, 800, true, 0x4321));
    const Datagram esp = any_protocol(ends);
    expect_to_wait(hub, "kita", esp.piece_sent(64, 800, true));
}

TEST_CASE("fragment: a gate that closes between two counts for the second, silently", "[path][fragment]") {
    const Ends ends = GENERATE(kEnds4, kEnds6);
    const Datagram some = question(ends);
    StandardHub hub;
    expect_to_pass(hub, "kita", some.piece_sent(0, 64, true), some.piece_delivered(hub, 0, 64, true));
    const Policy open = standard_policy();
    Policy closed = open;
    SECTION("the institution that sends") {
        closed.house("kita-hospital").close();
        hub.commit(closed);
        expect_drop(hub, "kita", some.piece_sent(64, 800, true), DropReason::institution_closed);
    }
    SECTION("the institution that receives") {
        closed.house("portal").close();
        hub.commit(closed);
        expect_drop(hub, "kita", some.piece_sent(64, 800, true), DropReason::institution_closed);
    }
    SECTION("the attachment that they come by") {
        closed.line("kita").close();
        hub.commit(closed);
        expect_drop(hub, "kita", some.piece_sent(64, 800, true), DropReason::attachment_closed);
    }
    SECTION("the attachment that they leave by") {
        closed.line("center").close();
        hub.commit(closed);
        expect_drop(hub, "kita", some.piece_sent(64, 800, true), DropReason::egress_closed);
    }
    hub.commit(open);
    expect_to_pass(hub, "kita", some.piece_sent(800, 1600, true), some.piece_delivered(hub, 800, 1600, true));
}

TEST_CASE("fragment: those that waited meet the tables of the walk in which they go on", "[path][fragment]") {
    const Ends ends = GENERATE(kEnds4, kEnds6);
    const Datagram some = question(ends);
    StandardHub hub;
    expect_to_wait(hub, "kita", some.piece_sent(64, 800, true));
    hub.pause(true);
    hub.send("kita", some.piece_sent(0, 64, true));  // what waited has its first one, and waits for the next walk
    CHECK(hub.left() == Frames{some.piece_delivered(hub, 0, 64, true)});
    CHECK(hub.held() == 1);
    Policy policy = standard_policy();
    DropReason expected = DropReason::attachment_closed;
    SECTION("the attachment is closed") {
        policy.line("kita").close();
    }
    SECTION("the attachment is another operator's") {
        policy.line("kita").vrf = policy.vrf_index("minami");
    }
    SECTION("the attachment does not carry the family any more") {
        (ends.family == Family::ipv4 ? policy.line("kita").address4 : policy.line("kita").address6) = "";
        expected = DropReason::family_not_served;
    }
    SECTION("the institution is closed") {
        policy.house("kita-hospital").close();
        expected = DropReason::institution_closed;
    }
    SECTION("there is no agreement") {
        policy.agreements.clear();
        expected = DropReason::no_agreement;
    }
    hub.commit(policy);
    hub.pause(false);
    hub.wait(0.1);
    CHECK(hub.left() == Frames{});
    CHECK(hub.drops() == Drops{{expected, 1}});
    CHECK(hub.made() == 0);
    CHECK(hub.held() == 0);
}

TEST_CASE("fragment: an attachment that is gone from the tables lets nothing go on", "[path][fragment]") {
    StandardHub hub;
    const Datagram some =
        datagram("center", "kita", kKitaGateway, udp("192.168.9.9:53", "100.64.0.7:4000").payload(900),
                 udp("100.64.2.9:53", "10.0.0.7:4000").payload(900));
    expect_to_wait(hub, "center", some.piece_sent(64, 800, true));
    hub.pause(true);
    hub.send("center", some.piece_sent(0, 64, true));
    hub.commit(Policy());
    hub.pause(false);
    hub.wait(0.1);
    CHECK(hub.drops() == Drops{{DropReason::attachment_closed, 1}});
}

TEST_CASE("fragment: a generation between two decides the second anew", "[path][fragment][conformance-78]") {
    const Ends ends = GENERATE(kEnds4, kEnds6);
    const Datagram some = question(ends);
    StandardHub hub;
    expect_to_pass(hub, "kita", some.piece_sent(0, 64, true), some.piece_delivered(hub, 0, 64, true));
    Policy policy = standard_policy();
    // Every row has another number, and the hospital other hub numbers: no index of the old tables may be used.
    policy.houses.push_front(policy.houses.back());
    policy.houses.pop_back();
    for (House& house : policy.houses)
        if (house.name == "kita-hospital")
            for (auto& [inside, hub_prefix] : house.maps)
                hub_prefix = hub_prefix.is_ipv4() ? IpPrefix(Prefix4(*Ipv4Address::parse("100.64.77.0"), 24))
                                                  : IpPrefix(Prefix6(*Ipv6Address::parse("2001:db8:4000:77::"), 64));
    hub.commit(policy);
    const bool ipv4 = ends.family == Family::ipv4;
    const Datagram renumbered =
        datagram("kita", "center", kPortal, udp(at(ends.client, 4000), at(ends.portal_hub, 53)).payload(2500),
                 udp(at(ipv4 ? "100.64.77.7" : "2001:db8:4000:77::7", 4000), at(ends.portal, 53)).payload(2500));
    expect_to_pass(hub, "kita", some.piece_sent(64, 800, true), renumbered.piece_delivered(hub, 64, 800, true));
    policy.agreements.clear();
    hub.commit(policy);
    expect_drop(hub, "kita", some.piece_sent(800, 1600, true), DropReason::no_agreement);
    // The line becomes another operator's: what the first one said was said in another space.
    policy = standard_policy();
    policy.line("kita").vrf = policy.vrf_index("minami");
    policy.house("minami-hospital").uses("kita");
    hub.commit(policy);
    expect_to_wait(hub, "kita", some.piece_sent(1600, 2400, true));
}

TEST_CASE("fragment: each one has its own hops, and only the first one's end is told",
          "[path][fragment][conformance-3][conformance-4][conformance-15]") {
    StandardHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    const Bytes late =
        udp(at(ends.client, 4000), at(ends.portal_hub, 53)).dont_fragment(false).payload(800).ttl(1).ip();
    hub.send("kita", carrying(piece(late, 0, 64, true)));
    CHECK(hub.drops() == Drops{{DropReason::ttl_expired, 1}});
    CHECK(hub.made() == 1);
    expect_drop(hub, "kita", carrying(piece(late, 64, 400, true)), DropReason::ttl_expired);
    const Datagram in_time = question(ends, 53, 800);
    expect_to_pass(hub, "kita", in_time.piece_sent(400, 808, false), in_time.piece_delivered(hub, 400, 808, false));
}

TEST_CASE("fragment: IPv6's that are too big are told of, first or later; IPv4's with DF only the first",
          "[path][fragment][conformance-6][conformance-11]") {
    const Ends ends = GENERATE(kEnds4, kEnds6);
    Policy policy = standard_policy();
    policy.line("center").mtu(1280);
    StandardHub hub(policy);
    Bytes whole = udp(at(ends.client, 4000), at(ends.portal_hub, 53)).payload(4000).dont_fragment(false).ip();
    std::vector<Bytes> parts = pieces(whole, {1400, 2800});
    if (ends.family == Family::ipv4)
        for (Bytes& part : parts) {
            set16(part, 6, get16(part, 6) | 0x4000U);
            set16(part, 10, 0);
            set16(part, 10, 0xffffU & ~unsigned{sum_of_words({std::span(part).first(20)})});
        }
    for (std::size_t i = 0; i < 2; ++i) {
        hub.send("kita", carrying(parts[i]));
        CHECK(hub.drops() == Drops{{DropReason::packet_too_big, 1}});
        CHECK(hub.made() == (i == 0 || ends.family == Family::ipv6 ? 1 : 0));
    }
}

TEST_CASE("fragment: DSCP and ECN stay what they are", "[path][fragment]") {
    StandardHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    for (const unsigned mark : {0x00U, 0x01U, 0x2eU << 2, 0xffU}) {
        const Datagram some = datagram("kita", "center", kPortal,
                                       udp(at(ends.client, 4000), at(ends.portal_hub, 53)).dscp_ecn(mark).payload(800),
                                       udp(at(ends.client_hub, 4000), at(ends.portal, 53)).dscp_ecn(mark).payload(800));
        for (const auto& [begin, end] : {std::pair<std::size_t, std::size_t>{0, 64}, {64, 808}})
            expect_to_pass(hub, "kita", some.piece_sent(begin, end, end != 808, mark),
                           some.piece_delivered(hub, begin, end, end != 808, mark));
    }
}

TEST_CASE("fragment: those for a neighbour that is not known wait for it, and go", "[path][fragment][neighbour]") {
    StandardHub hub;
    const bool ipv4 = GENERATE(true, false);
    const Ends& ends = ipv4 ? kEnds4 : kEnds6;
    const std::string_view station = "02:00:00:00:0c:33";
    const std::string target = ipv4 ? "192.168.9.100" : "fd99::64";
    const std::string target_hub = ipv4 ? "100.64.2.100" : "2001:db8:4000:201::64";
    const Datagram some =
        datagram("kita", "center", station, udp(at(ends.client, 4000), at(target_hub, 53)).payload(2500),
                 udp(at(ends.client_hub, 4000), at(target, 53)).payload(2500));
    hub.send("kita", frames_of(some, {1, 0, 2}));
    CHECK(hub.held() == 3);
    hub.know("center", target, station);
    hub.send("center", ipv4 ? arp(1, {.sender_mac = station, .sender = target, .target = ends.center_hub})
                            : neighbour_solicitation(target, "ff02::1:ff00:1", ends.center_hub, station));
    CHECK(hub.drops() == Drops{});
    CHECK(hub.held() == 0);
    std::vector<Bytes> received;
    for (const Sent& sent : hub.left()) {
        const Bytes ip = Bytes(sent.frame.begin() + 14, sent.frame.end());
        if (!std::equal(sent.frame.begin(), sent.frame.begin() + 6, mac(station).bytes().begin())) continue;
        if (get16(sent.frame, 12) == 0x0806 || (!ipv4 && ip[6] != 44)) continue;
        received.push_back(ip);
    }
    CHECK((reassembled(received) == some.delivered));
}
