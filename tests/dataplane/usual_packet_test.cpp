// The usual packet is parsed in one go, any other header by header: both must read the same out of it.
//
// The same random packet is sent twice, the second time with an option that says nothing, which makes it unusual. It
// must fare as the first did: the same drops, the same way out, the same L4 bytes behind it.
#include "tests/dataplane/support/ends.hpp"
#include "tests/dataplane/support/test_hub.hpp"
#include "tests/support/random.hpp"
#include "tests/support/sanitizer.hpp"

using namespace sekisho;
using namespace sekisho::test;

namespace {

constexpr int kUsualPackets = kSanitized ? 1'000 : 4'000;

// Of the operator's own, or an answer to it: whose ACK matters.
Frame any_packet(Random& random, const Ends& ends, bool answer) {
    const std::string_view destinations[] = {ends.portal_hub, ends.archive, ends.clinic_hub, ends.unused_hub,
                                             ends.kita_hub};
    const unsigned ports[] = {53, 443, 4000, random.word32() & 0xffff};
    const std::string_view source = answer ? ends.portal : random.one_in(8) ? ends.router : ends.client;
    const std::string from = at(source, ports[random.below(4)]);
    const std::string to = at(answer ? ends.client_hub : destinations[random.below(5)], ports[random.below(4)]);
    Frame frame = random.one_in(2) ? udp(from, to) : tcp(from, to).flags(random.word32() & 0xff);
    frame.payload(random.below(64)).ttl(random.one_in(4) ? random.word32() & 3 : 64).dscp_ecn(random.word32() & 0xff);
    if (random.one_in(8)) frame.data_offset(random.word32() & 15);
    if (random.one_in(8)) frame.version(random.word32() & 15);
    if (random.one_in(8)) frame.padded(random.below(32));
    if (random.one_in(16)) frame.to("02:00:00:00:00:99");
    return frame;
}

// With three NOPs and an end of options, or a destination option header of padding.
Frame made_unusual(Frame frame, Family family) {
    return family == Family::ipv4 ? frame.options({1, 1, 1, 0}) : frame.destination_options();
}

Bytes part(const Bytes& bytes, std::size_t begin, std::size_t end) {
    REQUIRE(end <= bytes.size());
    return {bytes.begin() + static_cast<std::ptrdiff_t>(begin), bytes.begin() + static_cast<std::ptrdiff_t>(end)};
}

}  // namespace

TEST_CASE("parse: a packet with options that say nothing fares as the same packet without them", "[path]") {
    const Ends ends = GENERATE(kEnds4, kEnds6);
    const bool ipv4 = ends.family == Family::ipv4;
    Random random("usual packets");
    int left = 0, dropped = 0;
    StandardHub hub;
    for (int n = 0; n < kUsualPackets; ++n) {
        hub.wait(0.1);  // budgets fill
        hub.keep_neighbours();
        hub.explains(n % 16 == 0);  // which takes longer than all the rest
        const bool answer = random.one_in(2);
        const Frame usual = any_packet(random, ends, answer);
        const std::string_view line = answer ? "center" : random.one_in(2) ? "minami" : "kita";
        INFO("SEKISHO_SEED=" << random.seed() << ", packet " << n << "\n" << hex_of(usual.bytes()));
        hub.send(line, usual);
        const Frames before = hub.left();
        const Drops drops = hub.drops();
        const std::uint64_t made = hub.made();
        hub.send(line, made_unusual(usual, ends.family));
        REQUIRE(hub.drops() == drops);
        REQUIRE(hub.left().size() == before.size());
        REQUIRE(hub.made() == made);
        drops.empty() ? ++left : ++dropped;
        if (made != 0 || before.empty()) continue;
        const Bytes& first = before.front().frame;
        const Bytes& second = hub.left().front().frame;
        REQUIRE(hub.left().front().port == before.front().port);
        const std::size_t l3 = get16(first, 12) == 0x8100 ? 18 : 14;
        const std::size_t addresses = l3 + (ipv4 ? 12 : 8), l4 = l3 + (ipv4 ? 20 : 40), option = ipv4 ? 4 : 8;
        REQUIRE(part(second, 0, l3) == part(first, 0, l3));
        REQUIRE(part(second, addresses, l4) == part(first, addresses, l4));
        REQUIRE(part(second, l4 + option, second.size()) == part(first, l4, first.size()));
    }
    CHECK(left > kUsualPackets / 16);
    CHECK(dropped > kUsualPackets / 16);
}
