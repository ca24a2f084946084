// ESP that comes in fragments of the outer packet (RFC 4303 §3.4.1): put together, opened, bounded; and what is not
// ESP.
#include <algorithm>

#include "tests/dataplane/support/datagrams.hpp"
#include "tests/dataplane/support/pieces.hpp"
#include "tests/dataplane/support/protected.hpp"

namespace sekisho::test {
namespace {

using dataplane::Reassembly;

// The outer packet of the peer's that carries it.
Bytes outer(const ProtectedHub& hub, std::uint64_t number, unsigned size = 1000) {
    return hub.numbered(number, inner_question(size)).dont_fragment(false).ip();
}
std::vector<Frame> frames_of(const std::vector<Bytes>& packets) {
    std::vector<Frame> frames;
    for (const Bytes& ip : packets) frames.push_back(carrying(ip));
    return frames;
}
Frames arrives(const ProtectedHub& hub, unsigned size = 1000) {
    return {hub.by("center", udp("100.64.32.7:4000", "192.168.9.9:53").payload(size).ttl(63).to(kPortal))};
}
// Nothing is held, and what the account says of `packets` that became one.
void check_whole(ProtectedHub& hub, const Frames& expected, std::uint64_t packets) {
    CHECK(hub.left() == expected);
    CHECK(hub.drops() == Drops{});
    CHECK(hub.consumed() == packets);
    CHECK(hub.made() == 1);
    CHECK(hub.held() == 0);
}

TEST_CASE("outer fragments in any order become the packet that was sealed, and that is opened",
          "[esp][reassembly][conformance-29]") {
    ProtectedOptions options;
    options.outer = GENERATE(Family::ipv4, Family::ipv6);
    options.in_udp = GENERATE(false, true);
    options.suite = GENERATE(crypto::Suite::aes_gcm_128, crypto::Suite::aes_gcm_256);
    ProtectedHub hub(options);
    std::vector<std::size_t> order = {0, 1, 2};
    std::uint64_t number = 1;
    do {
        const std::vector<Bytes> all = pieces(outer(hub, number++), {256, 776});
        hub.peer_sends(frames_of({all[order[0]], all[order[1]], all[order[2]]}));
        check_whole(hub, arrives(hub), 3);
    } while (std::next_permutation(order.begin(), order.end()));
    // In walks of their own, beside a whole packet.
    const std::vector<Bytes> all = pieces(outer(hub, number), {16});
    hub.peer_sends(carrying(all[0]));
    CHECK(hub.held() == 1);
    hub.peer_sends(hub.numbered(number + 1, inner_question(20)));
    CHECK(hub.left() == arrives(hub, 20));
    hub.peer_sends(carrying(all[1]));
    CHECK(hub.left() == arrives(hub));
    CHECK(hub.held() == 0);
}

TEST_CASE("two packets' fragments that mix are two packets; each identification is one's own", "[esp][reassembly]") {
    ProtectedHub hub({.outer = GENERATE(Family::ipv4, Family::ipv6)});
    const std::vector<Bytes> one = pieces(outer(hub, 1), {400}, 7), two = pieces(outer(hub, 2), {400}, 8);
    hub.peer_sends(frames_of({one[0], two[1], one[1], two[0]}));
    CHECK(hub.left() == Frames{arrives(hub)[0], arrives(hub)[0]});
    CHECK(hub.held() == 0);
    hub.peer_sends(frames_of(pieces(outer(hub, 3), {400}, 7)));  // and is free again
    check_whole(hub, arrives(hub), 2);
}

TEST_CASE("fragments with options, and behind padding", "[esp][reassembly]") {
    ProtectedHub hub;
    const Bytes whole = hub.numbered(1, inner_question(1000)).dont_fragment(false).options({1, 1, 1, 1}).ip();
    const std::vector<Bytes> all = pieces(whole, {1008});
    hub.peer_sends(std::vector<Frame>{carrying(all[0]), carrying(all[1]).padded(30)});
    check_whole(hub, arrives(hub), 2);
}

TEST_CASE("an atomic fragment of IPv6 is opened alone", "[esp][reassembly][conformance-16]") {
    ProtectedHub hub({.outer = Family::ipv6, .in_udp = GENERATE(false, true)});
    const Bytes whole = outer(hub, 1);
    hub.peer_sends(carrying(piece(whole, 0, body_size(whole), false)));
    CHECK(hub.left() == arrives(hub));
    CHECK(hub.made() == 0);
    CHECK(hub.held() == 0);
}

TEST_CASE("a copy of a fragment costs itself, one that contradicts another the whole packet",
          "[esp][reassembly][conformance-16]") {
    ProtectedHub hub({.outer = GENERATE(Family::ipv4, Family::ipv6)});
    const Bytes whole = outer(hub, 1);
    const std::vector<Bytes> all = pieces(whole, {256, 776});
    hub.peer_sends(frames_of({all[0], all[0], all[2], all[1]}));
    CHECK(hub.left() == arrives(hub));
    CHECK(hub.drops() == Drops{{DropReason::fragment_duplicate, 1}});
    const Bytes next = outer(hub, 2);
    const std::vector<Bytes> again = pieces(next, {256, 776}, 9);
    hub.peer_sends(frames_of({again[0], piece(next, 248, 776, true, 9), again[1], again[2]}));
    CHECK(hub.left().empty());
    CHECK(hub.drops() == Drops{{DropReason::fragment_overlap, 4}});  // what was held, and the three that came then
    CHECK(hub.held() == 0);
    hub.wait(3);
    hub.peer_sends(frames_of(again));
    CHECK(hub.left() == arrives(hub));
}

TEST_CASE("fragments whose others do not come are given up after two seconds", "[esp][reassembly]") {
    ProtectedHub hub({.outer = GENERATE(Family::ipv4, Family::ipv6), .in_udp = GENERATE(false, true)});
    const std::vector<Bytes> all = pieces(outer(hub, 1), {256, 776});
    const std::size_t missing = GENERATE(0U, 1U, 2U);
    for (std::size_t i = 0; i < 3; ++i)
        if (i != missing) hub.peer_sends(carrying(all[i]));
    CHECK(hub.held() == 1);
    hub.wait(1.9);
    CHECK(hub.drops() == Drops{});
    hub.wait(0.3);
    CHECK(hub.drops() == Drops{{DropReason::reassembly_timeout, 1}});
    CHECK(hub.held() == 0);
    hub.peer_sends(carrying(all[missing]));
    CHECK(hub.left().empty());
}

TEST_CASE("what would be longer than a buffer is none", "[esp][reassembly]") {
    ProtectedHub hub({.outer = GENERATE(Family::ipv4, Family::ipv6)});
    const Bytes whole = hub.numbered(1, inner_question(4000)).dont_fragment(false).ip();
    const std::vector<Bytes> all = pieces(whole, {1208, 2416, 3624});
    hub.peer_sends(frames_of(all));
    CHECK(hub.left().empty());
    CHECK(hub.drops() == Drops{{DropReason::reassembly_too_long, 4}});
    CHECK(hub.held() == 0);
}

TEST_CASE("a flood of fragments has a bounded place, and newer ones find one", "[esp][reassembly]") {
    ProtectedHub hub;
    const Bytes whole = outer(hub, 1);
    constexpr std::size_t kPlaces = Reassembly::kSets * Reassembly::kWays;
    std::vector<Frame> flood;
    for (std::uint32_t id = 0; id < 4 * kPlaces; ++id) flood.push_back(carrying(piece(whole, 0, 256, true, 100 + id)));
    hub.peer_sends(flood);
    CHECK(hub.held() <= kPlaces);
    CHECK(hub.held() > kPlaces / 2);
    CHECK(hub.drops() == Drops{{DropReason::reassembly_full, flood.size() - hub.held()}});
    hub.peer_sends(frames_of(pieces(whole, {256}, 7)));
    CHECK(hub.left() == arrives(hub));
    hub.wait(3);
    CHECK(hub.held() == 0);
}

TEST_CASE("without a buffer a fragment is a counted drop", "[esp][reassembly]") {
    ProtectedHub hub;
    const NoBuffers none;
    hub.peer_sends(carrying(pieces(outer(hub, 1), {256})[0]));
    CHECK(hub.drops() == Drops{{DropReason::reassembly_full, 1}});
    CHECK(hub.held() == 0);
}

TEST_CASE("sixty-four packets that become whole in one burst, and are all refused", "[esp][reassembly]") {
    ProtectedHub hub;
    std::vector<Frame> firsts, lasts;
    for (std::uint32_t i = 0; i < 64; ++i) {
        const Bytes whole = hub.numbered(i + 1, inner_question(1000), {.damage = true}).dont_fragment(false).ip();
        const std::vector<Bytes> all = pieces(whole, {512}, i + 1);
        firsts.push_back(carrying(all[0]));
        lasts.push_back(carrying(all[1]));
    }
    hub.peer_sends(firsts);
    const std::uint64_t begun = hub.held();
    CHECK(begun >= 48);  // by chance more than four meet in one set
    hub.peer_sends(lasts);
    CHECK(hub.drops()[DropReason::icv_wrong] >= begun - 16);
    CHECK(hub.left().empty());
    hub.wait(3);
    CHECK(hub.held() == 0);
}

TEST_CASE("congestion that one fragment met is told inside, or the packet is dropped",
          "[esp][reassembly][conformance-38]") {
    const Family family = GENERATE(Family::ipv4, Family::ipv6);
    const auto marked = [&](ProtectedHub& hub, std::uint64_t number, unsigned first, unsigned second) {
        const Bytes inner = udp("10.0.0.7:4000", "100.64.2.9:53").payload(500).dscp_ecn(2).ip();
        const Frame one = hub.numbered(number, inner).dont_fragment(false).dscp_ecn(first);
        const Frame two = hub.numbered(number, inner).dont_fragment(false).dscp_ecn(second);
        const std::uint32_t id = 50 + static_cast<std::uint32_t>(number);
        hub.peer_sends(frames_of({pieces(one.ip(), {256}, id)[0], pieces(two.ip(), {256}, id)[1]}));
    };
    ProtectedHub hub({.outer = family});
    marked(hub, 1, 2, 3);
    CHECK(hub.left() ==
          Frames{hub.by("center",
                        udp("100.64.32.7:4000", "192.168.9.9:53").payload(500).dscp_ecn(3).ttl(63).to(kPortal))});
    marked(hub, 2, 0, 3);
    CHECK(hub.drops() == Drops{{DropReason::ecn_refused, 1}});
    CHECK(hub.held() == 0);
}

TEST_CASE("fragments of UDP that is not ESP are the kernel's, or nobody's", "[esp][udp][reassembly]") {
    const Family family = GENERATE(Family::ipv4, Family::ipv6);
    Policy policy = in_udp_policy(family);
    const bool with_kernel = GENERATE(false, true);
    if (with_kernel) policy.line("higashi-line").tap(1);
    ProtectedHub hub(policy, {.outer = family});
    const std::string peer = at(hub.ends().peer, 4500), ours = at(hub.ends().hub, 4500);
    const std::vector<Bytes> datagrams = {
        udp(peer, ours).payload(Bytes(1200, 0)).dont_fragment(false).ip(),  // IKE
        udp(at(hub.ends().peer, 500), at(hub.ends().hub, 500)).payload(1200).dont_fragment(false).ip()};
    std::uint32_t id = 20;
    for (const Bytes& whole : datagrams) {
        const std::vector<Bytes> all = pieces(whole, {400, 800}, ++id);
        hub.peer_sends(frames_of(all));
        CHECK(hub.held() == 0);
        CHECK(hub.made() == 0);
        if (with_kernel) {
            CHECK(hub.punted() == 3);
            CHECK(hub.to_kernel().size() == 3);
        } else {
            CHECK(hub.drops() == Drops{{DropReason::fragment_to_hub, 3}});
        }
    }
    // A later one first: nobody knows yet what it is of.
    const std::vector<Bytes> all = pieces(datagrams[0], {400, 800}, 30);
    hub.peer_sends(frames_of({all[1], all[0], all[2]}));
    CHECK(hub.drops()[DropReason::fragment_to_hub] >= 1);
    CHECK(hub.held() == 0);
}

TEST_CASE("fragments to the underlay of what is neither ESP nor UDP, or behind extension headers, are as they were",
          "[esp][reassembly]") {
    ProtectedHub hub;
    for (const Bytes& ip :
         pieces(echo_request("203.0.113.2", "203.0.113.1").payload(400).dont_fragment(false).ip(), {80})) {
        hub.peer_sends(carrying(ip));
        CHECK(hub.drops() == Drops{{DropReason::fragment_to_hub, 1}});
    }
    const Bytes sealed = esp(hub.in, 1, inner_question(64));
    hub.peer_sends(packet(kOuter6.peer, kOuter6.hub, kProtocolEsp, first(sealed, 64))
                       .destination_options()
                       .fragment_header(0, true));
    CHECK(hub.drops() == Drops{{DropReason::fragment_to_hub, 1}});
    hub.peer_sends(packet(kOuter6.peer, kOuter6.hub, kProtocolEsp, first(sealed, 64))
                       .fragment_header(0, true)
                       .destination_options());
    CHECK(hub.drops() == Drops{{DropReason::fragment_to_hub, 1}});
    CHECK(hub.held() == 0);
}

}  // namespace
}  // namespace sekisho::test
