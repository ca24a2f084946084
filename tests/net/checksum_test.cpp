// Checksums: RFC 1071 sums and RFC 1624 deltas against known answers and against plain arithmetic modulo 65535.
// checksum_oracle_test.py compares the same functions with scapy.
#include "net/checksum.hpp"

#include <memory>
#include <vector>

#include <catch2/catch.hpp>

#include "net/headers.hpp"
#include "tests/support/random.hpp"

using namespace sekisho;

namespace {

using Bytes = std::vector<std::uint8_t>;

// The oracle: bytes as one big number in base 65536; its remainder modulo 65535 is the one's complement sum, where 0
// stands for 0xffff unless every byte is zero.
std::uint16_t sum_modulo(const Bytes& bytes) {
    std::uint32_t remainder = 0;
    bool any = false;
    for (std::size_t i = 0; i < bytes.size(); i += 2) {
        const std::uint32_t low = i + 1 < bytes.size() ? bytes[i + 1] : 0U;
        const std::uint32_t word = std::uint32_t{bytes[i]} << 8 | low;
        any = any || word != 0;
        remainder = (remainder + word) % 65535;
    }
    return static_cast<std::uint16_t>(remainder == 0 && any ? 65535 : remainder);
}
std::uint16_t checksum_modulo(const Bytes& bytes) {
    return static_cast<std::uint16_t>(~sum_modulo(bytes));
}

template <class Word>
Word load(const Bytes& bytes, std::size_t at) {
    Word word;
    std::memcpy(&word, bytes.data() + at, sizeof word);
    return word;
}
template <class Word>
void store(Bytes& bytes, std::size_t at, const Word& word) {
    std::memcpy(bytes.data() + at, &word, sizeof word);
}

std::vector<Be16> words(std::initializer_list<std::uint16_t> values) {
    std::vector<Be16> result;
    for (const std::uint16_t value : values) result.push_back(Be16::from_host(value));
    return result;
}

// A span over a heap block of exactly these bytes: the address sanitizer sees a read beyond.
std::uint16_t checksum_on_exact_heap(const Bytes& bytes) {
    const std::unique_ptr<std::uint8_t[]> block(new std::uint8_t[bytes.size()]);
    std::copy(bytes.begin(), bytes.end(), block.get());
    return checksum_of(std::span<const std::uint8_t>(block.get(), bytes.size())).to_host();
}

}  // namespace

TEST_CASE("checksum: RFC 1071 §3's example sums to ddf2", "[net]") {
    const Bytes bytes = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
    CHECK(Be16::from_network(fold(sum_of(bytes))).to_host() == 0xddf2);
    CHECK(checksum_of(bytes).to_host() == 0x220d);
}

TEST_CASE("checksum: of an IPv4 header is what the header carries", "[net]") {
    Bytes header = {0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11,
                    0xb8, 0x61, 0xc0, 0xa8, 0x00, 0x01, 0xc0, 0xa8, 0x00, 0xc7};
    CHECK(checksum_is_good(sum_of(header)));
    header[10] = header[11] = 0;
    CHECK(checksum_of(header).to_host() == 0xb861);
}

TEST_CASE("checksum: a flipped bit anywhere makes it bad", "[net]") {
    const Bytes good = {0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11,
                        0xb8, 0x61, 0xc0, 0xa8, 0x00, 0x01, 0xc0, 0xa8, 0x00, 0xc7};
    for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
        Bytes bad = good;
        bad[bit / 8] = static_cast<std::uint8_t>(bad[bit / 8] ^ (1U << (bit % 8)));
        INFO("bit " << bit);
        CHECK_FALSE(checksum_is_good(sum_of(bad)));
    }
}

TEST_CASE("checksum: an odd last byte counts as padded with zero", "[net]") {
    CHECK(checksum_of(Bytes{0x12, 0x34, 0x56}) == checksum_of(Bytes{0x12, 0x34, 0x56, 0x00}));
    CHECK(checksum_of(Bytes{0xab}).to_host() == 0x54ff);
}

TEST_CASE("checksum: no bytes, or only zeros, give ffff; all ones give 0000", "[net]") {
    CHECK(checksum_of(Bytes{}).to_host() == 0xffff);
    CHECK(checksum_of(Bytes(20, 0)).to_host() == 0xffff);
    CHECK(checksum_of(Bytes(20, 0xff)).to_host() == 0x0000);
    CHECK_FALSE(checksum_is_good(sum_of(Bytes(20, 0))));
}

