// Installing SAs: everything that could not work is refused here, in words that never hold a key.
#include "crypto/sa.hpp"

#include <algorithm>
#include <cstring>
#include <string>

#include "crypto/pages.hpp"
#include "net/checksum.hpp"
#include "net/headers.hpp"

namespace sekisho::crypto {

namespace {

template <class Sa>
ObjectPool& pool_of() {
    static auto& pool = *new ObjectPool(sizeof(Sa));
    return pool;
}

std::string hexadecimal(Spi spi) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    std::string text = "SPI 0x";
    for (int shift = 28; shift >= 0; shift -= 4) text += kDigits[spi.value() >> shift & 0xf];
    return text;
}

Error refused(Spi spi, const std::string& words) {
    return Error{ErrorCode::invalid, words}.at(hexadecimal(spi));
}

Expected<void> check_spi(Spi spi) {
    if (spi.value() > kLastReservedSpi) return {};
    return refused(spi, "SPIs 0 to 255 are reserved");
}

Expected<AeadKey> prepare(Spi spi, Suite suite, const Secret& keying_material, AeadEngine& engine, KeyStore& store) {
    const std::size_t wanted = text_of(suite).key_length + kSaltLength;
    if (keying_material.size() != wanted)
        return refused(spi, std::string(name_of(suite)) + " takes " + std::to_string(wanted) +
                                " bytes of keying material (key and salt), not " +
                                std::to_string(keying_material.size()));
    auto key = engine.prepare(suite, keying_material.reveal().first(text_of(suite).key_length), store);
    if (!key) return key.error().at(hexadecimal(spi));
    return key;
}

std::array<std::uint8_t, kSaltLength> salt_in(const Secret& keying_material) {
    std::array<std::uint8_t, kSaltLength> salt;
    const auto bytes = keying_material.reveal().last(kSaltLength);
    std::copy(bytes.begin(), bytes.end(), salt.begin());
    return salt;
}

Expected<void> check_addresses(const OutboundConfig& config) {
    if (config.local.family() != config.peer.family())
        return refused(config.spi, config.local.text() + " and " + config.peer.text() + " are of two families");
    for (const IpAddress& address : {config.local, config.peer}) {
        const bool usable = address.is_ipv4() ? !(address.ipv4().is_this_network() || address.ipv4().is_multicast() ||
                                                  address.ipv4().is_reserved() || address.ipv4().is_loopback())
                                              : !(address.ipv6().is_unspecified() || address.ipv6().is_multicast() ||
                                                  address.ipv6().is_loopback());
        if (!usable) return refused(config.spi, "a tunnel cannot end at " + address.text());
    }
    return {};
}

}  // namespace

// They stay when the process ends: whatever is still there then may be in one.
void* OutboundSa::operator new(std::size_t) {
    return pool_of<OutboundSa>().take();
}
void OutboundSa::operator delete(void* place) noexcept {
    pool_of<OutboundSa>().put_back(place);
}
void* InboundSa::operator new(std::size_t) {
    return pool_of<InboundSa>().take();
}
void InboundSa::operator delete(void* place) noexcept {
    pool_of<InboundSa>().put_back(place);
}

Expected<void> check(const LifetimeLimits& limits) {
    const auto fits = [](std::uint64_t soft, std::uint64_t hard) { return hard == 0 || soft < hard; };
    const auto seconds = [](std::chrono::seconds time) { return static_cast<std::uint64_t>(time.count()); };
    if (limits.soft_time.count() < 0 || limits.hard_time.count() < 0)
        return Error{ErrorCode::invalid, "a lifetime of less than no time"};
    if (!fits(limits.soft_bytes, limits.hard_bytes) || !fits(limits.soft_packets, limits.hard_packets) ||
        !fits(seconds(limits.soft_time), seconds(limits.hard_time)))
        return Error{ErrorCode::invalid, "a soft lifetime that is not shorter than the hard one"};
    return {};
}

