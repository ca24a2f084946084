// Sealing: what is refused, what the outer header says, and where every byte lies.
#include "tests/crypto/esp_support.hpp"

using namespace sekisho;
using namespace sekisho::test;

namespace {

DropReason seal_dropped(Pair& pair, ToSeal& one) {
    const Bytes before = one.buffer;
    pair.esp.seal({&one.packet, 1});
    REQUIRE(one.packet.outcome == EspOutcome::dropped);
    return one.packet.reason;
}

Ipv4Header outer4(const Bytes& sealed) {
    const auto* ip = header_at<Ipv4Header>(std::span<const std::uint8_t>(sealed), 0);
    REQUIRE(ip != nullptr);
    return *ip;
}

// Does nothing, and says so.
class Refusing final : public AeadEngine {
  public:
    EngineKind kind() const noexcept override { return EngineKind::ipsec_mb; }
    std::string description() const override { return "refuses"; }
    Expected<AeadKey> prepare(Suite, std::span<const std::uint8_t>, KeyStore&) override {
        return Error{ErrorCode::unavailable, "refuses"};
    }
    bool seal(std::span<AeadJob> jobs) noexcept override {
        for (AeadJob& job : jobs) job.good = false;
        return jobs.empty();
    }
    bool open(std::span<AeadJob> jobs) noexcept override { return seal(jobs); }
};

}  // namespace

TEST_CASE("seal: what the engine did not seal is dropped, not sent plain", "[crypto]") {
    Pair pair;
    Refusing refusing;
    Esp esp(refusing);
    ToSeal one(pair.out.get(), InnerPacket{}.bytes(), pair.out->headroom());
    esp.seal({&one.packet, 1});
    CHECK(one.packet.outcome == EspOutcome::dropped);
    CHECK(one.packet.reason == DropReason::engine_failed);
}

TEST_CASE("seal: without an SA nothing is sealed and nothing goes out", "[crypto][conformance-28]") {
    Pair pair;
    ToSeal one(nullptr, InnerPacket{}.bytes(), 64);
    CHECK(seal_dropped(pair, one) == DropReason::sa_missing);
}

TEST_CASE("seal: what is no IP packet of that length is refused", "[crypto]") {
    Pair pair;
    const Bytes good4 = InnerPacket{}.bytes(), good6 = InnerPacket{Family::ipv6}.bytes();
    std::vector<Bytes> bad = {{}, Bytes(1, 0x45), Bytes(19, 0x45), Bytes(39, 0x60)};
    for (const int version : {0x05, 0x35, 0x55, 0x75, 0xf5}) {
        bad.push_back(good4);
        bad.back()[0] = static_cast<std::uint8_t>(version);
    }
    bad.push_back(good4);  // longer than it says: bytes behind it must not leave (conformance 1)
    bad.back().push_back(0);
    bad.push_back(good6);
    bad.back().push_back(0);
    bad.push_back(good4);
    bad.back().pop_back();
    bad.push_back(good6);
    bad.back().pop_back();
    for (const Bytes& inner : bad) {
        ToSeal one(pair.out.get(), inner, pair.out->headroom());
        CHECK(seal_dropped(pair, one) == DropReason::esp_inner_malformed);
    }
}

TEST_CASE("seal: one byte of room too little, before or behind, is refused; enough is used to the byte", "[crypto]") {
    for (const Family outer : {Family::ipv4, Family::ipv6}) {
        PairOptions options;
        options.outer = outer;
        Pair pair(options);
        for (std::size_t length = 64; length < 68; ++length) {
            const Bytes inner = InnerPacket{Family::ipv4, length}.bytes();
            const std::size_t tail = (6 - length % 4) % 4 + 2 + kIcvLength;
            ToSeal no_head(pair.out.get(), inner, pair.out->headroom() - 1);
            CHECK(seal_dropped(pair, no_head) == DropReason::no_room);
            ToSeal no_tail(pair.out.get(), inner, pair.out->headroom(), tail - 1);
            CHECK(seal_dropped(pair, no_tail) == DropReason::no_room);
            ToSeal fits(pair.out.get(), inner, pair.out->headroom(), tail);
            pair.esp.seal({&fits.packet, 1});
            REQUIRE(fits.packet.outcome == EspOutcome::done);
            CHECK(fits.packet.data == fits.buffer.data());
            CHECK(fits.packet.length == fits.buffer.size());
        }
    }
}

TEST_CASE("seal: what would be longer than an IP packet can be is refused", "[crypto]") {
    Pair pair;
    const std::size_t most = 0xffff - 20 - 16 - 16 - 2;
    ToSeal fits(pair.out.get(), InnerPacket{Family::ipv4, most / 4 * 4 + 2 - 4}.bytes(), pair.out->headroom());
    pair.esp.seal({&fits.packet, 1});
    CHECK(fits.packet.outcome == EspOutcome::done);
    ToSeal longer(pair.out.get(), InnerPacket{Family::ipv4, most + 1}.bytes(), pair.out->headroom());
    CHECK(seal_dropped(pair, longer) == DropReason::packet_too_big);
}

