// Fragments that go nowhere, and what they take with them (RFC 791, 1858, 3128, 5722, 8200 §4.5).
#include <map>
#include <memory>

#include "tests/dataplane/support/datagrams.hpp"

using namespace sekisho;
using namespace sekisho::test;
using dataplane::Fragments;

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

TEST_CASE("fragment: all attachments together have so many, each is found, and all are forgotten in time",
          "[path][fragment]") {
    const auto fragments = std::make_unique<Fragments>(TestHub::kHz);
    const auto key = [](unsigned i) {
        Fragments::Key made;
        made.source = Ipv6Address(1, 2);
        made.identification = i;
        made.attachment = AttachmentId(static_cast<std::uint16_t>(i % 7));
        return made;
    };
    std::vector<Fragments::Datagram*> added;
    for (unsigned i = 0; i < Fragments::kDatagrams; ++i) {
        added.push_back(fragments->add(key(i), 1000 + i));
        REQUIRE(added.back() != nullptr);
    }
    CHECK(fragments->add(key(Fragments::kDatagrams), 9000) == nullptr);
    for (unsigned i = 0; i < Fragments::kDatagrams; ++i) REQUIRE(fragments->find(key(i)) == added[i]);
    CHECK(fragments->find(key(Fragments::kDatagrams)) == nullptr);
    // Every third is forgotten, every other third settled; the rest waits a second.
    for (unsigned i = 0; i < Fragments::kDatagrams; ++i) {
        if (i % 3 == 0) fragments->forget(*added[i]);
        if (i % 3 == 1) fragments->settle(*added[i], Fragments::State::known, 8000);
    }
    const auto found = [&] {
        std::map<unsigned, unsigned> count;
        for (unsigned i = 0; i < Fragments::kDatagrams; ++i)
            if (fragments->find(key(i)) != nullptr) ++count[i % 3];
        return count;
    };
    const unsigned third = Fragments::kDatagrams / 3;
    const auto none = [](Fragments::Held&) noexcept { FAIL_CHECK("nothing is held"); };
    fragments->expire(999 + Fragments::kSecondsForFirst * TestHub::kHz, none);
    CHECK(found() == std::map<unsigned, unsigned>{{1, third}, {2, third}});
    fragments->expire(1000 + Fragments::kDatagrams + Fragments::kSecondsForFirst * TestHub::kHz, none);
    CHECK(found() == std::map<unsigned, unsigned>{{1, third}});
    fragments->expire(7999 + Fragments::kSecondsForOthers * TestHub::kHz, none);
    CHECK(found() == std::map<unsigned, unsigned>{{1, third}});
    fragments->expire(8000 + Fragments::kSecondsForOthers * TestHub::kHz, none);
    CHECK(found().empty());
    for (unsigned i = 0; i < Fragments::kDatagrams; ++i) REQUIRE(fragments->add(key(i + 5), 9000) != nullptr);
}
