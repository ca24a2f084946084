// Fuzzed: ESP packets as they arrive. What was not sealed with the key never opens; what was, whatever it says, opens
// to an inner packet inside of it, or not at all.
#include "tests/crypto/esp_support.hpp"
#include "tests/fuzz/target.hpp"

using namespace sekisho;
using namespace sekisho::crypto;
using namespace sekisho::test;

namespace {

void open_forged(Pair& pair, std::uint64_t sequence, std::span<const std::uint8_t> plain) {
    Bytes packet = pair.forge(sequence, Bytes(plain.begin(), plain.end()));
    const OpenPacket opened = open_one(pair, packet);
    if (opened.outcome != EspOutcome::done) return;
    const std::uint8_t* const begin = packet.data() + sizeof(EspHeader);
    REQUIRE(opened.inner >= begin);
    REQUIRE(opened.inner + opened.inner_length <= begin + plain.size());
    REQUIRE(opened.inner_length >= (opened.family == Family::ipv4 ? 20U : 40U));
}

}  // namespace

int fuzz_one(const std::uint8_t* data, std::size_t size) {
    static Pair pair;
    static std::uint64_t sequence = 0;
    if (size == 0) return 0;
    const std::span<const std::uint8_t> rest(data + 1, size - 1);
    if ((data[0] & 1) != 0) {
        open_forged(pair, ++sequence, rest);
        return 0;
    }
    Bytes packet(rest.begin(), rest.end());
    REQUIRE(open_one(pair, packet).outcome == EspOutcome::dropped);
    return 0;
}
