// Fragments on their way through: they follow their first one, in any order, or go nowhere (RFC 791, 1858, 3128, 5722,
// 6946, 8200 §4.5).
//
// What leaves is compared with the translated datagram, built from the beginning and cut by the tests' own hand at the
// same places.
#include <algorithm>

#include "tests/dataplane/support/ends.hpp"
#include "tests/dataplane/support/pieces.hpp"
#include "tests/dataplane/support/test_hub.hpp"

using namespace sekisho;
using namespace sekisho::test;
using dataplane::Fragments;

namespace {

// A datagram on both sides of the hub.
struct Datagram {
    std::string_view from, to;  // lines
    std::string_view next_hop;
    Bytes sent, delivered;

    Frame piece_sent(std::size_t begin, std::size_t end, bool more, std::uint32_t id = 0x1234) const {
        return carrying(piece(sent, begin, end, more, id));
    }
    Sent piece_delivered(const TestHub& hub, std::size_t begin, std::size_t end, bool more,
                         std::uint32_t id = 0x1234) const {
        return hub.by(to, carrying(piece(delivered, begin, end, more, id)).to(next_hop));
    }
};

Datagram datagram(std::string_view from, std::string_view to, std::string_view next_hop, Frame sent, Frame delivered) {
    sent.dont_fragment(false);
    delivered.dont_fragment(false).ttl(63);
    return {from, to, next_hop, sent.ip(), delivered.ip()};
}
Datagram question(const Ends& ends, unsigned port = 53, std::size_t size = 2500) {
    return datagram("kita", "center", kPortal, udp(at(ends.client, 4000), at(ends.portal_hub, port)).payload(size),
                    udp(at(ends.client_hub, 4000), at(ends.portal, port)).payload(size));
}
Datagram answer(const Ends& ends, std::size_t size = 2500) {
    return datagram("center", "kita", kKitaGateway, udp(at(ends.portal, 53), at(ends.client_hub, 4000)).payload(size),
                    udp(at(ends.portal_hub, 53), at(ends.client, 4000)).payload(size));
}
Datagram segment(const Ends& ends) {
    return datagram("kita", "center", kPortal, tcp(at(ends.client, 4000), at(ends.portal_hub, 443)).ack().payload(2000),
                    tcp(at(ends.client_hub, 4000), at(ends.portal, 443)).ack().payload(2000));
}
Datagram ping(const Ends& ends) {
    return datagram("kita", "center", kPortal, echo_request(ends.client, ends.portal_hub).payload(2000),
                    echo_request(ends.client_hub, ends.portal).payload(2000));
}
Datagram any_protocol(const Ends& ends) {
    return datagram("kita", "center", kCenterGateway, packet(ends.client, ends.archive, 50, Bytes(2000, 0x5a)),
                    packet(ends.client_hub, ends.archive, 50, Bytes(2000, 0x5a)));
}

const std::vector<std::size_t> kCuts = {64, 1480};

std::vector<Frame> frames_of(const Datagram& datagram, const std::vector<std::size_t>& order) {
    const std::vector<Bytes> all = pieces(datagram.sent, kCuts);
    std::vector<Frame> frames;
    for (const std::size_t i : order) frames.push_back(carrying(all[i]));
    return frames;
}
Frames delivered_of(const TestHub& hub, const Datagram& datagram, const std::vector<std::size_t>& order) {
    const std::vector<Bytes> all = pieces(datagram.delivered, kCuts);
    Frames frames;
    for (const std::size_t i : order) frames.push_back(hub.by(datagram.to, carrying(all[i]).to(datagram.next_hop)));
    return frames;
}

void expect_drop(TestHub& hub, std::string_view line, const Frame& frame, DropReason reason) {
    hub.send(line, frame);
    CHECK(hub.left() == Frames{});
    CHECK(hub.drops() == Drops{{reason, 1}});
    CHECK(hub.made() == 0);
}
void expect_to_wait(TestHub& hub, std::string_view line, const Frame& frame) {
    const std::uint64_t before = hub.held();
    hub.send(line, frame);
    CHECK(hub.left() == Frames{});
    CHECK(hub.drops() == Drops{});
    CHECK(hub.held() == before + 1);
}
void expect_to_pass(TestHub& hub, std::string_view line, const Frame& frame, const Sent& expected) {
    hub.send(line, frame);
    CHECK(hub.left() == Frames{expected});
    CHECK(hub.drops() == Drops{});
}

}  // namespace

