// The MSS clamp: SYN and SYN-ACK of both families, to what fits through the narrower of the two ways (RFC 9293 §3.7.1).
#include "nat/segment_size.hpp"

#include <memory>

#include "tests/dataplane/support/ends.hpp"
#include "tests/dataplane/support/pieces.hpp"
#include "tests/dataplane/support/test_hub.hpp"
#include "tests/support/random.hpp"

using namespace sekisho;
using namespace sekisho::test;

namespace {

// Options behind the TCP header: padded with their end to whole words.
Frame with_options(Frame segment, Bytes options, std::size_t payload = 0) {
    while (options.size() % 4 != 0) options.push_back(0);
    segment.data_offset(static_cast<unsigned>(5 + options.size() / 4));
    options.resize(options.size() + payload, 0x5a);
    return segment.payload(options);
}
Bytes mss(unsigned value) {
    return {2, 4, static_cast<std::uint8_t>(value >> 8), static_cast<std::uint8_t>(value)};
}
unsigned largest(const Ends& ends, unsigned mtu) {
    return mtu - (ends.family == Family::ipv4 ? 40 : 60);
}

struct Opening {
    std::string_view line, leaves_by, next_hop;
    Frame in, out;
};
// SYN towards the portal, SYN-ACK back.
std::vector<Opening> openings(const Ends& ends) {
    return {{"kita", "center", kPortal, tcp(at(ends.client, 4000), at(ends.portal_hub, 443)).syn(),
             tcp(at(ends.client_hub, 4000), at(ends.portal, 443)).syn().ttl(63)},
            {"center", "kita", kKitaGateway, tcp(at(ends.portal, 443), at(ends.client_hub, 4000)).syn().ack(),
             tcp(at(ends.portal_hub, 443), at(ends.client, 4000)).syn().ack().ttl(63)}};
}
void expect(TestHub& hub, const Opening& opening, const Bytes& before, const Bytes& after) {
    hub.send(opening.line, with_options(opening.in, before));
    CHECK(hub.left() == Frames{hub.by(opening.leaves_by, with_options(opening.out, after).to(opening.next_hop))});
    CHECK(hub.drops() == Drops{});
}
Bytes joined(Bytes a, const Bytes& b) {
    put(a, b);
    return a;
}

}  // namespace

TEST_CASE("mss: an option that contradicts itself ends the search, and nothing is read behind the header",
          "[path][mss]") {
    // The header alone, in heap memory that ends with it.
    const auto clamped = [](const Bytes& options, unsigned header_words) {
        Bytes segment(20);
        segment[12] = static_cast<std::uint8_t>(header_words << 4);
        put(segment, options);
        const auto exact = std::make_unique<std::uint8_t[]>(segment.size());
        std::copy(segment.begin(), segment.end(), exact.get());
        nat::clamp_segment_size({exact.get(), segment.size()}, 100);
        return Bytes(exact.get(), exact.get() + segment.size()) != segment;
    };
    CHECK_FALSE(clamped({2}, 5));
    CHECK_FALSE(clamped({8, 0, 2, 4, 9, 9, 0, 0}, 7));    // length 0
    CHECK_FALSE(clamped({8, 1, 2, 4, 9, 9, 0, 0}, 7));    // length 1
    CHECK_FALSE(clamped({8, 200, 2, 4, 9, 9, 0, 0}, 7));  // longer than the header
    CHECK_FALSE(clamped({1, 1, 1, 2}, 6));                // ends behind its kind
    CHECK_FALSE(clamped({1, 1, 2, 4}, 6));                // and behind its length
    CHECK_FALSE(clamped({1, 2, 4, 9}, 6));
    CHECK_FALSE(clamped({2, 3, 9, 2, 4, 9, 9, 0}, 15));  // a header that is not there
    CHECK_FALSE(clamped({2, 4, 9, 9}, 5));               // data, not an option
    CHECK_FALSE(clamped({0, 2, 4, 9, 9, 0, 0, 0}, 7));   // behind the end of the options
    CHECK_FALSE(clamped({2, 3, 9, 0}, 6));               // an MSS of another length
    CHECK_FALSE(clamped({2, 6, 9, 9, 9, 9, 0, 0}, 7));
    CHECK_FALSE(clamped({}, 0));
    CHECK(clamped({2, 4, 9, 9}, 6));
    CHECK(clamped({2, 6, 9, 9, 9, 9, 2, 4, 9, 9, 0, 0}, 8));  // behind one that was skipped
}

