// The engines: the standards' answers, each against the others, and the door that lets only proven ones through.
#include "crypto/aead.hpp"

#include <algorithm>
#include <numeric>
#include <string>
#include <sys/mman.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>

#include "crypto/known_answers.hpp"
#include "crypto/self_test.hpp"
#include "net/simd.hpp"
#include "tests/support/random.hpp"
#include "tests/support/skip.hpp"

using namespace sekisho;
using namespace sekisho::crypto;

namespace {

using Bytes = std::vector<std::uint8_t>;

std::unique_ptr<AeadEngine> engine(EngineKind kind) {
    auto made = make_engine(kind);
    INFO((made ? std::string() : made.error().words));
    REQUIRE(made);
    return std::move(*made);
}

// All that run here, ours in each width of vectors that the processor has.
std::vector<std::unique_ptr<AeadEngine>> engines_of_all_widths() {
    std::vector<std::unique_ptr<AeadEngine>> all;
    const Simd before = simd();
    for (const EngineKind kind : engines_here()) {
        if (kind != EngineKind::vaes) {
            all.push_back(engine(kind));
            continue;
        }
        for (const Simd width : {Simd::avx2, Simd::avx512})
            if (use_simd(width)) all.push_back(engine(kind));
    }
    REQUIRE(use_simd(before));
    return all;
}

// An engine that passes on what another does, with one fault.
class Faulty final : public AeadEngine {
  public:
    enum class Fault {
        wrong_cipher,
        wrong_tag,
        accepts_everything,
        refuses_everything,
        vouches_for_everything,
        wrong_at_one_length,
        none,
    };
    static constexpr std::uint32_t kWrongLength = 417;

    Faulty(AeadEngine& behind, Fault fault) : Faulty(behind, fault, behind.kind()) {}
    // Says that it is of another kind, whose keys take no less room.
    Faulty(AeadEngine& behind, Fault fault, EngineKind kind) : behind_(behind), fault_(fault), kind_(kind) {}

    EngineKind kind() const noexcept override { return kind_; }
    std::string description() const override { return "faulty"; }
    Expected<AeadKey> prepare(Suite suite, std::span<const std::uint8_t> key, KeyStore& store) override {
        return behind_.prepare(suite, key, store);
    }
    bool seal(std::span<AeadJob> jobs) noexcept override {
        const bool good = behind_.seal(jobs);
        AeadJob& last = jobs.back();  // only the last of a batch: the test must look at every one
        if (fault_ == Fault::wrong_cipher && last.length > 0) last.text[last.length - 1] ^= 1;
        if (fault_ == Fault::wrong_at_one_length && last.length == kWrongLength) last.text[400] ^= 1;
        if (fault_ == Fault::wrong_tag) last.text[last.length + 15] ^= 0x80;
        return good;
    }
    bool open(std::span<AeadJob> jobs) noexcept override {
        const bool good = behind_.open(jobs);
        if (fault_ == Fault::accepts_everything) jobs.back().good = true;
        if (fault_ == Fault::refuses_everything) jobs.back().good = false;
        return good || fault_ == Fault::vouches_for_everything;
    }

  private:
    AeadEngine& behind_;
    Fault fault_;
    EngineKind kind_;
};

// A random job with its own bytes.
struct Work {
    Bytes key, aad, plain, work;  // `work`: what the job is on, and its tag
    AeadJob job{};
};

Work some_work(test::Random& random, Suite suite, std::size_t length) {
    Work work{random.bytes(text_of(suite).key_length),
              random.bytes(random.one_in(2) ? 8 : 12),
              random.bytes(length),
              Bytes(length + kIcvLength),
              {}};
    std::copy(work.plain.begin(), work.plain.end(), work.work.begin());
    work.job.suite = suite;
    const Bytes nonce = random.bytes(kNonceLength);
    std::copy(nonce.begin(), nonce.end(), work.job.nonce.begin());
    return work;
}

void aim(Work& work, const AeadKey& key) {
    work.job.key = key.prepared();
    work.job.text = work.work.data();
    work.job.length = static_cast<std::uint32_t>(work.plain.size());
    work.job.aad_length = static_cast<std::uint16_t>(work.aad.size());
    std::copy(work.aad.begin(), work.aad.end(), work.job.aad.begin());
}
bool is_plain(const Work& work) {
    return std::equal(work.plain.begin(), work.plain.end(), work.work.begin());
}

}  // namespace

