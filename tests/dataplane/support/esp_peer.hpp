// The far end of a tunnel: makes and reads ESP packets byte by byte, with OpenSSL, and can make them wrong.
//
// On purpose not with crypto/'s seal and open: RFC 4303 and RFC 4106 once more, in the plainest way.
#pragma once

#include <optional>

#include "crypto/sa.hpp"
#include "tests/dataplane/support/bytes.hpp"
#include "tests/dataplane/support/frame.hpp"

namespace sekisho::test {

// One direction: keying material, SPI, and what is agreed.
struct EspKey {
    Spi spi;
    crypto::Suite suite = crypto::Suite::aes_gcm_128;
    bool esn = true;
    Bytes keying;  // key and salt
};
// A key that no other SPI has.
EspKey esp_key(std::uint32_t spi, crypto::Suite suite = crypto::Suite::aes_gcm_128, bool esn = true);

// What may be said of a packet; everything that is not said is right.
struct EspOptions {
    std::optional<unsigned> next_header;  // else by the inner packet's first nibble
    std::optional<Bytes> padding;         // else 1, 2, 3 as far as needed
    std::optional<unsigned> pad_length;   // what the trailer says
    std::size_t tfc = 0;                  // bytes of traffic flow confidentiality padding
    bool damage = false;                  // one bit of the ICV is wrong
    std::optional<std::uint64_t> iv;      // else the sequence number
};

// From the ESP header to the ICV.
Bytes esp(const EspKey& key, std::uint64_t sequence, const Bytes& inner, const EspOptions& options = {});

struct EspOpened {
    Spi spi;
    std::uint32_t sequence = 0;  // as it lies in the packet
    unsigned next_header = 0;
    Bytes inner;  // without padding
};
// Nothing when it is not ESP, of another SPI, not authentic, or its padding is wrong. `high` is the half of the number
// that the packet does not carry.
std::optional<EspOpened> open_esp(const EspKey& key, std::span<const std::uint8_t> bytes, std::uint32_t high = 0);

// A frame that left: its outer header's fields, and the ESP behind it, or behind UDP; nothing when it carries none.
struct Outer {
    IpAddress source = Ipv4Address(), destination = Ipv4Address();
    unsigned marks = 0, ttl = 0;
    bool dont_fragment = false;
    Bytes esp;
};
std::optional<Outer> outer_of(const Bytes& frame);

}  // namespace sekisho::test
