// Memory for keys: protected as the system says itself, clean before anyone else gets it.
#include "crypto/key_store.hpp"

#include <algorithm>
#include <cstring>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "crypto/aead.hpp"
#include "tests/support/mapping.hpp"
#include "tests/support/random.hpp"
#include "tests/support/sanitizer.hpp"
#include "tests/support/skip.hpp"

using namespace sekisho;
using namespace sekisho::crypto;

namespace {

bool all_zero(std::span<const std::uint8_t> bytes) {
    return std::all_of(bytes.begin(), bytes.end(), [](std::uint8_t byte) { return byte == 0; });
}

}  // namespace

TEST_CASE("key store: what cannot be locked is not handed out", "[crypto]") {
    if (test::kSanitized) return test::skip("mlock() is none under the sanitizers");
    // In a child, which may give up its rights without harm.
    const pid_t child = fork();
    if (child == 0) {
        const rlimit nothing{0, 0};
        const bool bare = setrlimit(RLIMIT_MEMLOCK, &nothing) == 0 && (getuid() != 0 || setuid(65534) == 0);
        KeyStore store(1024);
        const auto slot = store.take();
        const bool refused = !slot && slot.error().code == ErrorCode::permission &&
                             slot.error().words.find("LimitMEMLOCK") != std::string::npos;
        _exit(bare && refused && store.in_use() == 0 ? 0 : 1);
    }
    int status = -1;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK((WIFEXITED(status) && WEXITSTATUS(status) == 0));
}

TEST_CASE("key store: the kernel says that slots are locked and left out of core dumps", "[crypto]") {
    KeyStore store(1024);
    const auto slot = store.take();
    REQUIRE(slot);
    const std::string flags = test::flags_of_mapping(slot->data());
    if (flags.empty()) return test::skip("no /proc/self/smaps");
    INFO(flags);
    if (!test::kSanitized) CHECK(flags.find(" lo ") != std::string::npos);
    CHECK(flags.find(" dd ") != std::string::npos);
}

TEST_CASE("key store: a child of fork sees no keys", "[crypto]") {
    KeyStore store(64);
    const auto slot = store.take();
    REQUIRE(slot);
    std::memset(slot->data(), 0xa5, 64);
    const pid_t child = fork();
    if (child == 0) _exit(all_zero({slot->data(), 64}) ? 0 : 1);
    int status = -1;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK((WIFEXITED(status) && WEXITSTATUS(status) == 0));
    CHECK(slot->data()[63] == 0xa5);
}

TEST_CASE("key store: a slot is zero when its owner has gone, and every slot when all have", "[crypto]") {
    test::Random random("key store");
    KeyStore store(100);
    CHECK(store.slot_bytes() == 128);
    std::vector<KeySlot> slots;
    for (int i = 0; i < 5000; ++i) {
        if (!slots.empty() && random.one_in(3)) {
            const std::size_t victim = random.below(slots.size());
            const std::uint8_t* const was = slots[victim].data();
            std::swap(slots[victim], slots.back());
            slots.pop_back();
            REQUIRE(all_zero({was, store.slot_bytes()}));
            continue;
        }
        auto slot = store.take();
        REQUIRE(slot);
        REQUIRE(reinterpret_cast<std::uintptr_t>(slot->data()) % 64 == 0);
        REQUIRE(all_zero({slot->data(), store.slot_bytes()}));
        std::memset(slot->data(), 0x5a, store.slot_bytes());
        slots.push_back(std::move(*slot));
    }
    REQUIRE(store.in_use() == slots.size());
    // No two owners of one place.
    std::vector<const std::uint8_t*> places;
    for (const KeySlot& slot : slots) places.push_back(slot.data());
    std::sort(places.begin(), places.end());
    CHECK(std::adjacent_find(places.begin(), places.end()) == places.end());
    slots.clear();
    CHECK(store.in_use() == 0);
    for (const auto slab : store.slabs()) CHECK(all_zero(slab));
}

TEST_CASE("key store: a prepared key leaves nothing behind when it dies or is replaced", "[crypto]") {
    for (const EngineKind kind : engines_here()) {
        auto engine = make_engine(kind);
        REQUIRE(engine);
        KeyStore store(prepared_bytes(kind));
        const std::vector<std::uint8_t> bytes(32, 0x77);
        {
            auto key = (*engine)->prepare(Suite::aes_gcm_256, bytes, store);
            REQUIRE(key);
            CHECK_FALSE(all_zero(store.slabs().at(0)));
            *key = AeadKey();
            CHECK(store.in_use() == 0);
        }
        for (const auto slab : store.slabs()) CHECK(all_zero(slab));
    }
}

TEST_CASE("key store: a slot that was moved from owns nothing", "[crypto]") {
    KeyStore store(64);
    auto first = store.take();
    REQUIRE(first);
    KeySlot second(std::move(*first));
    CHECK_FALSE(*first);
    CHECK(first->data() == nullptr);
    KeySlot& same = second;
    second = std::move(same);
    CHECK(second);
    CHECK(store.in_use() == 1);
}