OutboundSa::OutboundSa(const OutboundConfig& config, AeadKey key) noexcept
    : lifetime_(config.lifetime), spi_(config.spi), key_(std::move(key)) {
    const OuterMarks& marks = config.marks;
    hot_.key = key_.prepared();
    hot_.spi = Be32::from_host(config.spi.value());
    hot_.copied_marks =
        static_cast<std::uint8_t>((marks.dscp ? 0 : 0xfc) | (marks.ecn == EcnMode::normal ? kEcnMask : 0));
    hot_.set_marks = static_cast<std::uint8_t>(marks.dscp.value_or(0) << 2);
    hot_.copied_df = marks.df == DfMode::copy;
    hot_.set_df = marks.df == DfMode::set;
    hot_.esn = config.esn;
    hot_.suite = key_.suite();
    if (config.local.is_ipv4()) {
        Ipv4Header ip{};
        ip.version_ihl = 0x45;
        ip.ttl = marks.hop_limit;
        ip.protocol = kProtocolEsp;
        ip.source = config.local.ipv4().wire();
        ip.destination = config.peer.ipv4().wire();
        std::memcpy(hot_.outer.data(), &ip, sizeof ip);
        hot_.outer_length = sizeof ip;
        hot_.checksum_base = Be16::from_network(fold(sum_of(std::span(hot_.outer).first(sizeof ip)))).to_host();
    } else {
        Ipv6Header ip{};
        ip.version_class_flow = Be32::from_host(0x6000'0000);
        ip.next_header = kProtocolEsp;
        ip.hop_limit = marks.hop_limit;
        ip.source = Ipv6Wire::from(config.local.ipv6());
        ip.destination = Ipv6Wire::from(config.peer.ipv6());
        std::memcpy(hot_.outer.data(), &ip, sizeof ip);
        hot_.outer_length = sizeof ip;
    }
}

Expected<std::unique_ptr<OutboundSa>> OutboundSa::make(const OutboundConfig& config, const Secret& keying_material,
                                                       AeadEngine& engine, KeyStore& store) {
    if (auto fine = check_spi(config.spi); !fine) return fine.error();
    if (auto fine = check_addresses(config); !fine) return fine.error();
    if (config.marks.dscp.value_or(0) > 63) return refused(config.spi, "a DSCP over 63");
    if (config.marks.hop_limit == 0) return refused(config.spi, "a hop limit of 0");
    if (auto fine = check(config.lifetime); !fine) return fine.error().at(hexadecimal(config.spi));
    auto key = prepare(config.spi, config.suite, keying_material, engine, store);
    if (!key) return key.error();
    std::unique_ptr<OutboundSa> sa(new OutboundSa(config, std::move(*key)));
    sa->hot_.salt = salt_in(keying_material);
    return sa;
}

InboundSa::InboundSa(const InboundConfig& config, AeadKey key, Selectors selectors,
                     std::unique_ptr<ReplayWindow> window) noexcept
    : prepared_(key.prepared()),
      window_(std::move(window)),
      spi_(config.spi),
      tunnel_(config.tunnel),
      esn_(config.esn),
      suite_(key.suite()),
      selectors_(std::move(selectors)),
      key_(std::move(key)),
      lifetime_(config.lifetime) {}

Expected<std::unique_ptr<InboundSa>> InboundSa::make(const InboundConfig& config, const Secret& keying_material,
                                                     AeadEngine& engine, KeyStore& store) {
    if (auto fine = check_spi(config.spi); !fine) return fine.error();
    if (auto fine = check(config.lifetime); !fine) return fine.error().at(hexadecimal(config.spi));
    auto selectors = Selectors::make(config.selectors);
    if (!selectors) return selectors.error().at(hexadecimal(config.spi));
    auto window = ReplayWindow::make(config.replay_window);
    if (!window) return window.error().at(hexadecimal(config.spi));
    auto key = prepare(config.spi, config.suite, keying_material, engine, store);
    if (!key) return key.error();
    std::unique_ptr<InboundSa> sa(new InboundSa(config, std::move(*key), std::move(*selectors), std::move(*window)));
    sa->salt_ = salt_in(keying_material);
    return sa;
}

}  // namespace sekisho::crypto
