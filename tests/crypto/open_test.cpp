// Opening: every malformed form has its reason, nothing moves before the ICV is good, and what was sealed comes back.
#include "tests/crypto/esp_support.hpp"

using namespace sekisho;
using namespace sekisho::test;

namespace {

Bytes without_outer(const Pair& pair, const Bytes& sealed) {
    return {sealed.begin() + static_cast<std::ptrdiff_t>(pair.outer_length()), sealed.end()};
}

Bytes inner_of(const OpenPacket& packet) {
    REQUIRE(packet.outcome == EspOutcome::done);
    return {packet.inner, packet.inner + packet.inner_length};
}

}  // namespace

TEST_CASE("open: without an SA the packet is dropped", "[crypto][conformance-28]") {
    Pair pair;
    Bytes bytes = without_outer(pair, seal_one(pair, InnerPacket{}.bytes()));
    OpenPacket packet;
    packet.esp = bytes.data();
    packet.length = static_cast<std::uint32_t>(bytes.size());
    pair.esp.open({&packet, 1});
    CHECK(packet.outcome == EspOutcome::dropped);
    CHECK(packet.reason == DropReason::sa_unknown);
    CHECK(spi_of(bytes) == Spi(0x10203));
}

TEST_CASE("open: any cut of a packet is refused, and reads nothing beyond", "[crypto]") {
    Pair pair;
    const Bytes whole = without_outer(pair, seal_one(pair, InnerPacket{Family::ipv4, 40}.bytes()));
    for (std::size_t length = 0; length < whole.size(); ++length) {
        const Bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length));
        const DropReason reason = open_dropped(pair, cut);
        if (length < kShortestEsp)
            CHECK(reason == DropReason::esp_truncated);
        else
            CHECK(reason == (length % 4 != 0 ? DropReason::esp_length : DropReason::icv_wrong));
    }
    Bytes fine = whole;
    CHECK(open_one(pair, fine).outcome == EspOutcome::done);
}

TEST_CASE("open: any wrong bit is refused, and leaves window and lifetime alone",
          "[crypto][conformance-19][conformance-31]") {
    for (const bool esn : {false, true}) {
        PairOptions options;
        options.esn = esn;
        Pair pair(options);
        const Bytes whole = without_outer(pair, seal_one(pair, InnerPacket{Family::ipv4, 40}.bytes()));
        for (std::size_t bit = 0; bit < whole.size() * 8; ++bit) {
            Bytes wrong = whole;
            wrong[bit / 8] ^= static_cast<std::uint8_t>(1U << (bit % 8));
            const DropReason reason = open_dropped(pair, wrong);
            // A number that is 0, or (with ESN) would lie before the first turn, is refused without the cipher.
            if (reason != DropReason::icv_wrong) REQUIRE((bit / 32 == 1 && reason == DropReason::replay_stale));
        }
        CHECK(pair.in->window().top() == 0);
        CHECK(pair.in->lifetime().packets() == 0);
        CHECK(pair.in->lifetime().bytes() == 0);
        Bytes fine = whole;
        CHECK(open_one(pair, fine).outcome == EspOutcome::done);
        CHECK(pair.in->lifetime().packets() == 1);
    }
}

TEST_CASE("open: a number that passed is refused before the cipher is asked", "[crypto][conformance-19]") {
    Pair pair;
    const Bytes whole = without_outer(pair, seal_one(pair, InnerPacket{}.bytes()));
    Bytes fine = whole;
    REQUIRE(open_one(pair, fine).outcome == EspOutcome::done);
    Bytes forged = whole;
    forged.back() ^= 1;  // else it would be icv_wrong
    CHECK(open_dropped(pair, forged) == DropReason::replay_duplicate);
}