TEST_CASE("fragment: one whose first does not come in a second is counted, never guessed",
          "[path][fragment][conformance-75][conformance-4]") {
    StandardHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    const Datagram lost = question(ends);
    expect_to_wait(hub, "kita", lost.piece_sent(64, 1480, true));
    hub.wait(0.5);
    expect_to_wait(hub, "kita", lost.piece_sent(1480, 2508, false));
    hub.wait(0.4);
    CHECK(hub.drops() == Drops{});
    CHECK(hub.held() == 2);
    hub.wait(0.1);
    CHECK(hub.left() == Frames{});
    CHECK(hub.drops() == Drops{{DropReason::fragment_without_first, 2}});
    CHECK(hub.made() == 0);
    CHECK(hub.held() == 0);
    // The first one comes too late for them, and passes by itself.
    expect_to_pass(hub, "kita", lost.piece_sent(0, 64, true), lost.piece_delivered(hub, 0, 64, true));
}

TEST_CASE("fragment: a first one without all of its L4 header is dropped", "[path][fragment]") {
    StandardHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    expect_drop(hub, "kita", segment(ends).piece_sent(0, 8, true), DropReason::fragment_tiny);
    expect_drop(hub, "kita", segment(ends).piece_sent(0, 16, true), DropReason::fragment_tiny);
    const Bytes with_options = tcp(at(ends.client, 4000), at(ends.portal_hub, 443))
                                   .ack()
                                   .data_offset(8)
                                   .payload(Bytes(80, 1))
                                   .dont_fragment(false)
                                   .ip();
    expect_drop(hub, "kita", carrying(piece(with_options, 0, 24, true)), DropReason::fragment_tiny);
    hub.send("kita", carrying(piece(with_options, 0, 32, true, 9)));
    CHECK(hub.left().size() == 1);
    if (ends.family == Family::ipv4) return;
    // RFC 7112: the chain of headers, too.
    const Bytes chain = udp(at(ends.client, 4000), at(ends.portal_hub, 53)).destination_options(2).payload(100).ip();
    const auto cut = [&](std::size_t end) {  // the options are behind the fragment header
        return carrying(piece(chain, 0, end, true, 10));
    };
    for (const std::size_t end : {8U, 16U, 24U}) expect_drop(hub, "kita", cut(end), DropReason::fragment_tiny);
    hub.send("kita", cut(32));
    CHECK(hub.drops() == Drops{});
    CHECK(hub.left().size() == 1);
}

TEST_CASE("fragment: one that begins inside a TCP header is dropped", "[path][fragment]") {
    StandardHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    const Datagram tcp_segment = segment(ends);
    for (const std::size_t begin : {8U, 16U})
        expect_drop(hub, "kita", tcp_segment.piece_sent(begin, 800, true), DropReason::fragment_in_header);
    expect_to_pass(hub, "kita", tcp_segment.piece_sent(0, 64, true), tcp_segment.piece_delivered(hub, 0, 64, true));
    for (const std::size_t begin : {8U, 16U})
        expect_drop(hub, "kita", tcp_segment.piece_sent(begin, 800, true), DropReason::fragment_in_header);
}

TEST_CASE("fragment: one of an impossible length is dropped", "[path][fragment]") {
    StandardHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    const Datagram some = question(ends);
    const auto& sent = some.sent;
    expect_drop(hub, "kita", carrying(piece(sent, 800, 800, true)), DropReason::fragment_length);
    expect_drop(hub, "kita", carrying(piece(sent, 0, 0, true)), DropReason::fragment_length);
    expect_drop(hub, "kita", carrying(piece(sent, 800, 800, false)), DropReason::fragment_length);
    for (const std::size_t length : {1U, 7U, 9U})
        expect_drop(hub, "kita", carrying(piece(sent, 800, 800 + length, true)), DropReason::fragment_length);
    expect_drop(hub, "kita", carrying(piece(sent, 0, 65, true)), DropReason::fragment_length);
    // The datagram would be longer than any: 65,535 bytes with IPv4's header, without IPv6's.
    const std::size_t behind = ends.family == Family::ipv4 ? 65535 - 20 : 65535;
    const auto ending_at = [&](std::size_t end) {
        const std::size_t begin = (end - 40) / 8 * 8;
        Bytes ip = piece(sent, 800, 800 + end - begin, false, 77);
        if (ends.family == Family::ipv4) {
            set16(ip, 6, begin / 8);
            set16(ip, 10, 0);
            set16(ip, 10, 0xffffU & ~unsigned{sum_of_words({std::span(ip).first(20)})});
        } else {
            set16(ip, 42, begin);
        }
        return carrying(ip);
    };
    expect_drop(hub, "kita", ending_at(behind + 1), DropReason::fragment_length);
    expect_to_wait(hub, "kita", ending_at(behind));
}

