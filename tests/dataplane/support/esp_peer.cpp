// ESP by hand: a trailer, an AAD, a nonce, and OpenSSL's GCM.
#include "tests/dataplane/support/esp_peer.hpp"

#include <algorithm>
#include <openssl/evp.h>
#include <stdexcept>

namespace sekisho::test {
namespace {

constexpr std::size_t kIcv = 16;
constexpr std::size_t kHeader = 16;  // SPI, sequence, IV
constexpr std::size_t kSalt = 4;

void must_do(int good) {
    if (good != 1) throw std::runtime_error("OpenSSL refuses");
}

Bytes aad_of(const EspKey& key, std::uint64_t sequence) {
    Bytes aad;
    put32(aad, key.spi.value());
    if (key.esn) put32(aad, sequence >> 32);
    put32(aad, sequence & 0xffff'ffff);
    return aad;
}

// Both ways: the result, with its ICV when sealing; nothing when opening finds another ICV.
std::optional<Bytes> gcm(bool seal, const EspKey& key, const Bytes& aad, std::span<const std::uint8_t> iv,
                         std::span<const std::uint8_t> text, std::span<const std::uint8_t> icv) {
    Bytes nonce(key.keying.end() - kSalt, key.keying.end());
    put(nonce, iv);
    Bytes result(text.size());
    EVP_CIPHER_CTX* const context = EVP_CIPHER_CTX_new();
    const EVP_CIPHER* const cipher = key.suite == crypto::Suite::aes_gcm_128 ? EVP_aes_128_gcm() : EVP_aes_256_gcm();
    int written = 0;
    must_do(EVP_CipherInit_ex(context, cipher, nullptr, key.keying.data(), nonce.data(), seal ? 1 : 0));
    must_do(EVP_CipherUpdate(context, nullptr, &written, aad.data(), static_cast<int>(aad.size())));
    must_do(EVP_CipherUpdate(context, result.data(), &written, text.data(), static_cast<int>(text.size())));
    if (!seal) {
        Bytes tag(icv.begin(), icv.end());
        must_do(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, kIcv, tag.data()));
    }
    std::uint8_t rest[16];
    const bool good = EVP_CipherFinal_ex(context, rest, &written) == 1;
    if (seal) {
        result.resize(text.size() + kIcv);
        must_do(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, kIcv, result.data() + text.size()));
    }
    EVP_CIPHER_CTX_free(context);
    if (!good) return std::nullopt;
    return result;
}

}  // namespace

EspKey esp_key(std::uint32_t spi, crypto::Suite suite, bool esn) {
    EspKey key{Spi(spi), suite, esn, Bytes(crypto::text_of(suite).key_length + kSalt)};
    for (std::size_t i = 0; i < key.keying.size(); ++i)
        key.keying[i] = static_cast<std::uint8_t>(spi * 31 + (spi >> 8) * 7 + i * 11 + 5);
    return key;
}

Bytes esp(const EspKey& key, std::uint64_t sequence, const Bytes& inner, const EspOptions& options) {
    Bytes plain = inner;
    plain.insert(plain.end(), options.tfc, 0xee);
    Bytes padding;
    while ((plain.size() + padding.size() + 2) % 4 != 0) put8(padding, padding.size() + 1);
    if (options.padding) padding = *options.padding;
    put(plain, padding);
    put8(plain, options.pad_length.value_or(static_cast<unsigned>(padding.size())));
    const bool ipv6 = !inner.empty() && inner[0] >> 4 == 6;
    put8(plain, options.next_header.value_or(ipv6 ? 41 : 4));

    Bytes bytes, iv;
    put32(bytes, key.spi.value());
    put32(bytes, sequence & 0xffff'ffff);
    put32(iv, options.iv.value_or(sequence) >> 32);
    put32(iv, options.iv.value_or(sequence) & 0xffff'ffff);
    put(bytes, iv);
    put(bytes, *gcm(true, key, aad_of(key, sequence), iv, plain, {}));
    if (options.damage) bytes.back() ^= 1;
    return bytes;
}

std::optional<EspOpened> open_esp(const EspKey& key, std::span<const std::uint8_t> bytes, std::uint32_t high) {
    if (bytes.size() < kHeader + 4 + kIcv) return std::nullopt;
    EspOpened opened;
    const auto word = [&](std::size_t at) {
        return static_cast<std::uint32_t>(get16(bytes, at)) << 16 | get16(bytes, at + 2);
    };
    opened.spi = Spi(word(0));
    opened.sequence = word(4);
    if (opened.spi != key.spi) return std::nullopt;
    const std::uint64_t sequence = std::uint64_t{high} << 32 | opened.sequence;
    const auto text = bytes.subspan(kHeader, bytes.size() - kHeader - kIcv);
    auto plain = gcm(false, key, aad_of(key, sequence), bytes.subspan(8, 8), text, bytes.last(kIcv));
    if (!plain || plain->size() % 4 != 0) return std::nullopt;
    opened.next_header = plain->back();
    plain->pop_back();
    std::size_t padding = plain->back();
    plain->pop_back();
    for (; padding != 0; --padding) {
        if (plain->empty() || plain->back() != padding) return std::nullopt;
        plain->pop_back();
    }
    opened.inner = std::move(*plain);
    return opened;
}

std::optional<Outer> outer_of(const Bytes& frame) {
    const std::size_t link = get16(frame, 12) == 0x8100 ? 18 : 14;
    const std::span<const std::uint8_t> ip = std::span(frame).subspan(link);
    Outer outer;
    std::size_t header = 0;
    if (get16(frame, link - 2) == 0x0800) {
        header = 20;
        if (ip[0] != 0x45 || (ip[9] != 50 && ip[9] != 17) || get16(ip, 2) != ip.size() ||
            sum_of_words({ip.first(20)}) != 0xffff)
            return std::nullopt;
        const auto at = [&](std::size_t i) {
            return Ipv4Address(static_cast<std::uint32_t>(get16(ip, i)) << 16 | get16(ip, i + 2));
        };
        outer = {at(12), at(16), ip[1], ip[8], (get16(ip, 6) & 0x4000) != 0, {}};
        if ((get16(ip, 6) & 0x3fff) != 0) return std::nullopt;
    } else {
        header = 40;
        if (ip[0] >> 4 != 6 || (ip[6] != 50 && ip[6] != 17) || get16(ip, 4) != ip.size() - 40) return std::nullopt;
        const auto at = [&](std::size_t i) {
            std::array<std::uint8_t, 16> octets;
            std::copy_n(ip.begin() + static_cast<std::ptrdiff_t>(i), 16, octets.begin());
            std::uint64_t halves[2] = {0, 0};
            for (std::size_t b = 0; b < 16; ++b) halves[b / 8] = halves[b / 8] << 8 | octets[b];
            return Ipv6Address(halves[0], halves[1]);
        };
        outer = {at(8), at(24), (get16(ip, 0) >> 4 & 0xffU), ip[7], true, {}};
    }
    const bool in_udp = ip[header == 20 ? 9 : 6] == 17;
    if (in_udp) header += 8;
    outer.esp.assign(ip.begin() + static_cast<std::ptrdiff_t>(header), ip.end());
    return outer;
}

}  // namespace sekisho::test