TEST_CASE("seal: sequence numbers start at 1, follow each other, and the IV is the number",
          "[crypto][conformance-17]") {
    for (const bool esn : {false, true}) {
        PairOptions options;
        options.esn = esn;
        Pair pair(options);
        for (std::uint64_t number = 1; number < 200; ++number) {
            const Bytes sealed = seal_one(pair, InnerPacket{}.bytes());
            const auto* esp = header_at<EspHeader>(std::span<const std::uint8_t>(sealed), 20);
            REQUIRE(esp->spi.to_host() == 0x10203);
            REQUIRE(esp->sequence.to_host() == number);
            REQUIRE(esp->iv.to_host() == number);
        }
    }
}

TEST_CASE("seal: without ESN the SA stops at 2^32 - 1; with ESN it goes on", "[crypto][conformance-18]") {
    for (const bool esn : {false, true}) {
        PairOptions options;
        options.esn = esn;
        options.start = 0xffff'fffe;
        Pair pair(options);
        std::vector<ToSeal> several;
        for (int i = 0; i < 4; ++i) several.emplace_back(pair.out.get(), InnerPacket{}.bytes(), pair.out->headroom());
        std::vector<SealPacket> burst;
        for (ToSeal& one : several) burst.push_back(one.packet);
        pair.esp.seal(burst);
        for (std::size_t i = 0; i < 4; ++i) {
            CHECK((burst[i].outcome == EspOutcome::done) == (esn || i < 2));
            if (burst[i].outcome == EspOutcome::dropped) CHECK(burst[i].reason == DropReason::sequence_exhausted);
        }
        if (esn) {
            const auto* esp = reinterpret_cast<const EspHeader*>(burst[2].data + 20);
            CHECK(esp->sequence.to_host() == 0);  // the low half may be 0, the number is not
            CHECK(esp->iv.to_host() == std::uint64_t{1} << 32);
        }
        CHECK(Lifetime::has(pair.out->lifetime().take_events(), LifetimeEvent::soft_sequence) == false);
    }
}

TEST_CASE("seal: a reserve that is spent drops by its own name, and goes on when there is a new one", "[crypto]") {
    Pair pair;
    pair.out->sequence().begin(1, kLastSequence);
    ToSeal one(pair.out.get(), InnerPacket{}.bytes(), pair.out->headroom());
    CHECK(seal_dropped(pair, one) == DropReason::nonce_reserve_exhausted);
    pair.out->sequence().extend(2);
    (void)seal_one(pair, InnerPacket{}.bytes());
    ToSeal two(pair.out.get(), InnerPacket{}.bytes(), pair.out->headroom());
    CHECK(seal_dropped(pair, two) == DropReason::nonce_reserve_exhausted);
    pair.out->sequence().extend(3);
    (void)seal_one(pair, InnerPacket{}.bytes());
}

TEST_CASE("seal: the event that sequence numbers run out comes once, before they do", "[crypto]") {
    PairOptions options;
    options.esn = false;
    Pair pair(options);
    const std::uint64_t soft = pair.out->soft_sequence();
    CHECK(soft < kLastSequence);
    pair.out->sequence().begin(soft - 2, kLastSequence);
    pair.out->sequence().extend(kLastSequence);
    int events = 0;
    for (int i = 0; i < 10; ++i) {
        (void)seal_one(pair, InnerPacket{}.bytes());
        events += Lifetime::has(pair.out->lifetime().take_events(), LifetimeEvent::soft_sequence);
    }
    CHECK(events == 1);
}

TEST_CASE("seal: the outer IPv4 header is right to its checksum", "[crypto]") {
    Pair pair;
    for (const Family family : {Family::ipv4, Family::ipv6}) {
        for (std::size_t length = 60; length < 1500; length += 37) {
            const Bytes sealed = seal_one(pair, InnerPacket{family, length, 0xb8}.bytes());
            const Ipv4Header ip = outer4(sealed);
            CHECK(ip.version_ihl == 0x45);
            CHECK(ip.total_length.to_host() == sealed.size());
            CHECK(ip.protocol == kProtocolEsp);
            CHECK(ip.ttl == 64);
            CHECK(ip.dscp_ecn == 0xb8);
            CHECK(Ipv4Address(ip.source).text() == "192.0.2.1");
            CHECK(Ipv4Address(ip.destination).text() == "198.51.100.2");
            CHECK(checksum_of(std::span(sealed).first(20)).to_host() == 0);
            CHECK((sealed.size() - 20 - 16 - 16) % 4 == 0);
            CHECK(sealed.size() - 20 - 16 - 16 - length < 2 + 4);
        }
    }
}