TEST_CASE("aead: an engine with any one fault does not pass the known answers", "[crypto]") {
    const auto real = engine(EngineKind::openssl);
    KeyStore store(prepared_bytes(EngineKind::openssl));
    REQUIRE(self_test(*real, store));
    using enum Faulty::Fault;
    for (const auto fault : {wrong_cipher, wrong_tag, accepts_everything, refuses_everything, vouches_for_everything}) {
        Faulty faulty(*real, fault);
        const auto passed = self_test(faulty, store);
        REQUIRE_FALSE(passed);
        CHECK(passed.error().code == ErrorCode::unavailable);
        CHECK(passed.error().words.find("known answer \"") == 0);
    }
}

TEST_CASE("aead: an engine that differs from another at one length is told apart, and the length is named",
          "[crypto]") {
    const auto real = engine(EngineKind::ipsec_mb);
    const auto other = engine(EngineKind::openssl);
    CHECK(compare(*real, *other));
    for (const auto fault : {Faulty::Fault::wrong_at_one_length, Faulty::Fault::accepts_everything}) {
        Faulty faulty(*real, fault);
        const auto alike = compare(faulty, *other);
        REQUIRE_FALSE(alike);
        CHECK(alike.error().code == ErrorCode::unavailable);
        const bool one_length = fault == Faulty::Fault::wrong_at_one_length;
        CHECK(alike.error().words.find(one_length ? "417 bytes" : "wrong bit") != std::string::npos);
    }
}

TEST_CASE("aead: an engine with a fault is not let out, whatever its kind, and is named", "[crypto]") {
    const auto real = engine(EngineKind::openssl);
    using enum Faulty::Fault;
    for (const EngineKind kind : kEngineKinds) {
        for (const auto fault :
             {wrong_cipher, wrong_tag, accepts_everything, refuses_everything, vouches_for_everything}) {
            Faulty faulty(*real, fault, kind);
            const auto proven = prove(faulty);
            REQUIRE_FALSE(proven);
            CHECK(proven.error().code == ErrorCode::unavailable);
            CHECK(proven.error().words.starts_with("faulty: known answer \""));
        }
    }
}

TEST_CASE("aead: an engine of ours that differs from OpenSSL where no known answer looks is not let out, ever",
          "[crypto]") {
    const auto real = engine(EngineKind::openssl);
    Faulty faulty(*real, Faulty::Fault::wrong_at_one_length, EngineKind::vaes);
    KeyStore store(prepared_bytes(EngineKind::vaes));
    REQUIRE(self_test(faulty, store));
    for (int engines = 0; engines < 2; ++engines) {  // control's, and then a worker's of the same description
        const auto proven = prove(faulty);
        REQUIRE_FALSE(proven);
        CHECK(proven.error().code == ErrorCode::unavailable);
        CHECK(proven.error().words ==
              "faulty: aes_gcm_128, 417 bytes, beside " + real->description() + ": sealed to something else");
    }
    // The others' are not compared: what is the measure has nothing to be measured by.
    for (const EngineKind kind : {EngineKind::ipsec_mb, EngineKind::openssl}) {
        Faulty other(*real, Faulty::Fault::wrong_at_one_length, kind);
        CHECK(prove(other));
    }
    Faulty sound(*real, Faulty::Fault::none, EngineKind::vaes);
    CHECK(prove(sound));
}

TEST_CASE("aead: a key of the wrong length is refused, and the words do not hold it", "[crypto][conformance-37]") {
    for (const EngineKind kind : engines_here()) {
        const auto made = engine(kind);
        KeyStore store(prepared_bytes(kind));
        for (const Suite suite : {Suite::aes_gcm_128, Suite::aes_gcm_256}) {
            for (const std::size_t length : {0U, 15U, 17U, 20U, 24U, 31U, 33U, 36U}) {
                const Bytes key(length, 'K');
                const auto prepared = made->prepare(suite, key, store);
                REQUIRE_FALSE(prepared);
                CHECK(prepared.error().code == ErrorCode::invalid);
                CHECK(prepared.error().words.find("KK") == std::string::npos);
                CHECK(prepared.error().words.find(std::to_string(text_of(suite).key_length)) != std::string::npos);
            }
        }
        CHECK(store.in_use() == 0);
    }
}

