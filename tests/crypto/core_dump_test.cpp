// What work with keys leaves behind: nothing of them is in a core dump, in registers or on the stack.
#include <algorithm>
#include <csignal>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/crypto/esp_support.hpp"
#include "tests/crypto/ledger_support.hpp"
#include "tests/support/sanitizer.hpp"
#include "tests/support/skip.hpp"

using namespace sekisho;
using namespace sekisho::test;

namespace {

constexpr std::size_t kKeyLength = 32;

// The key number `which`, made anew each time so that nobody has to keep it.
void make_key(std::uint64_t seed, std::uint64_t which, std::uint8_t* key) {
    std::uint64_t state = seed + which * 0x9e37'79b9'7f4a'7c15;
    for (std::size_t i = 0; i < kKeyLength; ++i) {
        state = state * 6364136223846793005ULL + 1442695040888963407ULL;
        key[i] = static_cast<std::uint8_t>(state >> 56);
    }
}

Secret material_of(std::uint64_t seed, std::uint64_t which) {
    std::uint8_t bytes[kKeyLength + kSaltLength] = {1, 2, 3, 4};
    make_key(seed, which, bytes);
    Secret secret{std::span(bytes)};
    wipe(bytes);
    return secret;
}

// Every engine, both directions, and the ledger's fingerprint; then the end. Each engine has the key of its own number,
// and a careless one is left lying about, to see that the search would find it.
constexpr std::uint64_t kCareless = kEngineKinds.size();
constexpr std::uint64_t kOnItsWay = kCareless + 1;  // not prepared yet
constexpr std::uint64_t number_of(EngineKind kind) {
    return static_cast<std::uint64_t>(kind);
}

[[noreturn]] void work_and_die(std::uint64_t seed, const std::string& directory) {
    const rlimit unlimited{RLIM_INFINITY, RLIM_INFINITY};
    if (setrlimit(RLIMIT_CORE, &unlimited) != 0 || chdir(directory.c_str()) != 0) _exit(1);
    static std::uint8_t careless[kKeyLength];
    make_key(seed, kCareless, careless);
    (void)new Secret(material_of(seed, kOnItsWay));  // first: registers hold what was copied last
    for (const EngineKind kind : engines_here()) {
        auto* const engine = make_engine(kind)->release();
        auto* const store = new KeyStore(prepared_bytes(kind));
        const std::uint64_t which = number_of(kind);
        OutboundConfig outbound{Spi(1000), Suite::aes_gcm_256};
        outbound.local = *IpAddress::parse("192.0.2.1");
        outbound.peer = *IpAddress::parse("198.51.100.2");
        InboundConfig inbound{Spi(1000), Suite::aes_gcm_256};
        inbound.selectors = both_families();
        auto* const out = OutboundSa::make(outbound, material_of(seed, which), *engine, *store)->release();
        auto* const in = InboundSa::make(inbound, material_of(seed, which), *engine, *store)->release();
        (void)fingerprint_of(Suite::aes_gcm_256, material_of(seed, which));
        out->sequence().begin(1, 100);
        out->sequence().extend(100);
        Esp esp(*engine);
        ToSeal one(out, InnerPacket{}.bytes(), 64);
        esp.seal({&one.packet, 1});
        OpenPacket packet;
        packet.esp = one.packet.data + 20;
        packet.length = one.packet.length - 20;
        packet.sa = in;
        esp.open({&packet, 1});
        if (packet.outcome != EspOutcome::done) _exit(1);
    }
    std::signal(SIGABRT, SIG_DFL);
    std::abort();
}

}  // namespace

TEST_CASE("keys: a core dump of a process that sealed and opened holds none", "[crypto]") {
    // Their shadow memory makes dumps of terabytes.
    if (kSanitized) return skip("no core dumps under the sanitizers");
    test::Random random("core dump");
    const std::uint64_t seed = random.word();
    const Directory directory;
    const pid_t child = fork();
    if (child == 0) work_and_die(seed, directory.file(""));
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    REQUIRE(WIFSIGNALED(status));
    std::string core;
    for (const auto& entry : std::filesystem::directory_iterator(directory.file("")))
        if (entry.path().filename().string().starts_with("core")) {
            std::ifstream file(entry.path(), std::ios::binary);
            core.assign(std::istreambuf_iterator<char>(file), {});
        }
    if (core.empty()) return test::skip("the system writes core dumps elsewhere, or none");
    // A round key is half of it: both halves of a key of 256 bits begin the prepared key.
    const auto holds = [&](std::uint64_t which) {
        std::uint8_t key[kKeyLength];
        make_key(seed, which, key);
        const std::string_view all(reinterpret_cast<const char*>(key), kKeyLength);
        return core.find(all.substr(0, 16)) != std::string::npos || core.find(all.substr(16)) != std::string::npos;
    };
    CHECK(holds(kCareless));
    CHECK_FALSE(holds(kOnItsWay));
    for (const EngineKind kind : engines_here()) {
        INFO(name_of(kind));
        CHECK_FALSE(holds(number_of(kind)));
    }
}

