// Secret: key bytes that leave no trace and tell nothing.
//
// The slots of small secrets stay mapped, so that what is left in one can be seen.
#include "net/secret.hpp"

#include <algorithm>
#include <array>
#include <ostream>
#include <sys/resource.h>
#include <sys/wait.h>
#include <type_traits>
#include <unistd.h>
#include <vector>

#include <catch2/catch.hpp>

#include "tests/support/mapping.hpp"
#include "tests/support/sanitizer.hpp"
#include "tests/support/skip.hpp"

using namespace sekisho;

namespace {

constexpr std::array<std::uint8_t, 16> kKey = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

bool all_zero(const std::uint8_t* at, std::size_t size) {
    return std::all_of(at, at + size, [](std::uint8_t byte) { return byte == 0; });
}

template <class Value>
concept Printable = requires(std::ostream& out, const Value& value) {
    out << value;
};

}  // namespace

TEST_CASE("secret: its bytes are zero when it has died", "[net]") {
    const std::uint8_t* place = nullptr;
    {
        const Secret secret(kKey);
        REQUIRE(secret.size() == kKey.size());
        place = secret.reveal().data();
        REQUIRE_FALSE(all_zero(place, kKey.size()));
    }
    CHECK(all_zero(place, kKey.size()));
}

TEST_CASE("secret: the bytes that a new key replaces are wiped", "[net]") {
    Secret secret(kKey);
    const std::uint8_t* const place = secret.reveal().data();
    secret = Secret(std::array<std::uint8_t, 2>{0xaa, 0xbb});
    CHECK(all_zero(place, kKey.size()));
    CHECK(secret.size() == 2);
    CHECK(secret.reveal()[1] == 0xbb);
}

TEST_CASE("secret: whatever its length, it lies in memory that is locked, dumped nowhere and no child's", "[net]") {
    const std::size_t length = GENERATE(1U, 36U, 64U, 65U, 5000U);
    const Secret secret(std::vector<std::uint8_t>(length, 0x5a));
    CHECK(std::ranges::count(secret.reveal(), 0x5a) == static_cast<std::ptrdiff_t>(length));
    const pid_t child = fork();
    if (child == 0) _exit(all_zero(secret.reveal().data(), length) ? 0 : 1);
    int status = -1;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK((WIFEXITED(status) && WEXITSTATUS(status) == 0));
    const std::string flags = test::flags_of_mapping(secret.reveal().data());
    if (flags.empty()) return test::skip("no /proc/self/smaps");
    INFO(flags);
    if (!test::kSanitized) CHECK(flags.find(" lo ") != std::string::npos);
    CHECK(flags.find(" dd ") != std::string::npos);
}

TEST_CASE("secret: thousands have a place each, and it is the next ones' when they have died", "[net]") {
    std::vector<Secret> secrets;
    std::vector<const std::uint8_t*> places;
    for (const int round : {0, 1}) {
        for (std::uint32_t i = 0; i < 5000; ++i)
            secrets.emplace_back(
                std::array<std::uint8_t, 4>{static_cast<std::uint8_t>(i), static_cast<std::uint8_t>(i >> 8), 1, 2});
        std::vector<const std::uint8_t*> now;
        for (std::uint32_t i = 0; i < 5000; ++i) {
            REQUIRE(secrets[i].reveal()[0] == (i & 0xff));
            REQUIRE(secrets[i].reveal()[1] == i >> 8);
            now.push_back(secrets[i].reveal().data());
        }
        std::sort(now.begin(), now.end());
        REQUIRE(std::adjacent_find(now.begin(), now.end()) == now.end());
        if (round == 1) CHECK(now == places);
        places = std::move(now);
        secrets.clear();
    }
}

TEST_CASE("secret: where nothing may be locked it is kept out of core dumps all the same", "[net]") {
    const pid_t child = fork();
    if (child == 0) {
        // Memory of its own: the slots of its parent are locked already, or not there yet.
        const rlimit nothing{0, 0};
        const bool bare = setrlimit(RLIMIT_MEMLOCK, &nothing) == 0 && (getuid() != 0 || setuid(65534) == 0);
        const Secret secret(std::vector<std::uint8_t>(5000, 0x5a));
        const std::string flags = test::flags_of_mapping(secret.reveal().data());
        const bool fine = flags.empty() || (flags.find(" dd ") != std::string::npos &&
                                            (test::kSanitized || flags.find(" lo ") == std::string::npos));
        _exit(bare && fine && secret.reveal()[4999] == 0x5a ? 0 : 1);
    }
    int status = -1;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK((WIFEXITED(status) && WEXITSTATUS(status) == 0));
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
