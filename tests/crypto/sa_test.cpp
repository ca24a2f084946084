// Installing SAs: what could not work is refused in words, and no words hold a key.
#include <cstring>

#include "tests/crypto/esp_support.hpp"

using namespace sekisho;
using namespace sekisho::test;

namespace {

struct Install {
    Install() : engine(engine_of(EngineKind::openssl)), store(prepared_bytes(EngineKind::openssl)) {
        out.spi = in.spi = Spi(0x1234);
        out.local = *IpAddress::parse("192.0.2.1");
        out.peer = *IpAddress::parse("198.51.100.2");
        in.selectors = both_families();
    }
    std::string outbound() { return words_of(OutboundSa::make(out, Secret(material), *engine, store)); }
    std::string inbound() { return words_of(InboundSa::make(in, Secret(material), *engine, store)); }

    // Empty: installed. The store is empty again after a refusal.
    template <class Sa>
    std::string words_of(const Expected<std::unique_ptr<Sa>>& made) {
        if (made) return {};
        CHECK(store.in_use() == 0);
        CHECK(made.error().words.find("SPI 0x") == 0);
        CHECK(made.error().words.find("KKKK") == std::string::npos);
        CHECK(made.error().words.find("4b4b") == std::string::npos);
        return made.error().words;
    }

    std::unique_ptr<AeadEngine> engine;
    KeyStore store;
    OutboundConfig out;
    InboundConfig in;
    Bytes material = Bytes(20, 'K');
};

}  // namespace

TEST_CASE("SA: reserved SPIs are refused both ways, the first free one is not", "[crypto][conformance-30]") {
    for (const std::uint32_t spi : {0U, 1U, 255U}) {
        Install install;
        install.out.spi = install.in.spi = Spi(spi);
        CHECK(install.outbound().find("reserved") != std::string::npos);
        CHECK(install.inbound().find("reserved") != std::string::npos);
    }
    Install install;
    install.out.spi = install.in.spi = Spi(256);
    CHECK(install.outbound().empty());
    CHECK(install.inbound().empty());
}

TEST_CASE("SA: keying material of a wrong length is refused", "[crypto][conformance-37]") {
    for (const SuiteText& suite : kSuites) {
        for (std::size_t length = 0; length <= 64; ++length) {
            Install install;
            install.out.suite = install.in.suite = suite.suite;
            install.material = Bytes(length, 'K');
            const bool right = length == suite.key_length + kSaltLength;
            CHECK(install.outbound().empty() == right);
            CHECK(install.inbound().empty() == right);
        }
    }
}

TEST_CASE("SA: tunnels that cannot be are refused", "[crypto]") {
    const auto refused = [](auto change) {
        Install install;
        change(install.out);
        return !install.outbound().empty();
    };
    for (const auto* address : {"0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255"})
        CHECK(refused([&](OutboundConfig& out) { out.peer = *IpAddress::parse(address); }));
    for (const auto* address : {"::", "::1", "ff02::1"})
        CHECK(refused([&](OutboundConfig& out) { out.local = out.peer = *IpAddress::parse(address); }));
    CHECK(refused([](OutboundConfig& out) { out.peer = *IpAddress::parse("2001:db8::1"); }));
    CHECK(refused([](OutboundConfig& out) { out.marks.dscp = 64; }));
    CHECK(refused([](OutboundConfig& out) { out.marks.hop_limit = 0; }));
    CHECK(refused([](OutboundConfig& out) { out.lifetime = {.soft_bytes = 10, .hard_bytes = 10}; }));
    CHECK(refused([](OutboundConfig& out) { out.lifetime = {.soft_packets = 11, .hard_packets = 10}; }));
    CHECK(refused([](OutboundConfig& out) { out.lifetime.hard_time = std::chrono::seconds(-1); }));
    CHECK_FALSE(refused([](OutboundConfig& out) { out.marks.dscp = 63; }));
}

TEST_CASE("SA: an inbound SA without a window or selectors that can be is refused", "[crypto]") {
    Install install;
    install.in.replay_window = 100;
    CHECK(install.inbound().find("power of two") != std::string::npos);
    install.in.replay_window = 32;
    CHECK_FALSE(install.inbound().empty());
    install.in.replay_window = kDefaultReplayWindow;
    install.in.selectors.clear();
    CHECK(install.inbound().find("no selectors") != std::string::npos);
}

TEST_CASE("SA: its key is wiped when it dies", "[crypto]") {
    Install install;
    auto made = OutboundSa::make(install.out, Secret(install.material), *install.engine, install.store);
    REQUIRE(made);
    CHECK(install.store.in_use() == 1);
    made->reset();
    CHECK(install.store.in_use() == 0);
    for (const auto slab : install.store.slabs())
        CHECK(std::all_of(slab.begin(), slab.end(), [](std::uint8_t byte) { return byte == 0; }));
}

