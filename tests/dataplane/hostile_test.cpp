// Hostile input: every packet of a corpus cut at every length, and mutated some hundred thousand times.
//
// Nothing crashes (run it with AddressSanitizer: frames lie in buffers of exactly their length), every account balances
// after every walk, and what leaves is what the oracle lets leave, with every checksum as right as it came. The seed is
// printed; SEKISHO_SEED and SEKISHO_TEST_PACKETS set seed and number.
#include <chrono>
#include <cstdlib>
#include <iostream>

#include "tests/dataplane/support/exact_buffer.hpp"
#include "tests/dataplane/support/oracle.hpp"
#include "tests/dataplane/support/specimens.hpp"
#include "tests/dataplane/support/test_hub.hpp"
#include "tests/support/random.hpp"
#include "tests/support/sanitizer.hpp"

using namespace sekisho;
using namespace sekisho::test;

namespace {

constexpr std::uint64_t kPackets = sekisho::test::kAddressSanitizer ? 50'000 : 300'000;
constexpr std::chrono::seconds kAtMost{60};  // unless a number was asked for

class Mutator {
  public:
    std::uint64_t below(std::uint64_t limit) { return random_.below(limit); }
    std::uint64_t seed() const { return random_.seed(); }

    void mutate(Bytes& frame, const std::vector<Specimen>& specimens) {
        for (std::uint64_t times = 1 + below(3); times > 0; --times) once(frame, specimens);
        if (below(4) != 0) mend(frame);
    }

  private:
    void once(Bytes& frame, const std::vector<Specimen>& specimens) {
        if (frame.empty()) return;
        // Mostly the headers, where every byte means something.
        const std::size_t at = below(below(4) == 0 ? frame.size() : std::min<std::size_t>(frame.size(), 80));
        static constexpr std::uint8_t kBytes[] = {0, 1, 2, 4, 5, 0x0f, 0x40, 0x7f, 0x80, 0xfe, 0xff, 6, 17, 58};
        switch (below(8)) {
            case 0: frame[at] = static_cast<std::uint8_t>(frame[at] ^ 1U << below(8)); break;
            case 1: frame[at] = static_cast<std::uint8_t>(random_.word()); break;
            case 2: frame[at] = kBytes[below(std::size(kBytes))]; break;
            case 3: frame.resize(below(frame.size() + 1)); break;
            case 4: frame.resize(frame.size() + below(64), static_cast<std::uint8_t>(random_.word())); break;
            case 5: frame[at] = static_cast<std::uint8_t>(frame[at] + below(3) - 1); break;
            case 6: {  // a stretch of another packet
                const Bytes& other = specimens[below(specimens.size())].frame;
                const std::size_t length =
                    std::min({below(48), frame.size() - at, other.size() - std::min(at, other.size())});
                std::copy_n(other.begin() + static_cast<std::ptrdiff_t>(std::min(at, other.size())), length,
                            frame.begin() + static_cast<std::ptrdiff_t>(at));
                break;
            }
            default: {  // bytes taken out
                const std::size_t length = std::min(below(16), frame.size() - at);
                frame.erase(frame.begin() + static_cast<std::ptrdiff_t>(at),
                            frame.begin() + static_cast<std::ptrdiff_t>(at + length));
            }
        }
    }
    // Makes the IPv4 header's checksum right again, so that more gets past it.
    static void mend(Bytes& frame) {
        const std::size_t link = frame.size() >= 18 && get16(frame, 12) == 0x8100 ? 18 : 14;
        if (frame.size() < link + 20 || get16(frame, link - 2) != 0x0800) return;
        const std::size_t length = std::size_t{4} * (frame[link] & 15);
        if (length < 20 || frame.size() < link + length) return;
        set16(frame, link + 10, 0);
        set16(frame, link + 10, 0xffffU & ~unsigned{sum_of_words({std::span(frame).subspan(link, length)})});
    }

