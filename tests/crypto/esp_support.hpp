// What ESP tests are made of: inner packets, a pair of SAs with one key, packets forged to the byte.
#pragma once

#include <algorithm>
#include <memory>
#include <vector>

#include <catch2/catch.hpp>

#include "crypto/esp.hpp"
#include "crypto/esp_header.hpp"
#include "net/checksum.hpp"
#include "net/headers.hpp"
#include "tests/support/random.hpp"

namespace sekisho::test {

using namespace sekisho::crypto;
using Bytes = std::vector<std::uint8_t>;

inline std::unique_ptr<AeadEngine> engine_of(EngineKind kind) {
    auto made = make_engine(kind);
    REQUIRE(made);
    return std::move(*made);
}

// An inner packet: UDP from 10.1.0.0/16 (fd00:1::/32) to 10.2.0.0/16 (fd00:2::/32) unless told otherwise.
struct InnerPacket {
    Family family = Family::ipv4;
    std::size_t length = 64;
    std::uint8_t marks = 0;
    bool df = false;
    std::string source = {};
    std::string destination = {};
    std::uint8_t protocol = kProtocolUdp;
    std::uint16_t source_port = 4000;
    std::uint16_t destination_port = 53;
    std::uint16_t fragment_offset = 0;

    Bytes bytes() const {
        Bytes packet(length);
        for (std::size_t i = 0; i < length; ++i) packet[i] = static_cast<std::uint8_t>(i * 7 + 1);
        const bool v4 = family == Family::ipv4;
        const auto from = *IpAddress::parse(!source.empty() ? source : v4 ? "10.1.0.7" : "fd00:1::7");
        const auto to = *IpAddress::parse(!destination.empty() ? destination : v4 ? "10.2.0.9" : "fd00:2::9");
        std::size_t l4 = 0;
        if (v4) {
            Ipv4Header ip{};
            ip.version_ihl = 0x45;
            ip.dscp_ecn = marks;
            ip.total_length = Be16::from_host(static_cast<std::uint16_t>(length));
            ip.flags_offset =
                Be16::from_host(static_cast<std::uint16_t>((df ? kIpv4DontFragment : 0) | fragment_offset));
            ip.ttl = 63;
            ip.protocol = protocol;
            ip.source = from.ipv4().wire();
            ip.destination = to.ipv4().wire();
            std::memcpy(packet.data(), &ip, sizeof ip);
            ip.checksum = checksum_of(std::span(packet).first(sizeof ip));
            std::memcpy(packet.data(), &ip, sizeof ip);
            l4 = sizeof ip;
        } else {
            Ipv6Header ip{};
            ip.version_class_flow = Be32::from_host(0x6000'0000U | static_cast<std::uint32_t>(marks) << 20 | 0x12345);
            ip.payload_length = Be16::from_host(static_cast<std::uint16_t>(length - sizeof ip));
            ip.next_header = protocol;
            ip.hop_limit = 63;
            ip.source = Ipv6Wire::from(from.ipv6());
            ip.destination = Ipv6Wire::from(to.ipv6());
            std::memcpy(packet.data(), &ip, sizeof ip);
            l4 = sizeof ip;
        }
        const Be16 ports[2] = {Be16::from_host(source_port), Be16::from_host(destination_port)};
        if (length >= l4 + sizeof ports) std::memcpy(packet.data() + l4, ports, sizeof ports);
        return packet;
    }
};

inline std::vector<Selector> both_families() {
    return {{*Prefix4::parse("10.2.0.0/16"), *Prefix4::parse("10.1.0.0/16")},
            {*Prefix6::parse("fd00:2::/32"), *Prefix6::parse("fd00:1::/32")}};
}

struct PairOptions {
    Suite suite = Suite::aes_gcm_128;
    bool esn = true;
    Family outer = Family::ipv4;
    OuterMarks marks = {};
    LifetimeLimits lifetime = {};
    std::uint32_t window = kDefaultReplayWindow;
    std::vector<Selector> selectors = both_families();
    EngineKind engine = fastest_engine();
    std::uint64_t start = 1;
};

// One key: sealed by `out` with one engine, opened by `in`.
struct Pair {
    explicit Pair(const PairOptions& chosen = {})
        : options(chosen),
          engine(engine_of(options.engine)),
          store(prepared_bytes(options.engine)),
          keying(text_of(options.suite).key_length + kSaltLength),
          esp(*engine) {
        for (std::size_t i = 0; i < keying.size(); ++i) keying[i] = static_cast<std::uint8_t>(0xc0 + i * 5);
        OutboundConfig outbound{Spi(0x10203), options.suite, options.esn};
        const bool v4 = options.outer == Family::ipv4;
        outbound.local = *IpAddress::parse(v4 ? "192.0.2.1" : "2001:db8::1");
        outbound.peer = *IpAddress::parse(v4 ? "198.51.100.2" : "2001:db8:1::2");
        outbound.marks = options.marks;
        outbound.lifetime = options.lifetime;
        auto made = OutboundSa::make(outbound, Secret(keying), *engine, store);
        INFO((made ? std::string() : made.error().words));
        REQUIRE(made);
        out = std::move(*made);
        out->sequence().begin(options.start, out->last_sequence());
        out->sequence().extend(out->last_sequence() + 1);
        InboundConfig inbound{Spi(0x10203), options.suite, options.esn, options.window, options.selectors};
        inbound.lifetime = options.lifetime;
        auto made_in = InboundSa::make(inbound, Secret(keying), *engine, store);
        INFO((made_in ? std::string() : made_in.error().words));
        REQUIRE(made_in);
        in = std::move(*made_in);
    }

