// Fragmentation on the way out (RFC 791 §2.3, RFC 1812 §4.2.2.7), and jumbo frames.
//
// What leaves is compared with the translated datagram, cut by the tests' own hand where RFC 791 cuts it, and put
// together again.
#include <algorithm>

#include "tests/dataplane/support/ends.hpp"
#include "tests/dataplane/support/pieces.hpp"
#include "tests/dataplane/support/test_hub.hpp"

using namespace sekisho;
using namespace sekisho::test;

namespace {

constexpr std::size_t kHeader = 20;  // of IPv4 without options

Policy through(unsigned mtu) {
    Policy policy = standard_policy();
    policy.line("center").mtu(mtu);
    policy.line("minami").mtu(mtu);
    return policy;
}
Frame question_of_length(std::size_t length) {
    return udp("10.0.0.7:4000", "100.64.2.9:53").dont_fragment(false).payload(length - kHeader - 8);
}
Frame delivered_of_length(std::size_t length) {
    return udp("100.64.0.7:4000", "192.168.9.9:53").dont_fragment(false).payload(length - kHeader - 8).ttl(63);
}
// Every `most` bytes of the body, in whole units.
std::vector<std::size_t> cuts_of(std::size_t body, unsigned mtu) {
    std::vector<std::size_t> cuts;
    const std::size_t most = (mtu - kHeader) / 8 * 8;
    for (std::size_t at = 0; body - at > mtu - kHeader;) cuts.push_back(at += most);
    return cuts;
}
Frames cut(const TestHub& hub, std::string_view line, const Bytes& datagram, unsigned mtu, std::string_view to) {
    Frames frames;
    for (const Bytes& part : pieces(datagram, cuts_of(body_size(datagram), mtu)))
        frames.push_back(hub.by(line, carrying(part).to(to)));
    return frames;
}
std::vector<Bytes> packets(const Frames& frames, std::size_t link = 14) {
    std::vector<Bytes> result;
    for (const Sent& sent : frames)
        result.push_back(Bytes(sent.frame.begin() + static_cast<std::ptrdiff_t>(link), sent.frame.end()));
    return result;
}

}  // namespace

TEST_CASE("cut: without buffers for all of it nothing leaves, and it is one drop", "[path][cut]") {
    StandardHub hub(through(1400));
    {
        const NoBuffers none;
        hub.send("kita", question_of_length(3000));
        CHECK(hub.left() == Frames{});
        CHECK(hub.drops() == Drops{{DropReason::fragmentation_no_buffer, 1}});
        CHECK(hub.made() == 0);
        hub.send("kita", question_of_length(1400));
        CHECK(hub.left().size() == 1);
    }
    hub.send("kita", question_of_length(3000));
    CHECK(hub.left() == cut(hub, "center", delivered_of_length(3000).ip(), 1400, kPortal));
}

TEST_CASE("cut: a fragment too long for a buffer of the hub's is not made", "[path][cut]") {
    StandardHub hub(through(8000));
    hub.send("kita", question_of_length(9000));
    CHECK(hub.left() == Frames{});
    CHECK(hub.drops() == Drops{{DropReason::fragmentation_no_buffer, 1}});
}

TEST_CASE("cut: more than may leave at once is dropped by whole packets", "[path][cut]") {
    StandardHub hub(through(576));
    hub.send("kita", std::vector<Frame>(64, question_of_length(9000)));
    const std::size_t each = cuts_of(9000 - kHeader, 576).size() + 1;
    REQUIRE(hub.drops().size() == 1);
    const std::uint64_t dropped = hub.drops()[DropReason::fragmentation_no_buffer];
    CHECK(dropped > 0);
    CHECK(dropped < 64);
    REQUIRE(hub.left().size() == (64 - dropped) * each);
    CHECK(hub.made() == (64 - dropped) * (each - 1));
    for (std::size_t at = 0; at < hub.left().size(); at += each) {
        const Frames one(hub.left().begin() + static_cast<std::ptrdiff_t>(at),
                         hub.left().begin() + static_cast<std::ptrdiff_t>(at + each));
        CHECK((reassembled(packets(one)) == delivered_of_length(9000).ip()));
    }
}

TEST_CASE("cut: an IPv4 packet without DF leaves in fragments that fit", "[path][cut][conformance-7]") {
    const unsigned mtu = GENERATE(576U, 577U, 1280U, 1400U, 1499U);
    StandardHub hub(through(mtu));
    for (const std::size_t length : {mtu + 1UL, mtu + 7UL, mtu + 8UL, mtu + 9UL, 2UL * mtu - 24, 2UL * mtu - 20,
                                     2UL * mtu - 19, 2UL * mtu, 3000UL, 8999UL, 9000UL}) {
        CAPTURE(mtu, length);
        hub.send("kita", question_of_length(length));
        const Bytes whole = delivered_of_length(length).ip();
        const Frames expected = cut(hub, "center", whole, mtu, kPortal);
        CHECK(hub.left() == expected);
        CHECK(hub.drops() == Drops{});
        CHECK(hub.made() == expected.size() - 1);
        CHECK((reassembled(packets(hub.left())) == whole));
        for (const Sent& sent : hub.left()) CHECK(sent.frame.size() <= 14 + mtu);
    }
    hub.send("kita", question_of_length(mtu));
    CHECK(hub.left() == Frames{hub.by("center", delivered_of_length(mtu).to(kPortal))});
    CHECK(hub.made() == 0);
}