TEST_CASE("mss: random headers are clamped as one who reads them plainly would", "[path][mss]") {
    Random random("mss");
    unsigned changed = 0;
    for (int round = 0; round < 20'000; ++round) {
        Bytes segment = random.bytes(20);
        const std::size_t words = random.below(11);
        for (std::size_t i = 0; i < words; ++i)
            put(segment, random.one_in(2) ? mss(random.word32() & 0xffff) : random.bytes(4));
        // Mostly small kinds and lengths, which lead on.
        for (std::size_t i = 20; i < segment.size(); ++i)
            if (random.one_in(3)) segment[i] = static_cast<std::uint8_t>(random.below(6));
        segment[12] = static_cast<std::uint8_t>((random.one_in(8) ? random.below(16) : 5 + words) << 4);
        const unsigned most = random.word32() & 0xffff;

        // Plainly: a new segment, with its sum taken afresh and compared by difference.
        Bytes expected = segment;
        const std::size_t end = std::size_t{4} * (segment[12] >> 4);
        for (std::size_t at = 20; end <= segment.size() && at < end && expected[at] != 0;) {
            const std::size_t length = expected[at] == 1 ? 1 : at + 1 < end ? expected[at + 1] : 0;
            if (length == 0 || (expected[at] != 1 && length < 2) || at + length > end) break;
            if (expected[at] == 2 && length == 4 && get16(expected, at + 2) > most) set16(expected, at + 2, most);
            at += length;
        }
        Bytes result = segment;
        nat::clamp_segment_size(result, static_cast<std::uint16_t>(most));
        INFO("SEKISHO_SEED=" << random.seed() << "\n" << hex_of(segment) << "\nto " << most << "\n" << hex_of(result));
        // The sum over all of it is what it was, which is what keeps a right checksum right.
        const unsigned before = sum_of_words({segment}) % 0xffff, after = sum_of_words({result}) % 0xffff;
        REQUIRE(before == after);
        if (result != segment) ++changed;
        set16(expected, 16, get16(result, 16));
        REQUIRE(result == expected);
    }
    CHECK(changed > 1000);
}

TEST_CASE("mss: a SYN and its answer ask for no more than fits through the narrower way",
          "[path][mss][conformance-44]") {
    const Ends ends = GENERATE(kEnds4, kEnds6);
    const bool narrow_in = GENERATE(true, false);
    Policy policy = standard_policy();
    policy.line(narrow_in ? "kita" : "center").mtu(1380);
    StandardHub hub(policy);
    const unsigned most = largest(ends, 1380);
    for (const Opening& opening : openings(ends)) {
        for (const unsigned asked : {most + 1, 1460U, 9000U, 65535U}) expect(hub, opening, mss(asked), mss(most));
        for (const unsigned asked : {0U, 1U, 536U, most - 1, most}) expect(hub, opening, mss(asked), mss(asked));
        expect(hub, opening, {}, {});
        expect(hub, opening, {1, 1, 1, 0}, {1, 1, 1, 0});
        // At an odd place, behind others, twice.
        const Bytes scale = {3, 3, 7};
        expect(hub, opening, joined(scale, mss(9000)), joined(scale, mss(most)));
        expect(hub, opening, joined({1}, joined(mss(9001), scale)), joined({1}, joined(mss(most), scale)));
        expect(hub, opening, joined(mss(9000), joined({1}, mss(8000))), joined(mss(most), joined({1}, mss(most))));
    }
}

TEST_CASE("mss: other segments, and data that look like the option, stay as they are", "[path][mss]") {
    StandardHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    const auto check = [&](Frame in, Frame out) {
        hub.send("kita", in);
        CHECK(hub.left() == Frames{hub.by("center", out.ttl(63).to(kPortal))});
    };
    for (const bool reset : {true, false}) {
        Frame in = tcp(at(ends.client, 4000), at(ends.portal_hub, 443));
        Frame out = tcp(at(ends.client_hub, 4000), at(ends.portal, 443));
        check(with_options(reset ? in.rst() : in.ack(), mss(9000)),
              with_options(reset ? out.rst() : out.ack(), mss(9000)));
    }
    check(tcp(at(ends.client, 4000), at(ends.portal_hub, 443)).syn().payload(mss(9000)),
          tcp(at(ends.client_hub, 4000), at(ends.portal, 443)).syn().payload(mss(9000)));
    // A datagram whose bytes would be a SYN's.
    Bytes bytes(30, 0x02);
    put(bytes, mss(9000));
    check(udp(at(ends.client, 4000), at(ends.portal_hub, 53)).payload(bytes),
          udp(at(ends.client_hub, 4000), at(ends.portal, 53)).payload(bytes));
}

TEST_CASE("mss: a SYN in fragments is clamped in its first one, and one behind extension headers too", "[path][mss]") {
    StandardHub hub;
    const Ends ends = GENERATE(kEnds4, kEnds6);
    const Opening opening = openings(ends).front();
    const unsigned most = largest(ends, 1500);
    const Bytes in = with_options(Frame(opening.in).dont_fragment(false), mss(9000), 400).ip();
    const Bytes out = with_options(Frame(opening.out).dont_fragment(false), mss(most), 400).ip();
    hub.send("kita", {carrying(piece(in, 24, 424, false)), carrying(piece(in, 0, 24, true))});
    CHECK(hub.left() == Frames{hub.by("center", carrying(piece(out, 0, 24, true)).to(kPortal)),
                               hub.by("center", carrying(piece(out, 24, 424, false)).to(kPortal))});
    CHECK(hub.drops() == Drops{});
    if (ends.family == Family::ipv4) {
        const Bytes options = {148, 4, 0, 0};
        hub.send("kita", with_options(Frame(opening.in).options(options), mss(9000)));
        CHECK(hub.left() ==
              Frames{hub.by("center", with_options(Frame(opening.out).options(options), mss(most)).to(kPortal))});
    } else {
        hub.send("kita", with_options(Frame(opening.in).hop_by_hop(), mss(9000)));
        CHECK(hub.left() ==
              Frames{hub.by("center", with_options(Frame(opening.out).hop_by_hop(), mss(most)).to(kPortal))});
    }
}