TEST_CASE("fragment: none is for the hub itself", "[path][fragment]") {
    StandardHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    const Bytes to_hub = echo_request(ends.client, ends.kita_hub).payload(2000).dont_fragment(false).ip();
    for (const Bytes& ip : pieces(to_hub, kCuts)) expect_drop(hub, "kita", carrying(ip), DropReason::fragment_to_hub);
    if (ends.family == Family::ipv4) return;
    expect_drop(hub, "kita", carrying(piece(to_hub, 0, 2008, false)), DropReason::fragment_to_hub);
    // RFC 6980: neighbour discovery above all.
    const Frame solicitation = neighbour_solicitation("fd00:ffff::2", "ff02::1:ff00:1", "fd00:ffff::1", kKitaGateway);
    const Bytes ip = solicitation.ip();
    const MacAddress group = MacAddress::of_group(*Ipv6Address::parse("ff02::1:ff00:1"));
    expect_drop(hub, "kita", carrying(piece(ip, 0, body_size(ip), false)).to(group), DropReason::fragment_to_hub);
    expect_drop(hub, "kita", carrying(piece(ip, 0, 24, true)).to(group), DropReason::fragment_to_hub);
}

TEST_CASE("fragment: one that came to a group's MAC address is dropped", "[path][fragment]") {
    StandardHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    const Datagram some = question(ends);
    expect_drop(hub, "kita", some.piece_sent(0, 64, true).to("ff:ff:ff:ff:ff:ff"), DropReason::mac_not_ours);
    expect_drop(hub, "kita", some.piece_sent(64, 128, true).to("ff:ff:ff:ff:ff:ff"), DropReason::mac_not_ours);
}

TEST_CASE("fragment: a source that may not send here leaves nothing behind", "[path][fragment][conformance-77]") {
    StandardHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    const auto expect = [&](std::string_view line, std::string_view source, DropReason reason) {
        const Bytes ip = udp(at(source, 4000), at(ends.portal_hub, 53)).dont_fragment(false).payload(800).ip();
        for (const Bytes& part : pieces(ip, {64})) expect_drop(hub, line, carrying(part), reason);
    };
    expect("kita", ends.portal_hub, DropReason::source_spoofed);
    expect("kita", ends.router, DropReason::source_unknown);
    expect("kita-backup", ends.clinic, DropReason::source_elsewhere);
    CHECK(hub.held() == 0);
}

TEST_CASE("fragment: bytes that have come are dropped when they come again, and the datagram goes on",
          "[path][fragment]") {
    StandardHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    const Datagram some = question(ends);
    expect_to_pass(hub, "kita", some.piece_sent(0, 800, true), some.piece_delivered(hub, 0, 800, true));
    expect_drop(hub, "kita", some.piece_sent(0, 800, true), DropReason::fragment_duplicate);
    expect_drop(hub, "kita", some.piece_sent(0, 64, true), DropReason::fragment_duplicate);  // another first
    expect_to_pass(hub, "kita", some.piece_sent(1600, 2508, false), some.piece_delivered(hub, 1600, 2508, false));
    expect_drop(hub, "kita", some.piece_sent(1600, 2508, false), DropReason::fragment_duplicate);
    expect_drop(hub, "kita", some.piece_sent(2000, 2008, true), DropReason::fragment_duplicate);
    expect_to_pass(hub, "kita", some.piece_sent(800, 1600, true), some.piece_delivered(hub, 800, 1600, true));
    // It is complete, and forgotten: what comes now belongs to another.
    expect_to_wait(hub, "kita", some.piece_sent(800, 1600, true));
    // A copy of one that waits is one too.
    expect_drop(hub, "kita", some.piece_sent(800, 1600, true), DropReason::fragment_duplicate);
}

