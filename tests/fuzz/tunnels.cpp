// Fuzzed: what comes out of ESP, through the whole path; and ESP itself, damaged. TestHub sees to it that every account
// balances and no buffer is lost.
//
// An input is packets, one behind the other: a byte whose low bit chooses the outer family, whose second bit says that
// the bytes are what lies inside an authentic ESP packet (its trailer's next header in the top two bits: 4, 41, 59 or
// by the first nibble), otherwise that they follow the outer header as they are; the length in two bytes; and the
// bytes.
#include "tests/dataplane/support/protected.hpp"
#include "tests/fuzz/target.hpp"

using namespace sekisho;
using namespace sekisho::test;

namespace {

constexpr std::size_t kInputsOfOneHub = 10'000;
using Hubs = std::array<std::unique_ptr<ProtectedHub>, 2>;

// A pointer that no static destructor touches: it is to be gone before DPDK and Catch2 are.
Hubs& the_hubs() {
    static auto& hubs = *new Hubs;
    return hubs;
}

}  // namespace

int fuzz_one(const std::uint8_t* data, std::size_t size) {
    Hubs& hubs = the_hubs();
    static std::size_t inputs = 0;
    if (inputs == 0) at_fuzz_end([] { the_hubs() = {}; });
    if (inputs++ % kInputsOfOneHub == 0) {
        hubs = {};  // one at a time has buffers when it begins
    }
    std::span<const std::uint8_t> rest(data, size);
    for (int packets = 0; rest.size() > 3 && packets < 16; ++packets) {
        const std::uint8_t how = rest[0];
        std::unique_ptr<ProtectedHub>& hub = hubs[how & 1U];
        hubs[~how & 1U].reset();
        if (!hub) {
            ProtectedOptions options;
            options.outer = (how & 1U) == 0 ? Family::ipv4 : Family::ipv6;
            hub = std::make_unique<ProtectedHub>(options);
        }
        const std::size_t length = std::min<std::size_t>(get16(rest, 1), rest.size() - 3);
        const Bytes bytes(rest.begin() + 3, rest.begin() + 3 + static_cast<std::ptrdiff_t>(length));
        constexpr std::optional<unsigned> kNext[] = {std::nullopt, 4, 41, 59};
        const Frame frame =
            (how & 2U) != 0 ? hub->from_peer(bytes, {.next_header = kNext[how >> 6]}) : hub->carried(bytes);
        if (bytes.size() < 65000) hub->peer_sends(frame);
        rest = rest.subspan(3 + length);
    }
    return 0;
}