TEST_CASE("selectors: contradictions are refused, naming which", "[crypto]") {
    const auto words = [](Selector selector) {
        const Selector all[] = {{Prefix4(), Prefix4()}, selector};
        const auto made = Selectors::make(all);
        return made ? std::string() : made.error().words;
    };
    CHECK(words({Prefix4(), Prefix6()}).find("selectors[1]: ") == 0);
    CHECK(words({Prefix4(), Prefix4(), kProtocolUdp, {10, 9}}).find("backwards") != std::string::npos);
    CHECK(words({Prefix4(), Prefix4(), kProtocolIcmp, {1, 2}}).find("protocol 1 has no ports") != std::string::npos);
    CHECK(words({Prefix4(), Prefix4(), {}, {}, {53, 53}}).find("no protocol") != std::string::npos);
    CHECK(words({Prefix4(), Prefix4(), kProtocolTcp, {0, 0}, {53, 53}}).empty());
}

TEST_CASE("selectors: protocol and ports match as they say, to the edges", "[crypto]") {
    for (const Family family : {Family::ipv4, Family::ipv6}) {
        const IpPrefix any = family == Family::ipv4 ? IpPrefix(Prefix4()) : IpPrefix(Prefix6());
        const Selector one[] = {{any, any, kProtocolUdp, {53, 53}, {1000, 2000}}};
        const auto selectors = Selectors::make(one);
        REQUIRE(selectors);
        const auto match = [&](std::uint8_t protocol, std::uint16_t source, std::uint16_t destination) {
            InnerPacket packet{family, 64};
            packet.protocol = protocol;
            packet.source_port = source;
            packet.destination_port = destination;
            return selectors->match_inbound(packet.bytes());
        };
        CHECK(match(kProtocolUdp, 1000, 53));
        CHECK(match(kProtocolUdp, 2000, 53));
        CHECK_FALSE(match(kProtocolUdp, 999, 53));
        CHECK_FALSE(match(kProtocolUdp, 2001, 53));
        CHECK_FALSE(match(kProtocolUdp, 1000, 54));
        CHECK_FALSE(match(kProtocolTcp, 1000, 53));
        CHECK_FALSE(match(kProtocolIcmp, 1000, 53));
    }
}

TEST_CASE("selectors: a fragment that hides its ports matches none that asks for them", "[crypto]") {
    const Selector ports[] = {{Prefix4(), Prefix4(), kProtocolUdp, {53, 53}}};
    const Selector protocol[] = {{Prefix4(), Prefix4(), kProtocolUdp}};
    InnerPacket fragment{Family::ipv4, 64};
    CHECK(Selectors::make(ports)->match_inbound(fragment.bytes()));
    fragment.fragment_offset = 10;
    CHECK_FALSE(Selectors::make(ports)->match_inbound(fragment.bytes()));
    CHECK(Selectors::make(protocol)->match_inbound(fragment.bytes()));
    const Bytes cut = InnerPacket{Family::ipv4, 22}.bytes();  // ends inside its ports
    CHECK_FALSE(Selectors::make(ports)->match_inbound(cut));
}

TEST_CASE("selectors: IPv6 extension headers are walked, and a chain that cannot be is no match", "[crypto]") {
    const Selector udp[] = {{Prefix6(), Prefix6(), kProtocolUdp, {53, 53}}};
    const Selector protocol[] = {{Prefix6(), Prefix6(), kProtocolUdp}};
    const auto with = [](std::vector<std::uint8_t> extension, std::uint8_t next) {
        Bytes packet = InnerPacket{Family::ipv6, 64}.bytes();
        packet[6] = next;
        packet.insert(packet.begin() + 40, extension.begin(), extension.end());
        packet[5] = static_cast<std::uint8_t>(packet.size() - 40);
        return packet;
    };
    CHECK(Selectors::make(udp)->match_inbound(with({17, 0, 1, 4, 0, 0, 0, 0}, kProtocolHopByHop)));
    CHECK(Selectors::make(udp)->match_inbound(
        with({60, 0, 1, 4, 0, 0, 0, 0, 17, 0, 1, 4, 0, 0, 0, 0}, kProtocolHopByHop)));
    CHECK_FALSE(Selectors::make(udp)->match_inbound(with({17, 200, 0, 0, 0, 0, 0, 0}, kProtocolHopByHop)));
    CHECK(Selectors::make(udp)->match_inbound(with({17, 0, 0, 1, 0, 0, 0, 9}, kProtocolFragment)));  // the first one
    const Bytes later = with({17, 0, 0, 8, 0, 0, 0, 9}, kProtocolFragment);
    CHECK_FALSE(Selectors::make(udp)->match_inbound(later));
    CHECK(Selectors::make(protocol)->match_inbound(later));
    const Bytes hidden = with({60, 0, 0, 8, 0, 0, 0, 9}, kProtocolFragment);  // options before the upper layer
    CHECK_FALSE(Selectors::make(protocol)->match_inbound(hidden));
    Bytes chain;
    for (int i = 0; i < 9; ++i) chain.insert(chain.end(), {60, 0, 1, 4, 0, 0, 0, 0});
    chain[chain.size() - 8] = 17;
    CHECK_FALSE(Selectors::make(protocol)->match_inbound(with(chain, kProtocolDestinationOptions)));
}