TEST_CASE("fragment: one that overlaps another ends its whole datagram", "[path][fragment][conformance-16]") {
    const Ends ends = GENERATE(kEnds4, kEnds6);
    const Datagram some = question(ends);
    struct Place {
        std::size_t begin, end;
        bool more;
    };
    const Place contradicting = GENERATE(Place{0, 808, true},       // a first one with other bytes behind it
                                         Place{792, 1000, true},    // into the first
                                         Place{1592, 1704, true},   // into the last
                                         Place{800, 1608, true},    // over the gap and into the last
                                         Place{0, 1608, true},      // over all between
                                         Place{800, 1000, false},   // a second end
                                         Place{2508, 2516, true});  // behind the end
    StandardHub hub;
    const Datagram longer = question(ends, 53, 2600);
    hub.send("kita", {some.piece_sent(0, 800, true), some.piece_sent(1600, 2508, false)});
    REQUIRE(hub.left().size() == 2);
    expect_drop(hub, "kita", longer.piece_sent(contradicting.begin, contradicting.end, contradicting.more),
                DropReason::fragment_overlap);
    expect_drop(hub, "kita", some.piece_sent(800, 1600, true), DropReason::fragment_overlap);
    // Another datagram is not meant.
    expect_to_pass(hub, "kita", some.piece_sent(0, 800, true, 0x4321), some.piece_delivered(hub, 0, 800, true, 0x4321));
}

TEST_CASE("fragment: those that wait end with their datagram when one overlaps", "[path][fragment][conformance-16]") {
    StandardHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    const Datagram some = question(ends);
    expect_to_wait(hub, "kita", some.piece_sent(64, 800, true));
    expect_to_wait(hub, "kita", some.piece_sent(800, 1600, true));
    hub.send("kita", some.piece_sent(0, 72, true));  // its first reaches into them
    CHECK(hub.left() == Frames{});
    CHECK(hub.drops() == Drops{{DropReason::fragment_overlap, 3}});
    CHECK(hub.made() == 0);
    CHECK(hub.held() == 0);
    expect_drop(hub, "kita", some.piece_sent(1600, 2508, false), DropReason::fragment_overlap);
    hub.wait(2.0);  // forgotten
    expect_to_pass(hub, "kita", some.piece_sent(0, 64, true), some.piece_delivered(hub, 0, 64, true));
}

TEST_CASE("fragment: a datagram with more gaps than the hub keeps track of loses what would make one more",
          "[path][fragment]") {
    StandardHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    const Datagram some = question(ends);
    for (std::size_t i = 0; i < dataplane::Coverage::kRanges; ++i)
        expect_to_pass(hub, "kita", some.piece_sent(16 * i, 16 * i + 8, true),
                       some.piece_delivered(hub, 16 * i, 16 * i + 8, true));
    expect_drop(hub, "kita", some.piece_sent(2000, 2008, true), DropReason::fragment_scattered);
    expect_to_pass(hub, "kita", some.piece_sent(8, 16, true), some.piece_delivered(hub, 8, 16, true));
    expect_to_pass(hub, "kita", some.piece_sent(2000, 2008, true), some.piece_delivered(hub, 2000, 2008, true));
}

TEST_CASE("fragment: a refused first refuses the others for the same reason, and only it gets an error",
          "[path][fragment][conformance-4][conformance-9]") {
    StandardHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    const Datagram refused = question(ends, 54);
    const std::vector<Frame> frames = frames_of(refused, {0, 1, 2});
    hub.send("kita", frames[0]);
    CHECK(hub.drops() == Drops{{DropReason::no_agreement, 1}});
    CHECK(hub.made() == 1);
    CHECK(hub.left().size() == 1);
    expect_drop(hub, "kita", frames[1], DropReason::no_agreement);
    expect_drop(hub, "kita", frames[2], DropReason::no_agreement);
    // The first one last: what waited goes with it.
    hub.send("kita", {frames[2], frames[1], frames[0]});
    CHECK(hub.drops() == Drops{{DropReason::no_agreement, 3}});
    CHECK(hub.made() == 1);
    CHECK(hub.held() == 0);
}