    std::size_t outer_length() const { return options.outer == Family::ipv4 ? 20 : 40; }

    // What goes over the line, outer header first; `plain` is everything that is encrypted, trailer included.
    Bytes forge(std::uint64_t sequence, const Bytes& plain) {
        Bytes packet(sizeof(EspHeader) + plain.size() + kIcvLength);
        const EspHeader header{Be32::from_host(0x10203), Be32::from_host(static_cast<std::uint32_t>(sequence)),
                               Be64::from_host(sequence ^ 0x5555)};
        std::memcpy(packet.data(), &header, sizeof header);
        Bytes aad(packet.begin(), packet.begin() + 8);
        if (options.esn) {
            const Be32 high = Be32::from_host(static_cast<std::uint32_t>(sequence >> 32));
            aad.insert(aad.begin() + 4, 4, 0);
            std::memcpy(aad.data() + 4, &high, 4);
        }
        auto key = engine->prepare(options.suite, std::span(keying).first(keying.size() - kSaltLength), store);
        REQUIRE(key);
        AeadJob job{};
        job.key = key->prepared();
        std::copy(plain.begin(), plain.end(), packet.begin() + sizeof header);
        job.text = packet.data() + sizeof header;
        job.aad_length = static_cast<std::uint16_t>(aad.size());
        std::copy(aad.begin(), aad.end(), job.aad.begin());
        job.length = static_cast<std::uint32_t>(plain.size());
        job.suite = options.suite;
        std::copy(keying.end() - kSaltLength, keying.end(), job.nonce.begin());
        std::memcpy(job.nonce.data() + kSaltLength, packet.data() + 8, kIvLength);
        engine->seal({&job, 1});
        return packet;
    }

    PairOptions options;
    std::unique_ptr<AeadEngine> engine;
    KeyStore store;
    Bytes keying;
    Esp esp;
    std::unique_ptr<OutboundSa> out;
    std::unique_ptr<InboundSa> in;
};

// A packet to seal in a buffer with exactly the room that it may need.
struct ToSeal {
    ToSeal(OutboundSa* sa, const Bytes& inner, std::size_t head, std::size_t tail = OutboundSa::kTailroom)
        : buffer(head + inner.size() + tail) {
        std::copy(inner.begin(), inner.end(), buffer.begin() + static_cast<std::ptrdiff_t>(head));
        packet.data = buffer.data() + head;
        packet.length = static_cast<std::uint32_t>(inner.size());
        packet.headroom = static_cast<std::uint16_t>(head);
        packet.tailroom = static_cast<std::uint16_t>(tail);
        packet.sa = sa;
    }
    Bytes result() const { return {packet.data, packet.data + packet.length}; }
    Bytes buffer;
    SealPacket packet;
};

inline Bytes seal_one(Pair& pair, const Bytes& inner) {
    ToSeal one(pair.out.get(), inner, pair.out->headroom());
    pair.esp.seal({&one.packet, 1});
    INFO(name_of(one.packet.reason));
    REQUIRE(one.packet.outcome == EspOutcome::done);
    return one.result();
}

// The result of opening what begins with the ESP header; `bytes` is changed in place.
inline OpenPacket open_one(Pair& pair, Bytes& bytes, std::uint8_t outer_marks = 0) {
    OpenPacket packet;
    packet.esp = bytes.data();
    packet.length = static_cast<std::uint32_t>(bytes.size());
    packet.outer_marks = outer_marks;
    packet.sa = pair.in.get();
    pair.esp.open({&packet, 1});
    return packet;
}
inline DropReason open_dropped(Pair& pair, Bytes bytes, std::uint8_t outer_marks = 0) {
    const OpenPacket packet = open_one(pair, bytes, outer_marks);
    REQUIRE(packet.outcome == EspOutcome::dropped);
    return packet.reason;
}

// Payload, padding that makes it aligned (or `padding` bytes), trailer.
inline Bytes with_trailer(Bytes plain, std::uint8_t next_header, int padding = -1) {
    const std::size_t wanted = padding >= 0 ? static_cast<std::size_t>(padding) : (6 - plain.size() % 4) % 4;
    for (std::size_t i = 1; i <= wanted; ++i) plain.push_back(static_cast<std::uint8_t>(i));
    plain.push_back(static_cast<std::uint8_t>(wanted));
    plain.push_back(next_header);
    return plain;
}

}  // namespace sekisho::test