TEST_CASE("checksum: a sum folds right up to the largest", "[net]") {
    CHECK(fold(0) == 0);
    CHECK(fold(0xffff) == 0xffff);
    CHECK(fold(0x10000) == 1);
    CHECK(fold(0x1fffe) == 0xffff);
    CHECK(fold(0xffff'ffff) == 0xffff);
    CHECK(fold(0x1'0000'0000) == 1);
    CHECK(fold(0xffff'ffff'ffff'ffff) == 0xffff);
    CHECK(fold(0xffff'ffff'0000'0001) == 1);
    CHECK(fold(0xffff'fffe'ffff'ffff) == 0xfffe);
}

TEST_CASE("checksum: agrees with arithmetic modulo 65535, for every length and reading no byte more", "[net]") {
    test::Random random("checksum");
    for (std::size_t length = 0; length <= 1600; ++length) {
        const Bytes bytes = random.bytes(length);
        INFO("length " << length);
        CHECK(checksum_on_exact_heap(bytes) == checksum_modulo(bytes));
    }
    CHECK(checksum_on_exact_heap(Bytes(65535, 0xff)) == checksum_modulo(Bytes(65535, 0xff)));
}

TEST_CASE("checksum: partial sums add up when the parts are of even length", "[net]") {
    test::Random random("partial checksum");
    for (int round = 0; round < 1000; ++round) {
        const Bytes bytes = random.bytes(2 + random.below(200));
        const std::size_t cut = random.below(bytes.size() / 2 + 1) * 2;
        const std::span<const std::uint8_t> all(bytes);
        CHECK(checksum_of(sum_of(all.first(cut)) + sum_of(all.subspan(cut))) == checksum_of(all));
    }
}

TEST_CASE("checksum: the IPv4 pseudo-header is source, destination, zero, protocol and length", "[net]") {
    test::Random random("IPv4 pseudo-header");
    for (int round = 0; round < 2000; ++round) {
        const Bytes addresses = random.bytes(8);
        const auto protocol = static_cast<std::uint8_t>(random.word());
        const auto length = static_cast<std::uint16_t>(random.word());
        Bytes header = addresses;
        header.insert(header.end(),
                      {0, protocol, static_cast<std::uint8_t>(length >> 8), static_cast<std::uint8_t>(length & 0xff)});
        const std::uint64_t sum =
            pseudo_header_sum(load<Be32>(addresses, 0), load<Be32>(addresses, 4), protocol, length);
        CHECK(checksum_of(sum).to_host() == checksum_modulo(header));
    }
}

TEST_CASE("checksum: the IPv6 pseudo-header has a length of four bytes", "[net]") {
    test::Random random("IPv6 pseudo-header");
    for (int round = 0; round < 2000; ++round) {
        const Bytes addresses = random.bytes(32);
        const auto protocol = static_cast<std::uint8_t>(random.word());
        const std::uint32_t length = random.word32() >> (round % 32);
        Bytes header = addresses;
        for (int shift = 24; shift >= 0; shift -= 8) header.push_back(static_cast<std::uint8_t>(length >> shift));
        header.insert(header.end(), {0, 0, 0, protocol});
        const std::uint64_t sum =
            pseudo_header_sum(load<Ipv6Wire>(addresses, 0), load<Ipv6Wire>(addresses, 16), protocol, length);
        CHECK(checksum_of(sum).to_host() == checksum_modulo(header));
    }
}

TEST_CASE("checksum delta: RFC 1624 §4's example gives 0000 where RFC 1141 gave ffff", "[net]") {
    const auto delta = ChecksumDelta::replace(Be16::from_host(0x5555), Be16::from_host(0x3285));
    CHECK(delta.apply(Be16::from_host(0xdd2f)).to_host() == 0x0000);
}

TEST_CASE("checksum delta: every old checksum becomes what a recomputation gives", "[net]") {
    // The whole space of one covered word beside the rewritten one: 0000 and ffff in every position among them.
    for (const Be16 before : words({0x0000, 0x0001, 0x5555, 0x8000, 0xfffe, 0xffff})) {
        for (const Be16 after : words({0x0000, 0x0001, 0x3285, 0x7fff, 0xfffe, 0xffff})) {
            const auto delta = ChecksumDelta::replace(before, after);
            std::size_t wrong = 0;
            for (std::uint32_t other = 1; other <= 0xffff; ++other) {  // never all zero: no IP header is
                Bytes bytes(4);
                store(bytes, 0, Be16::from_host(static_cast<std::uint16_t>(other)));
                store(bytes, 2, before);
                const Be16 old_checksum = checksum_of(bytes);
                store(bytes, 2, after);
                if (delta.apply(old_checksum) != checksum_of(bytes)) ++wrong;
            }
            INFO(before.to_host() << " becomes " << after.to_host());
            CHECK(wrong == 0);
        }
    }
}

TEST_CASE("checksum delta: an old checksum of ffff, which only a sender writes, is taken for 0000", "[net]") {
    // UDP writes a computed 0000 as ffff (RFC 768). Both stand for the same sum, so both must lead to the same end.
    test::Random random("checksum of ffff");
    for (int round = 0; round < 5000; ++round) {
        const auto before = Be16::from_host(static_cast<std::uint16_t>(random.word()));
        const auto after = Be16::from_host(static_cast<std::uint16_t>(random.word()));
        const auto delta = ChecksumDelta::replace(before, after);
        CHECK(delta.apply(Be16::from_host(0xffff)) == delta.apply(Be16::from_host(0x0000)));
    }
}

TEST_CASE("checksum delta: replacing a word by itself changes no checksum", "[net]") {
    const auto delta = ChecksumDelta::replace(Be16::from_host(0x1234), Be16::from_host(0x1234));
    for (std::uint32_t checksum = 0; checksum < 0xffff; ++checksum) {
        const auto field = Be16::from_host(static_cast<std::uint16_t>(checksum));
        if (delta.apply(field) != field) FAIL("checksum " << checksum);
    }
    CHECK(ChecksumDelta().apply(Be16::from_host(0xffff)).to_host() == 0xffff);
    CHECK(ChecksumDelta().apply(Be16::from_host(0x0000)).to_host() == 0x0000);
}

TEMPLATE_TEST_CASE("checksum delta: a rewrite gives what recomputing over all bytes gives", "[net]", Be16, Be32,
                   Ipv6Wire) {
    test::Random random("checksum delta");
    for (int round = 0; round < 20000; ++round) {
        Bytes bytes = random.bytes(48);
        bytes[0] = 0x45;  // an IP header is never all zero
        const std::size_t at = 2 * (1 + random.below((bytes.size() - sizeof(TestType)) / 2));
        // Words of all zeros and all ones are where incremental updates go wrong.
        const auto extreme = [&](std::size_t from) {
            if (!random.one_in(3)) return;
            const std::uint8_t fill = random.one_in(2) ? 0x00 : 0xff;
            std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(from), sizeof(TestType), fill);
        };
        extreme(at);
        const auto before = load<TestType>(bytes, at);
        const Be16 old_checksum = checksum_of(bytes);
        const Bytes fresh = random.bytes(sizeof(TestType));
        std::copy(fresh.begin(), fresh.end(), bytes.begin() + static_cast<std::ptrdiff_t>(at));
        extreme(at);
        const auto after = load<TestType>(bytes, at);
        const Be16 new_checksum = ChecksumDelta::replace(before, after).apply(old_checksum);
        CHECK(new_checksum.to_host() == checksum_modulo(bytes));
        CHECK(new_checksum == checksum_of(bytes));
    }
}

TEST_CASE("checksum delta: two rewrites may be added up and applied at once", "[net]") {
    test::Random random("sum of checksum deltas");
    for (int round = 0; round < 20000; ++round) {
        Bytes bytes = random.bytes(24);
        bytes[0] = 0x45;
        const Be16 old_checksum = checksum_of(bytes);
        const auto old_address = load<Be32>(bytes, 12);
        const auto old_port = load<Be16>(bytes, 20);
        const Be32 new_address = Be32::from_host(random.word32());
        const Be16 new_port = Be16::from_host(static_cast<std::uint16_t>(random.word()));
        store(bytes, 12, new_address);
        store(bytes, 20, new_port);
        const ChecksumDelta both =
            ChecksumDelta::replace(old_address, new_address) + ChecksumDelta::replace(old_port, new_port);
        CHECK(both.apply(old_checksum) == checksum_of(bytes));
    }
}

TEST_CASE("checksum delta: from one family's address to the other's moves a checksum across", "[net]") {
    // NAT64 replaces a pseudo-header: what the IPv6 addresses took out, the IPv4 ones put in.
    const Be32 four = Be32::from_host(0xc0000221);
    const Ipv6Wire six = Ipv6Wire::from(*Ipv6Address::parse("64:ff9b::192.0.2.33"));
    const ChecksumDelta delta =
        ChecksumDelta::replace(Ipv6Wire{}, six) + ChecksumDelta::replace(four, Be32::from_host(0));
    Bytes with_four = {0x12, 0x34, 0, 0, 0, 0};
    store(with_four, 2, four);
    Bytes with_six(18);
    with_six[0] = 0x12;
    with_six[1] = 0x34;
    store(with_six, 2, six);
    CHECK(delta.apply(checksum_of(with_four)) == checksum_of(with_six));
}

TEST_CASE("checksum delta: a decrement of the TTL is one word replaced", "[net]") {
    Bytes header = {0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11,
                    0xb8, 0x61, 0xc0, 0xa8, 0x00, 0x01, 0xc0, 0xa8, 0x00, 0xc7};
    const auto before = load<Be16>(header, 8);
    --header[8];
    const auto delta = ChecksumDelta::replace(before, load<Be16>(header, 8));
    store(header, 10, delta.apply(Be16::from_host(0xb861)));
    CHECK(header[10] == 0xb9);
    CHECK(header[11] == 0x61);
    CHECK(checksum_is_good(sum_of(header)));
}

TEST_CASE("checksum delta: is known at compile time", "[net]") {
    constexpr auto delta = ChecksumDelta::replace(Be16::from_host(0x5555), Be16::from_host(0x3285));
    STATIC_REQUIRE(delta.apply(Be16::from_host(0xdd2f)).to_host() == 0);
}