    Random random_{"hostile"};
};

bool is_of_hub(const Policy& policy, const IpAddress& address) {
    if (!address.is_ipv4() && address.ipv6().is_link_local()) return true;
    const auto is_address_of = [&](const std::string& text) {
        return !text.empty() && IpAddress::parse(text.substr(0, text.find('/'))) == address;
    };
    return std::any_of(policy.lines.begin(), policy.lines.end(),
                       [&](const Line& line) { return is_address_of(line.address4) || is_address_of(line.address6); });
}

// What the hub made itself is right in every checksum. What an answer of a neighbour lets go beside it is not its own.
void check_own(const Policy& policy, const Sent& sent) {
    const Bytes ip = packet_in(sent.frame);
    if (ip.empty()) return;  // ARP
    const auto packet = read(ip);
    REQUIRE(packet);
    INFO("left as\n" << hex_of(sent.frame));
    CHECK(header_sum(ip) == Sum::right);
    if (is_of_hub(policy, packet->source)) CHECK(l4_sum(ip, *packet) == Sum::right);
}

// Where the MSS of a SYN may be clamped.
bool in_options_of_syn(const Reading& packet, std::size_t l4) {
    return packet.protocol == 6 && (packet.flags_or_type & 2) != 0 && l4 >= 20 && l4 < 60;
}

// The fragments that came in lately, by line: one that leaves is one of them, whose first one was among them too.
class CutPackets {
  public:
    void came(std::size_t line, const Bytes& frame) {
        const Bytes ip = packet_in(frame);
        const auto packet = read(ip);
        if (!packet || !packet->fragment) return;
        if (seen_.size() == 2048) seen_.erase(seen_.begin(), seen_.begin() + 1024);
        seen_.push_back({line, ip, *packet});
    }
    bool explain(const Policy& policy, const Bytes& out) const {
        const auto packet = read(out);
        return std::any_of(seen_.rbegin(), seen_.rend(), [&](const Seen& in) {
            if (!packet || !changed_only_where_it_must(in, out, *packet)) return false;
            return std::any_of(seen_.rbegin(), seen_.rend(), [&](const Seen& first) {
                if (first.line != in.line || first.packet.id != in.packet.id) return false;
                const auto allowed = passage(policy, policy.lines[in.line], in.ip, first.packet);
                return allowed && packet->source == allowed->source && packet->destination == allowed->destination;
            });
        });
    }

  private:
    struct Seen {
        std::size_t line;
        Bytes ip;
        Reading packet;
    };
    static bool changed_only_where_it_must(const Seen& in, const Bytes& out, const Reading& packet) {
        if (out.size() != in.ip.size() || packet.ttl != in.packet.ttl - 1 || header_sum(out) != Sum::right)
            return false;
        for (std::size_t i = 0; i < out.size(); ++i) {
            if (in.ip[i] == out[i]) continue;
            const bool ip_field = packet.ipv4 ? i == 8 || (i >= 10 && i < 20) : i == 7 || (i >= 8 && i < 40);
            const std::size_t l4 = i - packet.l4;
            const bool sum = l4 == 2 || l4 == 3 || l4 == 6 || l4 == 7 || l4 == 16 || l4 == 17;
            const bool l4_field = !packet.later && i >= packet.l4 && (sum || in_options_of_syn(packet, l4));
            if (!ip_field && !l4_field) return false;
        }
        return true;
    }
    std::vector<Seen> seen_;
};

// What was forwarded may have been, changed only where it must be, and is no more wrong than it came.
void check_forwarded(const Policy& policy, const Line& line, const Bytes& before, const Sent& sent) {
    const Bytes in = packet_in(before);
    const Bytes out = packet_in(sent.frame);
    const auto allowed = passage(policy, line, in);
    REQUIRE(allowed);
    const auto old_packet = read(in);
    const auto new_packet = read(out);
    REQUIRE(new_packet);
    REQUIRE(out.size() == in.size());
    CHECK(new_packet->source == allowed->source);
    CHECK(new_packet->destination == allowed->destination);
    CHECK(new_packet->ttl == old_packet->ttl - 1);
    CHECK(header_sum(out) == Sum::right);
    CHECK(l4_sum(out, *new_packet) == l4_sum(in, *old_packet));
    const bool error = is_error(*old_packet);
    for (std::size_t i = 0; i < in.size(); ++i) {
        if (in[i] == out[i]) continue;
        const bool ip_field = old_packet->ipv4 ? i == 8 || (i >= 10 && i < 20) : i == 7 || (i >= 8 && i < 40);
        const std::size_t l4 = i - old_packet->l4;
        const bool l4_field = i >= old_packet->l4 && (error || in_options_of_syn(*old_packet, l4) || l4 == 2 ||
                                                      l4 == 3 || l4 == 6 || l4 == 7 || l4 == 16 || l4 == 17);
        CHECK((ip_field || l4_field));
    }
    if (!error) return;
    const auto old_quote = read(std::span(in).subspan(old_packet->l4 + 8), true);
    const auto new_quote = read(std::span(out).subspan(new_packet->l4 + 8), true);
    REQUIRE(old_quote);
    REQUIRE(new_quote);
    CHECK(new_quote->source == new_packet->destination);
    CHECK(header_sum(std::span(out).subspan(new_packet->l4 + 8)) ==
          header_sum(std::span(in).subspan(old_packet->l4 + 8)));
}

}  // namespace