TEST_CASE("fragment: a connection against the agreement's direction is not opened in pieces",
          "[path][fragment][conformance-73]") {
    StandardHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    const Bytes syn = tcp(at(ends.portal, 443), at(ends.client_hub, 4000)).syn().payload(800).dont_fragment(false).ip();
    hub.send("center", {carrying(piece(syn, 24, 800, true)), carrying(piece(syn, 0, 24, true))});
    CHECK(hub.drops() == Drops{{DropReason::not_a_reply, 2}});
    CHECK(hub.made() == 1);
    // Not with the ACK of a fragment that reaches into the header either.
    const Bytes ack = tcp(at(ends.portal, 443), at(ends.client_hub, 4000)).ack().payload(800).dont_fragment(false).ip();
    expect_drop(hub, "center", carrying(piece(ack, 8, 800, true)), DropReason::fragment_in_header);
}

TEST_CASE("fragment: those of an ICMP error are dropped, whichever comes first", "[path][fragment]") {
    StandardHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    const Bytes quote = udp(at(ends.client_hub, 4000), at(ends.portal, 53)).payload(900).ip();
    const Bytes error = icmp_error(ends.portal, ends.client_hub, ends.family == Family::ipv4 ? 3 : 1, 0, quote)
                            .dont_fragment(false)
                            .ip();
    const std::vector<Bytes> parts = pieces(error, {400, 800});
    for (const Bytes& part : parts) expect_drop(hub, "center", carrying(part), DropReason::fragment_of_error);
    hub.wait(2.0);
    hub.send("center", {carrying(parts[1]), carrying(parts[0]), carrying(parts[2])});
    CHECK(hub.left() == Frames{});
    CHECK(hub.drops() == Drops{{DropReason::fragment_of_error, 3}});
}

TEST_CASE("fragment: an attachment has so many datagrams on their way and no more, and others go on",
          "[path][fragment]") {
    StandardHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    const Datagram some = question(ends, 53, 800);
    std::vector<Frame> firsts;
    for (unsigned i = 0; i < Fragments::kDatagramsPerAttachment; ++i) firsts.push_back(some.piece_sent(0, 64, true, i));
    hub.send("kita", firsts);
    CHECK(hub.left().size() == Fragments::kDatagramsPerAttachment);
    const unsigned more = Fragments::kDatagramsPerAttachment;
    expect_drop(hub, "kita", some.piece_sent(0, 64, true, more), DropReason::fragment_table_full);
    expect_drop(hub, "kita", some.piece_sent(64, 808, false, more), DropReason::fragment_table_full);
    hub.send("minami", some.piece_sent(0, 64, true, more));
    CHECK(hub.left().size() == 1);
    // Those that are known go on, and make room.
    hub.send("kita", some.piece_sent(64, 808, false, 7));
    CHECK(hub.left().size() == 1);
    hub.send("kita", some.piece_sent(0, 64, true, more));
    CHECK(hub.left().size() == 1);
    hub.wait(2.0);
    hub.send("kita", firsts);
    CHECK(hub.left().size() == Fragments::kDatagramsPerAttachment);
}

TEST_CASE("fragment: an attachment has so many that wait and no more, and others go on", "[path][fragment]") {
    StandardHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    const Datagram some = question(ends, 53, 800);
    const auto later = [&](unsigned id) { return some.piece_sent(64, 128, true, id); };
    std::vector<Frame> many;
    for (unsigned i = 0; i < Fragments::kHeldPerAttachment; ++i) many.push_back(later(i));
    hub.send("kita", many);
    CHECK(hub.drops() == Drops{});
    CHECK(hub.held() == Fragments::kHeldPerAttachment);
    expect_drop(hub, "kita", later(5000), DropReason::fragment_hold_full);
    expect_to_wait(hub, "minami", later(5000));
    // The first one of one of them makes room.
    hub.send("kita", some.piece_sent(0, 64, true, 9));
    CHECK(hub.left().size() == 2);
    expect_to_wait(hub, "kita", later(5000));
    hub.wait(1.0);
    CHECK(hub.drops() == Drops{{DropReason::fragment_without_first, Fragments::kHeldPerAttachment + 1}});
    expect_to_wait(hub, "kita", later(5000));
}

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