TEST_CASE("aead: a key store with slots too small for an engine's keys is refused", "[crypto]") {
    KeyStore store(1);
    for (const EngineKind kind : engines_here()) {
        if (prepared_bytes(kind) <= store.slot_bytes()) continue;
        const auto prepared = engine(kind)->prepare(Suite::aes_gcm_128, Bytes(16), store);
        REQUIRE_FALSE(prepared);
        CHECK(prepared.error().code == ErrorCode::invalid);
    }
}

TEST_CASE("aead: engines start, say what they are, and the fastest is ours where it can run", "[crypto]") {
    for (const EngineKind kind : engines_here()) CHECK(engine(kind)->kind() == kind);
    CHECK(engine(EngineKind::ipsec_mb)->description().find("IPsec-MB ") == 0);
    CHECK(engine(EngineKind::openssl)->description().find("OpenSSL 3") == 0);
    CHECK(fastest_engine() == engines_here().front());
    if (fastest_engine() != EngineKind::vaes) {
        const auto refused = make_engine(EngineKind::vaes);
        REQUIRE_FALSE(refused);
        CHECK(refused.error().code == ErrorCode::unavailable);
        return test::skip("this processor has no VAES");
    }
    CHECK(engine(EngineKind::vaes)->description().find("VAES, ") == 0);
}

TEST_CASE("aead: where no wide instructions may be used, there is no engine of ours", "[crypto]") {
    const Simd before = simd();
    REQUIRE(use_simd(Simd::scalar));
    if (simd() != Simd::scalar) return test::skip("the choice is fixed");
    const auto refused = make_engine(EngineKind::vaes);
    const EngineKind fastest = fastest_engine();
    REQUIRE(use_simd(before));
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == ErrorCode::unavailable);
    CHECK(fastest == EngineKind::ipsec_mb);
}

TEST_CASE("aead: every length from 0 to 2,200 bytes, and some longer, comes out alike from all engines", "[crypto]") {
    test::Random random("aead lengths");
    struct Side {
        explicit Side(std::unique_ptr<AeadEngine> engine)
            : made(std::move(engine)), store(prepared_bytes(made->kind())) {}
        std::unique_ptr<AeadEngine> made;
        KeyStore store;
    };
    std::vector<std::unique_ptr<Side>> sides;
    for (auto& each : engines_of_all_widths()) sides.push_back(std::make_unique<Side>(std::move(each)));
    for (const Suite suite : {Suite::aes_gcm_128, Suite::aes_gcm_256}) {
        std::vector<std::size_t> lengths(2201);
        std::iota(lengths.begin(), lengths.end(), std::size_t{0});
        for (const std::size_t more : {4096U, 8999U, 16384U, 65503U, 65535U}) lengths.push_back(more);
        for (const std::size_t length : lengths) {
            Work work = some_work(random, suite, length);
            work.aad = random.bytes(random.below(AeadJob::kLongestAad + 1));
            const Bytes before = work.work;
            Bytes first;
            for (const auto& side : sides) {
                const AeadKey key = std::move(*side->made->prepare(suite, work.key, side->store));
                work.work = before;
                aim(work, key);
                REQUIRE(side->made->seal({&work.job, 1}));
                REQUIRE(work.job.good);
                if (first.empty()) first = work.work;
                INFO(side->made->description() << ", " << length << " bytes, AAD " << work.aad.size());
                REQUIRE(work.work == first);
                REQUIRE(side->made->open({&work.job, 1}));
                REQUIRE(is_plain(work));
                // The tag was read only.
                REQUIRE(std::equal(work.work.end() - kIcvLength, work.work.end(), first.end() - kIcvLength));
            }
        }
    }
}