TEST_CASE("open: a packet passes once, in this burst or a later one", "[crypto][conformance-20]") {
    Pair pair;
    const Bytes whole = without_outer(pair, seal_one(pair, InnerPacket{}.bytes()));
    std::vector<Bytes> copies(5, whole);
    std::vector<OpenPacket> burst(copies.size());
    for (std::size_t i = 0; i < burst.size(); ++i) {
        burst[i].esp = copies[i].data();
        burst[i].length = static_cast<std::uint32_t>(whole.size());
        burst[i].sa = pair.in.get();
    }
    pair.esp.open(burst);
    CHECK(burst[0].outcome == EspOutcome::done);
    for (std::size_t i = 1; i < burst.size(); ++i) {
        CHECK(burst[i].outcome == EspOutcome::dropped);
        CHECK(burst[i].reason == DropReason::replay_duplicate);
    }
    CHECK(pair.in->lifetime().packets() == 1);
    CHECK(open_dropped(pair, whole) == DropReason::replay_duplicate);
}

TEST_CASE("open: number 0 is refused; with ESN only the whole number counts", "[crypto][conformance-17]") {
    PairOptions options;
    options.esn = false;
    Pair plain(options);
    const Bytes payload = with_trailer(InnerPacket{}.bytes(), kNextIpv4);
    CHECK(open_dropped(plain, plain.forge(0, payload)) == DropReason::replay_stale);
    Pair extended;
    CHECK(open_dropped(extended, extended.forge(0, payload)) == DropReason::replay_stale);
    Bytes near = extended.forge(0xffff'0000, payload);
    REQUIRE(open_one(extended, near).outcome == EspOutcome::done);
    Bytes turn = extended.forge(std::uint64_t{1} << 32, payload);
    CHECK(open_one(extended, turn).outcome == EspOutcome::done);
    CHECK(extended.in->window().top() == std::uint64_t{1} << 32);
}

TEST_CASE("open: left of the window is refused by its own name", "[crypto]") {
    PairOptions options;
    options.window = 64;
    Pair pair(options);
    const Bytes payload = with_trailer(InnerPacket{}.bytes(), kNextIpv4);
    Bytes far = pair.forge(1000, payload);
    REQUIRE(open_one(pair, far).outcome == EspOutcome::done);
    Bytes edge = pair.forge(1000 - 63, payload);
    CHECK(open_one(pair, edge).outcome == EspOutcome::done);
    options.esn = false;
    Pair plain(options);
    Bytes again = plain.forge(1000, payload);
    REQUIRE(open_one(plain, again).outcome == EspOutcome::done);
    CHECK(open_dropped(plain, plain.forge(1000 - 64, payload)) == DropReason::replay_stale);
    // With ESN the number left of the window is taken for the next turn's, and its ICV is wrong.
    CHECK(open_dropped(pair, pair.forge(1000 - 64, payload)) == DropReason::icv_wrong);
}

TEST_CASE("open: ESN goes on over 2^32, in order and out of it", "[crypto]") {
    test::Random random("open esn");
    PairOptions options;
    options.window = 256;
    Pair pair(options);
    const Bytes payload = with_trailer(InnerPacket{}.bytes(), kNextIpv4);
    const std::uint64_t start = (std::uint64_t{1} << 32) - 500;
    std::vector<std::uint64_t> order;
    for (std::uint64_t i = 0; i < 1000; ++i) order.push_back(start + i);
    for (std::size_t i = 0; i + 100 < order.size(); i += 100)
        for (std::size_t j = i; j < i + 100; ++j) std::swap(order[j], order[i + random.below(100)]);
    for (const std::uint64_t number : order) {
        Bytes packet = pair.forge(number, payload);
        REQUIRE(open_one(pair, packet).outcome == EspOutcome::done);
    }
    CHECK(pair.in->window().top() == start + 999);
}

TEST_CASE("open: padding that is too long, or not 1, 2, 3, is refused", "[crypto][conformance-24]") {
    Pair pair;
    std::uint64_t number = 1;
    const Bytes inner = InnerPacket{Family::ipv4, 40}.bytes();
    for (const int length : {3, 4, 41, 255})  // longer than what is before it
        CHECK(open_dropped(pair, pair.forge(number++, {1, 2, static_cast<std::uint8_t>(length), kNextIpv4})) ==
              DropReason::esp_padding);
    for (std::size_t at = 0; at < 6; ++at) {
        Bytes plain = with_trailer(inner, kNextIpv4, 6);
        plain[inner.size() + at] = 0x40;
        CHECK(open_dropped(pair, pair.forge(number++, plain)) == DropReason::esp_padding);
    }
    // More than alignment needs is allowed, up to 255.
    for (const int padding : {2, 6, 254}) {
        Bytes fine = pair.forge(number++, with_trailer(inner, kNextIpv4, padding));
        CHECK(inner_of(open_one(pair, fine)) == inner);
    }
}

TEST_CASE("open: a dummy packet is consumed, whatever it holds", "[crypto][conformance-25]") {
    Pair pair;
    std::uint64_t number = 1;
    for (const std::size_t length : {0U, 2U, 38U, 1398U}) {
        Bytes bytes = pair.forge(number++, with_trailer(Bytes(length, 0xee), kNextDummy));
        CHECK(open_one(pair, bytes).outcome == EspOutcome::dummy);
    }
    CHECK(pair.in->lifetime().packets() == 4);
}

TEST_CASE("open: every other next header is refused: the SAs are tunnels", "[crypto]") {
    Pair pair;
    const Bytes inner = InnerPacket{}.bytes();
    for (unsigned next = 0; next < 256; ++next) {
        if (next == kNextIpv4 || next == kNextIpv6 || next == kNextDummy) continue;
        const Bytes plain = with_trailer(inner, static_cast<std::uint8_t>(next));
        REQUIRE(open_dropped(pair, pair.forge(next + 1, plain)) == DropReason::esp_next_header);
    }
}

TEST_CASE("open: an inner packet that is not what its header says is refused", "[crypto]") {
    Pair pair;
    std::uint64_t number = 1;
    const auto refused = [&](const Bytes& inner, std::uint8_t next) {
        return open_dropped(pair, pair.forge(number++, with_trailer(inner, next))) == DropReason::esp_inner_malformed;
    };
    const Bytes good4 = InnerPacket{}.bytes(), good6 = InnerPacket{Family::ipv6}.bytes();
    CHECK(refused({}, kNextIpv4));
    CHECK(refused({}, kNextIpv6));
    CHECK(refused(Bytes(good4.begin(), good4.begin() + 19), kNextIpv4));
    CHECK(refused(Bytes(good6.begin(), good6.begin() + 39), kNextIpv6));
    CHECK(refused(good6, kNextIpv4));  // the trailer says one version, the packet another
    CHECK(refused(good4, kNextIpv6));
    Bytes bad = good4;
    bad[0] = 0x44;  // IHL 4
    CHECK(refused(bad, kNextIpv4));
    bad = good4;
    bad[2] = 0, bad[3] = 19;  // total length under the header's
    CHECK(refused(bad, kNextIpv4));
    bad[3] = static_cast<std::uint8_t>(good4.size() + 1);  // and over what is there
    CHECK(refused(bad, kNextIpv4));
    bad = good4;
    bad[0] = 0x4f;  // options that reach beyond the packet
    bad[3] = 40;
    CHECK(refused(bad, kNextIpv4));
    bad = good6;
    bad[5] = static_cast<std::uint8_t>(bad[5] + 1);
    CHECK(refused(bad, kNextIpv6));
}

TEST_CASE("open: what lies behind the inner packet is TFC padding and is cut off", "[crypto][conformance-26]") {
    Pair pair;
    std::uint64_t number = 1;
    for (const Family family : {Family::ipv4, Family::ipv6}) {
        const Bytes inner = InnerPacket{family, 77}.bytes();
        for (const std::size_t more : {1U, 3U, 400U, 1300U}) {
            Bytes longer = inner;
            longer.insert(longer.end(), more, 0xaa);
            Bytes bytes = pair.forge(number++, with_trailer(longer, family == Family::ipv4 ? kNextIpv4 : kNextIpv6));
            const OpenPacket packet = open_one(pair, bytes);
            CHECK(inner_of(packet) == inner);
            CHECK(packet.family == family);
        }
    }
}

TEST_CASE("open: ECN comes out as RFC 6040 figure 4 has it, checksum included", "[crypto][conformance-38]") {
    // Rows: inner Not-ECT, ECT(1), ECT(0), CE; columns: outer the same; -1 is drop.
    constexpr int kFigure4[4][4] = {{0, 0, 0, -1}, {1, 1, 1, 3}, {2, 1, 2, 3}, {3, 3, 3, 3}};
    Pair pair;
    std::uint64_t number = 1;
    for (const Family family : {Family::ipv4, Family::ipv6}) {
        for (std::uint8_t inner = 0; inner < 4; ++inner) {
            for (std::uint8_t outer = 0; outer < 4; ++outer) {
                for (const int dscp : {0x00, 0xb8, 0xfc}) {
                    const InnerPacket sent{family, 80, static_cast<std::uint8_t>(dscp | inner)};
                    const auto next = family == Family::ipv4 ? kNextIpv4 : kNextIpv6;
                    Bytes bytes = pair.forge(number++, with_trailer(sent.bytes(), next));
                    // The outer DSCP must not matter.
                    const OpenPacket packet = open_one(pair, bytes, static_cast<std::uint8_t>(0x40 | outer));
                    if (kFigure4[inner][outer] < 0) {
                        REQUIRE(packet.outcome == EspOutcome::dropped);
                        REQUIRE(packet.reason == DropReason::ecn_refused);
                        continue;
                    }
                    InnerPacket expected = sent;
                    expected.marks = static_cast<std::uint8_t>(dscp | kFigure4[inner][outer]);
                    REQUIRE(inner_of(packet) == expected.bytes());
                }
            }
        }
    }
}

TEST_CASE("open: an inner packet that the SA was not made for is refused, though it is authentic",
          "[crypto][conformance-27]") {
    Pair pair;
    std::uint64_t number = 1;
    const auto outcome = [&](const InnerPacket& inner) {
        const auto next = inner.family == Family::ipv4 ? kNextIpv4 : kNextIpv6;
        Bytes bytes = pair.forge(number++, with_trailer(inner.bytes(), next));
        const OpenPacket packet = open_one(pair, bytes);
        if (packet.outcome == EspOutcome::dropped) CHECK(packet.reason == DropReason::selector_mismatch);
        return packet.outcome;
    };
    CHECK(outcome({Family::ipv4, 64, 0, false, "10.1.255.255", "10.2.0.0"}) == EspOutcome::done);
    CHECK(outcome({Family::ipv4, 64, 0, false, "10.2.0.9", "10.1.0.7"}) == EspOutcome::dropped);  // the other way
    CHECK(outcome({Family::ipv4, 64, 0, false, "10.0.255.255", "10.2.0.0"}) == EspOutcome::dropped);
    CHECK(outcome({Family::ipv4, 64, 0, false, "10.1.0.1", "10.3.0.0"}) == EspOutcome::dropped);
    CHECK(outcome({Family::ipv6, 64, 0, false, "fd00:1:ffff::1", "fd00:2::1"}) == EspOutcome::done);
    CHECK(outcome({Family::ipv6, 64, 0, false, "fd00:3::1", "fd00:2::1"}) == EspOutcome::dropped);
    CHECK(outcome({Family::ipv6, 64, 0, false, "fd00:1::1", "fd00:1::2"}) == EspOutcome::dropped);
    // It was authentic, so its number is used and it counts.
    CHECK(pair.in->lifetime().packets() == number - 1);
}

TEST_CASE("open: what was sealed comes back, for every suite, family pair, engine, with ESN and without",
          "[crypto][conformance-22]") {
    test::Random random("esp round trip");
    for (const EngineKind kind : engines_here()) {
        for (const SuiteText& suite : kSuites) {
            for (const bool esn : {false, true}) {
                for (const Family outer : {Family::ipv4, Family::ipv6}) {
                    PairOptions options;
                    options.suite = suite.suite;
                    options.esn = esn;
                    options.outer = outer;
                    options.engine = kind;
                    options.start = esn ? (std::uint64_t{1} << 32) - 4200 : 1;
                    Pair pair(options);
                    for (int i = 0; i < 200; ++i) {
                        const Family family = random.one_in(2) ? Family::ipv4 : Family::ipv6;
                        const Bytes inner = InnerPacket{family, 48 + random.below(1452)}.bytes();
                        Bytes bytes = without_outer(pair, seal_one(pair, inner));
                        const OpenPacket packet = open_one(pair, bytes);
                        REQUIRE(inner_of(packet) == inner);
                        REQUIRE(packet.family == family);
                    }
                }
            }
        }
    }
}