TEST_CASE("seal: the outer IPv6 header has the right length, marks and hop limit", "[crypto]") {
    PairOptions options;
    options.outer = Family::ipv6;
    options.marks.hop_limit = 7;
    Pair pair(options);
    for (const Family family : {Family::ipv4, Family::ipv6}) {
        const Bytes sealed = seal_one(pair, InnerPacket{family, 100, 0x2e}.bytes());
        const auto* ip = header_at<Ipv6Header>(std::span<const std::uint8_t>(sealed), 0);
        CHECK(ip->version_class_flow.to_host() == 0x62e0'0000);
        CHECK(ip->payload_length.to_host() == sealed.size() - 40);
        CHECK(ip->next_header == kProtocolEsp);
        CHECK(ip->hop_limit == 7);
        CHECK(ip->source.address().text() == "2001:db8::1");
        CHECK(ip->destination.address().text() == "2001:db8:1::2");
    }
}

TEST_CASE("seal: DSCP and ECN go out as the SA says", "[crypto][conformance-39][conformance-40]") {
    struct Row {
        std::optional<std::uint8_t> dscp;
        EcnMode ecn;
        std::uint8_t inner, outer;
    };
    for (const Row& row : {Row{{}, EcnMode::normal, 0xbb, 0xbb}, Row{{}, EcnMode::compatibility, 0xbb, 0xb8},
                           Row{10, EcnMode::normal, 0xbb, 0x2b}, Row{0, EcnMode::compatibility, 0xff, 0x00}}) {
        PairOptions options;
        options.marks.dscp = row.dscp;
        options.marks.ecn = row.ecn;
        Pair pair(options);
        for (const Family family : {Family::ipv4, Family::ipv6})
            CHECK(outer4(seal_one(pair, InnerPacket{family, 80, row.inner}.bytes())).dscp_ecn == row.outer);
    }
}

TEST_CASE("seal: DF goes out as the SA says, and an inner IPv6 packet counts as DF", "[crypto][conformance-41]") {
    for (const DfMode mode : {DfMode::copy, DfMode::set, DfMode::clear}) {
        PairOptions options;
        options.marks.df = mode;
        Pair pair(options);
        for (const bool inner : {false, true}) {
            const bool expected = mode == DfMode::set || (mode == DfMode::copy && inner);
            const Ipv4Header ip = outer4(seal_one(pair, InnerPacket{Family::ipv4, 80, 0, inner}.bytes()));
            CHECK(ip.flags_offset.to_host() == (expected ? kIpv4DontFragment : 0));
            // What may be fragmented has an identification that differs from its neighbours' (RFC 6864).
            CHECK((ip.identification.to_host() != 0) == !expected);
        }
        const Ipv4Header ip = outer4(seal_one(pair, InnerPacket{Family::ipv6, 80}.bytes()));
        CHECK((ip.flags_offset.to_host() != 0) == (mode != DfMode::clear));
    }
}

TEST_CASE("seal: a mixed burst of any length gets an outcome for each packet, and its own SA's numbers", "[crypto]") {
    test::Random random("seal mixed");
    Pair first, second;
    std::vector<ToSeal> several;
    std::vector<int> kinds;
    for (int i = 0; i < 300; ++i) {
        const int kind = static_cast<int>(random.below(4));  // 0, 1: the SAs; 2: none; 3: malformed
        kinds.push_back(kind);
        OutboundSa* const sa = kind == 2 ? nullptr : kind == 1 ? second.out.get() : first.out.get();
        Bytes inner = InnerPacket{Family::ipv4, 40 + random.below(1400)}.bytes();
        if (kind == 3) inner[0] = 0;
        several.emplace_back(sa, inner, 64);
    }
    std::vector<SealPacket> burst;
    for (ToSeal& one : several) burst.push_back(one.packet);
    first.esp.seal(burst);
    std::uint64_t last[2] = {0, 0};
    for (std::size_t i = 0; i < burst.size(); ++i) {
        REQUIRE((burst[i].outcome == EspOutcome::done) == (kinds[i] < 2));
        if (kinds[i] == 2) REQUIRE(burst[i].reason == DropReason::sa_missing);
        if (kinds[i] == 3) REQUIRE(burst[i].reason == DropReason::esp_inner_malformed);
        if (kinds[i] > 1) continue;
        const std::uint64_t number = reinterpret_cast<const EspHeader*>(burst[i].data + 20)->iv.to_host();
        REQUIRE(number > last[kinds[i]]);
        last[kinds[i]] = number;
    }
    CHECK(first.out->lifetime().packets() + second.out->lifetime().packets() ==
          static_cast<std::uint64_t>(std::count_if(kinds.begin(), kinds.end(), [](int kind) { return kind < 2; })));
}