#if defined(__x86_64__)

namespace {

// Vector registers, and what lies below this stack frame.
struct Leftovers {
    alignas(64) std::uint8_t registers[16][32];
    std::uint8_t stack[8192];

    // Always inlined: a call would write over both.
    [[gnu::always_inline]] void take() noexcept {
        asm volatile(
            "vmovdqu %%ymm0, 0(%0)\n\tvmovdqu %%ymm1, 32(%0)\n\tvmovdqu %%ymm2, 64(%0)\n\tvmovdqu %%ymm3, 96(%0)\n\t"
            "vmovdqu %%ymm4, 128(%0)\n\tvmovdqu %%ymm5, 160(%0)\n\tvmovdqu %%ymm6, 192(%0)\n\tvmovdqu %%ymm7, "
            "224(%0)\n\t"
            "vmovdqu %%ymm8, 256(%0)\n\tvmovdqu %%ymm9, 288(%0)\n\tvmovdqu %%ymm10, 320(%0)\n\tvmovdqu %%ymm11, "
            "352(%0)\n\t"
            "vmovdqu %%ymm12, 384(%0)\n\tvmovdqu %%ymm13, 416(%0)\n\tvmovdqu %%ymm14, 448(%0)\n\tvmovdqu %%ymm15, "
            "480(%0)\n\t"
            // Bytes, from the lowest on.
            "lea -8192(%%rsp), %%rsi\n\tlea 512(%0), %%rdi\n\tmov $8192, %%ecx\n\trep movsb"
            :
            : "r"(this)
            : "rsi", "rdi", "rcx", "memory");
    }
    bool hold(const std::uint8_t* block) const {
        const auto in = [block](const auto& bytes) {
            return std::search(std::begin(bytes), std::end(bytes), block, block + 16) != std::end(bytes);
        };
        return in(stack) || std::any_of(std::begin(registers), std::end(registers), in);
    }
};
static_assert(offsetof(Leftovers, stack) == 512);

}  // namespace

TEST_CASE("keys: an engine of ours leaves no round key and no power of H in registers or on the stack", "[crypto]") {
    if (kSanitized) return skip("sanitizers have stacks of their own");
    if (fastest_engine() != EngineKind::vaes) return skip("this processor has no VAES");
    test::Random random("leftovers");
    const auto engine = engine_of(EngineKind::vaes);
    KeyStore store(prepared_bytes(EngineKind::vaes));
    const auto memory = std::make_unique<Leftovers>();
    Leftovers& left = *memory;
    for (const SuiteText& suite : kSuites) {
        const AeadKey key = std::move(*engine->prepare(suite.suite, random.bytes(suite.key_length), store));
        for (const std::size_t length : {20U, 52U, 200U, 1400U}) {
            std::vector<std::uint8_t> text(length + kIcvLength);
            AeadJob job{};
            job.key = key.prepared();
            job.suite = suite.suite;
            job.text = text.data();
            job.length = static_cast<std::uint32_t>(length);
            for (const bool seal : {true, false}) {
                if (seal)
                    engine->seal({&job, 1});
                else
                    engine->open({&job, 1});
                left.take();
                REQUIRE(job.good);
                // All blocks of it: 17 powers, and 11 or 15 round keys.
                const std::size_t blocks = suite.key_length == 16 ? 28 : 32;
                for (std::size_t i = 0; i < blocks; ++i) REQUIRE_FALSE(left.hold(key.prepared() + 16 * i));
            }
        }
    }
    // What is in a register or on the stack is found.
    std::array<std::uint8_t, 16> known;
    known.fill(0x3c);
    asm volatile("vmovdqu %0, %%xmm9" : : "m"(known) : "xmm9");
    left.take();
    CHECK(left.hold(known.data()));
}

#endif