TEST_CASE("aead: no byte before the text or behind its tag is read or written", "[crypto]") {
    test::Random random("aead edges");
    const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    // A page to work on between two that nobody may touch.
    void* const mapped = mmap(nullptr, 3 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(mapped != MAP_FAILED);
    auto* const begin = static_cast<std::uint8_t*>(mapped) + page;
    REQUIRE(mprotect(begin, page, PROT_READ | PROT_WRITE) == 0);
    for (const auto& made : engines_of_all_widths()) {
        KeyStore store(prepared_bytes(made->kind()));
        for (const Suite suite : {Suite::aes_gcm_128, Suite::aes_gcm_256}) {
            for (std::size_t length = 0; length <= 700; ++length) {
                Work work = some_work(random, suite, length);
                const AeadKey key = std::move(*made->prepare(suite, work.key, store));
                aim(work, key);
                const std::size_t all = length + kIcvLength;
                for (std::uint8_t* const text : {begin, begin + page - all, begin + 1 + random.below(page - all)}) {
                    std::fill(begin, begin + page, std::uint8_t{0xa5});
                    std::copy(work.plain.begin(), work.plain.end(), text);
                    work.job.text = text;
                    REQUIRE(made->seal({&work.job, 1}));
                    REQUIRE(made->open({&work.job, 1}));
                    REQUIRE(std::equal(work.plain.begin(), work.plain.end(), text));
                    const auto untouched = [](std::uint8_t byte) { return byte == 0xa5; };
                    REQUIRE(std::all_of(begin, text, untouched));
                    REQUIRE(std::all_of(text + all, begin + page, untouched));
                }
            }
        }
    }
    munmap(mapped, 3 * page);
}

TEST_CASE("aead: random batches of many keys, in place, sealed by one engine and opened by another", "[crypto]") {
    test::Random random("aead batches");
    const std::span kinds = engines_here();
    std::vector<std::unique_ptr<AeadEngine>> engines;
    std::vector<std::unique_ptr<KeyStore>> stores;
    for (const EngineKind kind : kinds) {
        engines.push_back(engine(kind));
        stores.push_back(std::make_unique<KeyStore>(prepared_bytes(kind)));
    }
    for (int round = 0; round < 400; ++round) {
        const std::size_t sealer = random.below(kinds.size());
        const std::size_t opener = (sealer + 1 + random.below(kinds.size() - 1)) % kinds.size();
        std::vector<Work> works;
        std::vector<std::vector<AeadKey>> keys(kinds.size());
        const std::size_t count = 1 + random.below(64);
        for (std::size_t i = 0; i < count; ++i) {
            const Suite suite = random.one_in(2) ? Suite::aes_gcm_128 : Suite::aes_gcm_256;
            works.push_back(some_work(random, suite, 4 + 4 * random.below(380)));
            if (i > 0 && random.one_in(2)) {  // runs of one key, as bursts of one SA are
                works[i].key = works[i - 1].key;
                works[i].job.suite = works[i - 1].job.suite;
            }
            for (const std::size_t side : {sealer, opener})
                keys[side].push_back(
                    std::move(*engines[side]->prepare(works[i].job.suite, works[i].key, *stores[side])));
        }
        const auto run = [&](std::size_t side, auto what) {
            std::vector<AeadJob> jobs;
            for (std::size_t i = 0; i < count; ++i) {
                aim(works[i], keys[side][i]);
                jobs.push_back(works[i].job);
            }
            what(*engines[side], jobs);
            return jobs;
        };
        for (const AeadJob& job : run(sealer, [](AeadEngine&e, std::span<AeadJob> jobs) { e.seal(jobs); }))
            REQUIRE(job.good);
        std::vector<bool> spoiled(count);
        for (std::size_t i = 0; i < count; ++i) {
            if (!random.one_in(4)) continue;
            spoiled[i] = true;
            Bytes& where = random.one_in(3) ? works[i].aad : works[i].work;
            where[random.below(where.size())] ^= static_cast<std::uint8_t>(1U << random.below(8));
        }
        const auto opened = run(opener, [](AeadEngine& e, std::span<AeadJob> jobs) { e.open(jobs); });
        for (std::size_t i = 0; i < count; ++i) {
            REQUIRE(opened[i].good == !spoiled[i]);
            if (!spoiled[i]) REQUIRE(is_plain(works[i]));
        }
    }
}

TEST_CASE("suites: a name leads to its suite, and none to another", "[crypto]") {
    for (const SuiteText& row : kSuites) {
        CHECK(suite_named(row.name) == row.suite);
        CHECK(&text_of(row.suite) == &row);
    }
    for (const auto* refused : {"", "aes_gcm_192", "null", "3des-cbc", "AES-GCM-128", "aes-gcm-128"})
        CHECK_FALSE(suite_named(refused));
}
