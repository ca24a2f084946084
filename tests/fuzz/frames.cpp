// Fuzzed: bursts of frames through the whole path, by every attachment. TestHub sees to it that every account balances
// and no buffer is lost; frames lie in buffers of exactly their length.
//
// An input is frames, one behind the other: a byte whose low half chooses the line and whose highest bit lets a tenth
// of a second pass, the length in two bytes, and the frame. A frame whose MAC address is all zero is to the hub.
#include "tests/dataplane/support/exact_buffer.hpp"
#include "tests/dataplane/support/test_hub.hpp"
#include "tests/fuzz/target.hpp"

using namespace sekisho;
using namespace sekisho::test;

namespace {
constexpr std::size_t kInputsOfOneHub = 10'000;  // as inputs teach it neighbours that are none
constexpr std::size_t kMacBytes = 6;

// A pointer that no static destructor touches: it is to be gone before DPDK and Catch2 are.
std::unique_ptr<StandardHub>& the_hub() {
    static auto& hub = *new std::unique_ptr<StandardHub>;
    return hub;
}
}  // namespace

int fuzz_one(const std::uint8_t* data, std::size_t size) {
    std::unique_ptr<StandardHub>& hub = the_hub();
    static std::size_t inputs = 0;
    // The buffers that it holds are known in DPDK's memory only, where the leak sanitizer does not look.
    if (inputs == 0) at_fuzz_end([] { the_hub().reset(); });
    if (inputs++ % kInputsOfOneHub == 0) {
        hub.reset();
        hub = std::make_unique<StandardHub>();
    }
    std::span<const std::uint8_t> rest(data, size);
    for (int frames = 0; rest.size() > 3 && frames < 16; ++frames) {
        const Line& line = hub->policy().lines[(rest[0] & 15U) % hub->policy().lines.size()];
        if ((rest[0] & 0x80) != 0) hub->wait(0.1);
        const std::size_t length = std::min<std::size_t>(get16(rest, 1), rest.size() - 3);
        Bytes frame(rest.begin() + 3, rest.begin() + 3 + static_cast<std::ptrdiff_t>(length));
        const MacAddress& mac = line.mac_address;
        if (length >= kMacBytes &&
            std::all_of(frame.begin(), frame.begin() + kMacBytes, [](auto byte) { return byte == 0; }))
            std::memcpy(frame.data(), &mac, kMacBytes);
        hub->send_bytes(line.port, {frame}, kHeadroom);
        rest = rest.subspan(3 + length);
    }
    return 0;
}
