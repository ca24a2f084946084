// The engines: the standards' answers, the two against each other, and the door that lets only proven ones through.
#include "crypto/aead.hpp"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>

#include "crypto/known_answers.hpp"
#include "crypto/self_test.hpp"
#include "tests/support/random.hpp"

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

// An engine that passes on what another does, with one fault.
class Faulty final : public AeadEngine {
  public:
    enum class Fault { wrong_cipher, wrong_tag, accepts_everything, refuses_everything, vouches_for_everything };
    Faulty(AeadEngine& behind, Fault fault) : behind_(behind), fault_(fault) {}

    EngineKind kind() const noexcept override { return behind_.kind(); }
    std::string description() const override { return "faulty"; }
    Expected<AeadKey> prepare(Suite suite, std::span<const std::uint8_t> key, KeyStore& store) override {
        return behind_.prepare(suite, key, store);
    }
    bool seal(std::span<AeadJob> jobs) noexcept override {
        const bool good = behind_.seal(jobs);
        AeadJob& last = jobs.back();  // only the last of a batch: the test must look at every one
        if (fault_ == Fault::wrong_cipher && last.length > 0) last.text[last.length - 1] ^= 1;
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

TEST_CASE("aead: a key of the wrong length is refused, and the words do not hold it", "[crypto][conformance-37]") {
    for (const EngineKind kind : {EngineKind::ipsec_mb, EngineKind::openssl}) {
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

TEST_CASE("aead: both engines start, and say what they are", "[crypto]") {
    CHECK(engine(EngineKind::ipsec_mb)->description().find("IPsec-MB ") == 0);
    CHECK(engine(EngineKind::openssl)->description().find("OpenSSL 3") == 0);
    CHECK(engine(EngineKind::ipsec_mb)->kind() == EngineKind::ipsec_mb);
    CHECK(engine(EngineKind::openssl)->kind() == EngineKind::openssl);
}

TEST_CASE("aead: every length from 0 to 600 bytes comes out alike from both engines", "[crypto]") {
    test::Random random("aead lengths");
    const auto fast = engine(EngineKind::ipsec_mb);
    const auto other = engine(EngineKind::openssl);
    KeyStore fast_store(prepared_bytes(EngineKind::ipsec_mb));
    KeyStore other_store(prepared_bytes(EngineKind::openssl));
    for (const Suite suite : {Suite::aes_gcm_128, Suite::aes_gcm_256}) {
        for (std::size_t length = 0; length <= 600; ++length) {
            Work work = some_work(random, suite, length);
            const AeadKey fast_key = std::move(*fast->prepare(suite, work.key, fast_store));
            const AeadKey other_key = std::move(*other->prepare(suite, work.key, other_store));
            const Bytes before = work.work;
            aim(work, fast_key);
            fast->seal({&work.job, 1});
            const Bytes sealed = std::exchange(work.work, before);
            aim(work, other_key);
            other->seal({&work.job, 1});
            REQUIRE(work.job.good);
            REQUIRE(work.work == sealed);
        }
    }
}

TEST_CASE("aead: random batches of many keys, in place, sealed by one engine and opened by the other", "[crypto]") {
    test::Random random("aead batches");
    const EngineKind kinds[] = {EngineKind::ipsec_mb, EngineKind::openssl};
    const std::unique_ptr<AeadEngine> engines[] = {engine(kinds[0]), engine(kinds[1])};
    KeyStore stores[] = {KeyStore(prepared_bytes(kinds[0])), KeyStore(prepared_bytes(kinds[1]))};
    for (int round = 0; round < 300; ++round) {
        const std::size_t sealer = random.below(2), opener = 1 - sealer;
        std::vector<Work> works;
        std::vector<AeadKey> keys[2];
        const std::size_t count = 1 + random.below(64);
        for (std::size_t i = 0; i < count; ++i) {
            const Suite suite = random.one_in(2) ? Suite::aes_gcm_128 : Suite::aes_gcm_256;
            works.push_back(some_work(random, suite, 4 + 4 * random.below(380)));
            if (i > 0 && random.one_in(2)) {  // runs of one key, as bursts of one SA are
                works[i].key = works[i - 1].key;
                works[i].job.suite = works[i - 1].job.suite;
            }
            for (const std::size_t side : {0U, 1U})
                keys[side].push_back(
                    std::move(*engines[side]->prepare(works[i].job.suite, works[i].key, stores[side])));
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
