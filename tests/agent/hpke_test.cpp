// HPKE by the known answer of RFC 9180's authors, and what must not open.
#include "agent/hpke.hpp"

#include <algorithm>
#include <vector>

#include <catch2/catch.hpp>

using namespace sekisho;
using namespace sekisho::agent;

namespace {

std::vector<std::uint8_t> bytes(const std::string& hexadecimal) {
    std::vector<std::uint8_t> all;
    for (std::size_t i = 0; i < hexadecimal.size(); i += 2)
        all.push_back(static_cast<std::uint8_t>(std::stoul(hexadecimal.substr(i, 2), nullptr, 16)));
    return all;
}
std::string text(const std::string& hexadecimal) {
    const auto all = bytes(hexadecimal);
    return {all.begin(), all.end()};
}
std::string text(const Secret& secret) {
    return {secret.reveal().begin(), secret.reveal().end()};
}

}  // namespace

TEST_CASE("hpke: the known answer of mode auth with X25519, HKDF-SHA256 and AES-256-GCM opens", "[agent]") {
    // RFC 9180's test vectors (mode 2, KEM 0x0020, KDF 0x0001, AEAD 0x0002), the first encryption.
    const auto to = HpkeKey::from_secret(bytes("47f1eee3670dfaaf27c30a83d06ee9f257af174727c17b35328ef730dfc1cd81"));
    const auto from = HpkeKey::from_open(bytes("4a91c3d0893433f5e31a79fc520f885527a1bc60bf2b0c72693dd7f0b2e41a5a"));
    REQUIRE(to);
    REQUIRE(from);
    const auto open = bytes("3668d659cec6f338f4f8dc6da6733118d2a633f186a3c1415c895111a8eb7c7d");
    CHECK(std::equal(open.begin(), open.end(), to->open().begin(), to->open().end()));
    const std::string info = text("4f6465206f6e2061204772656369616e2055726e"), bound = text("436f756e742d30");
    const std::string sealed = text(
        "9e59f4b1fa5c876f684765290c34e51145894cc4f244342b9fb1a4bdfd8bb426"
        "10b964283ac2cc0bdc4c85ab617291b446bf3832e9359b2c3a0facc50ea75a3c1afd08aeaacd6041d02eb560ec");
    const auto plain = hpke_open(*from, *to, info, bound, sealed);
    REQUIRE(plain);
    CHECK(text(*plain) == text("4265617574792069732074727574682c20747275746820626561757479"));
}

TEST_CASE("hpke: what was sealed opens for whom it is, from whom it is, unchanged, and in no other way", "[agent]") {
    const auto from = HpkeKey::generate(), to = HpkeKey::generate(), other = HpkeKey::generate();
    const std::string plain = "forty bytes, or so, of keys and of salts";
    const auto seal = [&] {
        return hpke_seal(*from, *to, "info", "bound",
                         {reinterpret_cast<const std::uint8_t*>(plain.data()), plain.size()})
            .value();
    };
    const std::string sealed = seal();
    CHECK(sealed.size() == plain.size() + kHpkeOverhead);
    CHECK(sealed != seal());  // another ephemeral key each time
    CHECK(sealed.find(plain.substr(0, 8)) == std::string::npos);
    CHECK(text(*hpke_open(*from, *to, "info", "bound", sealed)) == plain);
    CHECK_FALSE(hpke_open(*from, *other, "info", "bound", sealed));
    CHECK_FALSE(hpke_open(*other, *to, "info", "bound", sealed));
    CHECK_FALSE(hpke_open(*from, *to, "other", "bound", sealed));
    CHECK_FALSE(hpke_open(*from, *to, "info", "other", sealed));
    CHECK_FALSE(hpke_open(*from, *to, "info", "bound", sealed.substr(0, sealed.size() - 1)));
    CHECK_FALSE(hpke_open(*from, *to, "info", "bound", ""));
    for (const std::size_t at : {std::size_t{0}, std::size_t{31}, std::size_t{32}, sealed.size() - 1}) {
        std::string changed = sealed;
        changed[at] = static_cast<char>(changed[at] ^ 1);
        const auto opened = hpke_open(*from, *to, "info", "bound", changed);
        REQUIRE_FALSE(opened);
        CHECK(opened.error().code == ErrorCode::permission);
    }
    CHECK_FALSE(hpke_open(*from, *to, "info", "bound", std::string(100, '\0')));  // a point of small order
}

TEST_CASE("hpke: keys are X25519's, and errors name the file", "[agent]") {
    const auto none = HpkeKey::read("/no/where.pem", HpkeKey::Half::secret);
    REQUIRE_FALSE(none);
    CHECK(none.error().words == "/no/where.pem: cannot be read");
    const auto device = HpkeKey::read("/dev/null", HpkeKey::Half::open);
    REQUIRE_FALSE(device);
    CHECK(device.error().words == "/dev/null: is no public key of X25519, PEM");
    CHECK_FALSE(HpkeKey::from_open(bytes("0011")));
}