TEST_CASE("cut: only the first fragment has the options that are not copied", "[path][cut][conformance-7]") {
    StandardHub hub(through(600));
    // Router alert (copied), record route (not), a copied one of three bytes, no operation, the end.
    const Bytes all = {148, 4, 0, 0, 7, 7, 4, 0, 0, 0, 0, 1, 200, 3, 9, 0};
    const Bytes copied = {148, 4, 0, 0, 200, 3, 9, 0};
    const std::size_t size = 1200;
    hub.send("kita", udp("10.0.0.7:4000", "100.64.2.9:53").dont_fragment(false).options(all).payload(size));
    const Frame like = udp("100.64.0.7:4000", "192.168.9.9:53").dont_fragment(false).payload(size).ttl(63);
    const Bytes first_like = Frame(like).options(all).ip();
    const Bytes later_like = Frame(like).options(copied).ip();
    const std::size_t first_end = (600 - 36) / 8 * 8, second_end = first_end + (600 - 28) / 8 * 8;
    CHECK(hub.left() == Frames{hub.by("center", carrying(piece(first_like, 0, first_end, true)).to(kPortal)),
                               hub.by("center", carrying(piece(later_like, first_end, second_end, true)).to(kPortal)),
                               hub.by("center", carrying(piece(later_like, second_end, size + 8, false)).to(kPortal))});
    CHECK(hub.drops() == Drops{});
    CHECK(hub.made() == 2);
}

TEST_CASE("cut: a fragment is cut again where it lies in its datagram", "[path][cut][conformance-7]") {
    StandardHub hub(through(1000));
    const Bytes sent = question_of_length(4020).ip();
    const Bytes whole = delivered_of_length(4020).ip();
    std::vector<Bytes> received;
    for (const Bytes& part : pieces(sent, {1480, 2960})) {
        hub.send("kita", carrying(part));
        CHECK(hub.drops() == Drops{});
        CHECK(hub.left().size() == 2);
        for (const Bytes& ip : packets(hub.left())) received.push_back(ip);
    }
    CHECK((received == pieces(whole, {976, 1480, 2456, 2960, 3936})));
    CHECK((reassembled(received) == whole));
}

TEST_CASE("cut: an ICMP error without DF is cut too", "[path][cut]") {
    Policy policy = standard_policy();
    policy.line("kita").mtu(1280);
    StandardHub hub(policy);
    const Bytes quoted = udp("100.64.0.7:4000", "192.168.9.9:53").payload(1300).ip();
    const Bytes as_sent = udp("10.0.0.7:4000", "100.64.2.9:53").payload(1300).ip();
    hub.send("center", icmp_error("192.168.9.9", "100.64.0.7", 3, 3, quoted).dont_fragment(false));
    const Frame expected = icmp_error("100.64.2.9", "10.0.0.7", 3, 3, as_sent).dont_fragment(false).ttl(63);
    CHECK(hub.left() == cut(hub, "kita", expected.ip(), 1280, kKitaGateway));
    CHECK(hub.drops() == Drops{});
}

TEST_CASE("cut: every fragment has the tag, DSCP and ECN of its packet", "[path][cut]") {
    StandardHub hub(through(1400));
    const auto answer = [](std::string_view from, std::string_view to) {
        return udp(from, to).dont_fragment(false).dscp_ecn(0xb9).payload(3000);
    };
    hub.send("center", answer("192.168.9.9:53", "100.64.16.7:4000"));
    CHECK(hub.left() ==
          cut(hub, "minami", answer("100.64.2.9:53", "10.0.0.7:4000").ttl(63).ip(), 1400, kMinamiGateway));
    CHECK(hub.left().size() == 3);
}

TEST_CASE("cut: what waits for a neighbour is cut when it leaves, by the MTU of then", "[path][cut][neighbour]") {
    const unsigned mtu_then = GENERATE(1400U, 1000U, 9000U);
    const std::string_view station = "02:00:00:00:0c:33";
    StandardHub hub(through(1400));
    const auto waiting = udp("10.0.0.7:4000", "100.64.2.100:53").dont_fragment(false).payload(3000);
    hub.send("kita", waiting);
    CHECK(hub.held() == 1);
    hub.commit(through(mtu_then));
    hub.send("center", arp(2, {.sender_mac = station,
                               .sender = "192.168.9.100",
                               .target_mac = hub.policy().line("center").mac_address.text(),
                               .target = "192.168.9.1"}));
    const Bytes whole = udp("100.64.0.7:4000", "192.168.9.100:53").dont_fragment(false).payload(3000).ttl(63).ip();
    CHECK(hub.left() == cut(hub, "center", whole, mtu_then, station));
    CHECK(hub.drops() == Drops{});
    CHECK(hub.held() == 0);
}

TEST_CASE("cut: frames of 9,000 bytes pass whole where the MTU is theirs", "[path][cut]") {
    const Ends ends = GENERATE(kEnds4, kEnds6);
    StandardHub hub(through(9000));
    const std::size_t payload = ends.family == Family::ipv4 ? 8972 : 8952;
    hub.send("kita", udp(at(ends.client, 4000), at(ends.portal_hub, 53)).payload(payload));
    CHECK(hub.left() ==
          Frames{hub.by("center",
                        udp(at(ends.client_hub, 4000), at(ends.portal, 53)).payload(payload).ttl(63).to(kPortal))});
    CHECK(hub.drops() == Drops{});
    hub.send("kita", udp(at(ends.client, 4000), at(ends.portal_hub, 53)).payload(payload + 1));
    CHECK(hub.drops() == Drops{{DropReason::packet_too_big, 1}});
    CHECK(hub.made() == 1);
}
