// Secret: key bytes that leave no trace and tell nothing.
//
// That memory is wiped before it is given back is seen by this executable's own operator delete, which looks at the
// watched block before it goes: hence an executable of its own.
#include "net/secret.hpp"

#include <array>
#include <cstdlib>
#include <memory>
#include <new>
#include <ostream>
#include <type_traits>

#include <catch2/catch.hpp>

namespace {

const void* watched = nullptr;
std::size_t watched_size = 0;
int freed_clean = 0;
int freed_dirty = 0;

void look_at(const void* block) noexcept {
    if (block == nullptr || block != watched) return;
    const auto* bytes = static_cast<const unsigned char*>(block);
    const bool clean = std::all_of(bytes, bytes + watched_size, [](unsigned char byte) { return byte == 0; });
    ++(clean ? freed_clean : freed_dirty);
    watched = nullptr;
}

}  // namespace

// Not inlined: gcc would see free() of what came from new, and warn.
[[gnu::noinline]] void* operator new(std::size_t size) {
    if (void* const block = std::malloc(size == 0 ? 1 : size)) return block;
    throw std::bad_alloc();
}
[[gnu::noinline]] void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
    return std::malloc(size == 0 ? 1 : size);
}
[[gnu::noinline]] void operator delete(void* block) noexcept {
    look_at(block);
    std::free(block);
}
[[gnu::noinline]] void operator delete(void* block, std::size_t) noexcept {
    look_at(block);
    std::free(block);
}

using namespace sekisho;

namespace {

constexpr std::array<std::uint8_t, 16> kKey = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

void watch(const Secret& secret) {
    watched = secret.reveal().data();
    watched_size = secret.size();
    freed_clean = freed_dirty = 0;
}

template <class Value>
concept Printable = requires(std::ostream& out, const Value& value) {
    out << value;
};

}  // namespace

TEST_CASE("secret: the watch sees a block that was not wiped", "[net]") {
    auto plain = std::make_unique<std::vector<std::uint8_t>>(kKey.begin(), kKey.end());
    watched = plain->data();
    watched_size = plain->size();
    freed_dirty = 0;
    plain.reset();
    CHECK(freed_dirty == 1);
}

TEST_CASE("secret: its bytes are zero before their memory is given back", "[net]") {
    {
        const Secret secret(kKey);
        REQUIRE(secret.size() == kKey.size());
        watch(secret);
    }
    CHECK(freed_clean == 1);
    CHECK(freed_dirty == 0);
}

TEST_CASE("secret: the bytes that a new key replaces are wiped", "[net]") {
    Secret secret(kKey);
    watch(secret);
    secret = Secret(std::array<std::uint8_t, 2>{0xaa, 0xbb});
    CHECK(freed_clean == 1);
    CHECK(freed_dirty == 0);
    CHECK(secret.size() == 2);
    CHECK(secret.reveal()[1] == 0xbb);
}

TEST_CASE("secret: moves without a copy, and leaves nothing where it was", "[net]") {
    Secret first(kKey);
    const std::uint8_t* const place = first.reveal().data();
    Secret second(std::move(first));
    CHECK(second.reveal().data() == place);
    CHECK(std::ranges::equal(second.reveal(), kKey));
    CHECK(first.size() == 0);  // NOLINT: what a moved-from secret holds is the point
}

TEST_CASE("secret: survives being moved into itself", "[net]") {
    Secret secret(kKey);
    Secret& same = secret;
    secret = std::move(same);
    CHECK(std::ranges::equal(secret.reveal(), kKey));
}

TEST_CASE("secret: cannot be copied, printed or compared with ==", "[net]") {
    STATIC_REQUIRE_FALSE(std::is_copy_constructible_v<Secret>);
    STATIC_REQUIRE_FALSE(std::is_copy_assignable_v<Secret>);
    STATIC_REQUIRE_FALSE(Printable<Secret>);
    STATIC_REQUIRE_FALSE(std::equality_comparable<Secret>);
}

TEST_CASE("secret: equal_in_constant_time tells equal from different, wherever they differ", "[net]") {
    const Secret secret(kKey);
    CHECK(equal_in_constant_time(secret, Secret(kKey)));
    for (std::size_t i = 0; i < kKey.size(); ++i) {
        auto other = kKey;
        other[i] ^= 0x80;
        CHECK_FALSE(equal_in_constant_time(secret, Secret(other)));
    }
    CHECK_FALSE(equal_in_constant_time(secret, Secret(std::span(kKey).first(15))));
    CHECK(equal_in_constant_time(Secret(), Secret()));
}

TEST_CASE("secret: wipe leaves only zeros, also of nothing", "[net]") {
    auto bytes = kKey;
    wipe(bytes);
    CHECK(bytes == std::array<std::uint8_t, 16>{});
    wipe({});
}