TEST_CASE("hostile: a packet that is cut anywhere is dropped once, and nothing leaves", "[path][hostile]") {
    StandardHub hub;
    const Policy policy = standard_policy();
    for (const Specimen& specimen : specimens_of(policy))
        for (std::size_t length = 0; length < specimen.frame.size(); ++length) {
            hub.send_bytes(policy.lines[specimen.line].port, {first(specimen.frame, length)}, kHeadroom);
            REQUIRE(hub.left() == Frames{});
            const Drops drops = hub.drops();
            REQUIRE(drops.size() == 1);
            REQUIRE(drops.begin()->second == 1);
        }
}

TEST_CASE("hostile: mutated packets crash nothing, and leave only as the oracle lets them", "[path][hostile]") {
    const char* const number = std::getenv("SEKISHO_TEST_PACKETS");
    const std::uint64_t packets = number != nullptr ? std::strtoull(number, nullptr, 10) : kPackets;
    const auto until =
        number != nullptr ? std::chrono::steady_clock::time_point::max() : std::chrono::steady_clock::now() + kAtMost;
    Mutator mutator;
    const Policy policy = standard_policy();
    const std::vector<Specimen> specimens = specimens_of(policy);
    auto hub = std::make_unique<StandardHub>();
    CutPackets fragments;
    std::uint64_t done = 0, forwarded = 0, in_pieces = 0, own = 0;
    for (; done < packets && std::chrono::steady_clock::now() < until; ++done) {
        if (done % 10'000 == 9'999) {  // as mutations teach it neighbours that are none
            hub.reset();
            hub = std::make_unique<StandardHub>();
        }
        if (done % 32 == 0) hub->wait(0.1);  // budgets fill, neighbours are given up
        const Specimen& specimen = specimens[mutator.below(specimens.size())];
        Bytes frame = specimen.frame;
        mutator.mutate(frame, specimens);
        hub->send_bytes(policy.lines[specimen.line].port, {frame}, mutator.below(64) == 0 ? 0 : kHeadroom);
        // The line that it came by, after its tag was mutated, too.
        const unsigned vlan = frame.size() >= 16 && get16(frame, 12) == 0x8100 ? get16(frame, 14) & 0x0fffU : 0;
        const auto line = std::find_if(policy.lines.begin(), policy.lines.end(), [&](const Line& candidate) {
            return candidate.port == policy.lines[specimen.line].port && candidate.vlan_id == vlan;
        });
        if (line != policy.lines.end()) fragments.came(static_cast<std::size_t>(line - policy.lines.begin()), frame);
        if (hub->left().empty()) continue;
        INFO("SEKISHO_SEED=" << mutator.seed() << ", packet " << done << "\n" << hex_of(frame));
        Frames whole;
        for (const Sent& sent : hub->left()) {
            const Bytes ip = packet_in(sent.frame);
            const auto packet = read(ip);
            if (!packet || !packet->fragment) {
                whole.push_back(sent);
                continue;
            }
            INFO("left as\n" << hex_of(sent.frame));
            REQUIRE(fragments.explain(policy, ip));
            ++in_pieces;
        }
        if (hub->made() != 0 || hub->consumed() != 0) {
            ++own;
            for (const Sent& sent : whole) check_own(policy, sent);
            continue;
        }
        if (whole.empty()) continue;
        ++forwarded;
        REQUIRE(whole.size() == 1);
        REQUIRE(line != policy.lines.end());
        check_forwarded(policy, *line, frame, whole.front());
    }
    std::cout << "hostile: " << done << " packets, " << forwarded << " forwarded whole, " << in_pieces << " in pieces, "
              << own << " answered or refused with an error\n";
    CHECK(done > 1000);
    CHECK(forwarded > done / 100);
    CHECK(in_pieces > done / 1000);
}
