// Runs the known answers through an engine, and what nobody knows through two.
#include "crypto/self_test.hpp"

#include <algorithm>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "crypto/engines.hpp"
#include "crypto/known_answers.hpp"

namespace sekisho::crypto {

namespace {

using Bytes = std::vector<std::uint8_t>;

Bytes bytes_of(std::string_view hex) {
    const auto digit = [](char c) { return static_cast<std::uint8_t>(c <= '9' ? c - '0' : c - 'a' + 10); };
    Bytes bytes;
    for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
        bytes.push_back(static_cast<std::uint8_t>(digit(hex[i]) << 4 | digit(hex[i + 1])));
    return bytes;
}

struct Case {
    const KnownAnswer* answer;
    AeadKey key;
    Bytes nonce, aad, plain, cipher, tag;
    Bytes work = {};  // the text of the present job, and its tag

    AeadJob job(const Bytes& text, const Bytes& behind) {
        work = text;
        work.insert(work.end(), behind.begin(), behind.end());
        AeadJob job{};
        job.key = key.prepared();
        job.text = work.data();
        job.length = static_cast<std::uint32_t>(text.size());
        job.aad_length = static_cast<std::uint16_t>(aad.size());
        job.suite = answer->suite;
        std::copy(nonce.begin(), nonce.end(), job.nonce.begin());
        std::copy(aad.begin(), aad.end(), job.aad.begin());
        return job;
    }
    bool text_is(const Bytes& text) const { return std::equal(text.begin(), text.end(), work.begin()); }
    bool tag_is_right() const { return std::equal(tag.begin(), tag.end(), work.end() - kIcvLength); }
};

Error wrong(const Case& one, const std::string& what) {
    return {ErrorCode::unavailable, "known answer \"" + std::string(one.answer->name) + "\": " + what};
}

Expected<std::vector<Case>> prepare(AeadEngine& engine, KeyStore& store) {
    std::vector<Case> cases;
    for (const KnownAnswer& answer : kKnownAnswers) {
        auto key = engine.prepare(answer.suite, bytes_of(answer.key), store);
        if (!key) return key.error();
        cases.push_back({&answer, std::move(*key), bytes_of(answer.nonce), bytes_of(answer.aad), bytes_of(answer.plain),
                         bytes_of(answer.cipher), bytes_of(answer.tag)});
    }
    return cases;
}

// The jobs in batches of this many. False: what the engine said of a batch is not what it said of its jobs.
template <class Do>
bool in_batches(std::vector<AeadJob>& jobs, std::size_t size, Do run) {
    bool agrees = true;
    for (std::size_t i = 0; i < jobs.size(); i += size) {
        const std::span some = std::span(jobs).subspan(i, std::min(size, jobs.size() - i));
        const bool all_good = run(some);
        agrees &= all_good == std::all_of(some.begin(), some.end(), [](const AeadJob& job) { return job.good; });
    }
    return agrees;
}

Expected<void> try_all(AeadEngine& engine, std::vector<Case>& cases, std::size_t batch) {
    std::vector<AeadJob> jobs;
    for (Case& one : cases) jobs.push_back(one.job(one.plain, Bytes(kIcvLength)));
    bool agrees = in_batches(jobs, batch, [&](std::span<AeadJob> some) { return engine.seal(some); });
    for (std::size_t i = 0; i < cases.size(); ++i) {
        if (!jobs[i].good) return wrong(cases[i], "was not sealed");
        if (!cases[i].text_is(cases[i].cipher)) return wrong(cases[i], "wrong cipher text");
        if (!cases[i].tag_is_right()) return wrong(cases[i], "wrong tag");
    }
    jobs.clear();
    for (Case& one : cases) jobs.push_back(one.job(one.cipher, one.tag));
    agrees &= in_batches(jobs, batch, [&](std::span<AeadJob> some) { return engine.open(some); });
    for (std::size_t i = 0; i < cases.size(); ++i) {
        if (!jobs[i].good) return wrong(cases[i], "its tag was refused");
        if (!cases[i].text_is(cases[i].plain)) return wrong(cases[i], "wrong plain text");
    }
    // One wrong bit, in another byte of the tag for each case.
    jobs.clear();
    for (std::size_t i = 0; i < cases.size(); ++i) {
        Bytes tag = cases[i].tag;
        tag[i % kIcvLength] ^= 0x10;
        jobs.push_back(cases[i].job(cases[i].cipher, tag));
    }
    agrees &= in_batches(jobs, batch, [&](std::span<AeadJob> some) { return engine.open(some); });
    for (std::size_t i = 0; i < cases.size(); ++i)
        if (jobs[i].good) return wrong(cases[i], "a wrong tag was accepted");
    if (!agrees) return wrong(cases[0], "a batch was said to be good, or not, against what its jobs said");
    return {};
}

}  // namespace

Expected<void> self_test(AeadEngine& engine, KeyStore& store) {
    auto cases = prepare(engine, store);
    if (!cases) return cases.error();
    for (const std::size_t batch : {std::size_t{1}, kKnownAnswers.size()})
        if (auto fine = try_all(engine, *cases, batch); !fine) return fine;
    return {};
}

namespace {

// Bytes that look like chance and are the same every time.
class Stream {
  public:
    void fill(std::span<std::uint8_t> bytes) noexcept {
        for (std::uint8_t& byte : bytes) {
            state_ = state_ * 6364136223846793005ULL + 1442695040888963407ULL;
            byte = static_cast<std::uint8_t>(state_ >> 56);
        }
    }

  private:
    std::uint64_t state_ = 1;
};

struct Sealer {
    explicit Sealer(AeadEngine& which) : engine(which), store(prepared_bytes(which.kind())) {}

    // The job with the key in this engine's form, on bytes of this sealer's own, which are returned.
    Expected<Bytes> seal(AeadJob job, std::span<const std::uint8_t> bytes, const Bytes& text) {
        auto prepared = engine.prepare(job.suite, bytes, store);
        if (!prepared) return prepared.error();
        key = std::move(*prepared);
        Bytes work = text;
        job.key = key.prepared();
        job.text = work.data();
        if (!engine.seal({&job, 1})) return Error{ErrorCode::unavailable, "was not sealed"};
        return work;
    }
    // The same job again; in place.
    bool opens(AeadJob job, Bytes& sealed) {
        job.key = key.prepared();
        job.text = sealed.data();
        engine.open({&job, 1});
        return job.good;
    }

    AeadEngine& engine;
    KeyStore store;
    AeadKey key;
};

}  // namespace

Expected<void> compare(AeadEngine& engine, AeadEngine& other) {
    Sealer ours(engine), theirs(other);
    Stream stream;
    for (const SuiteText& suite : kSuites) {
        for (std::size_t length = 0; length <= kCompared; ++length) {
            const auto differs = [&](const std::string& what) {
                return Error{ErrorCode::unavailable, std::string(suite.name) + ", " + std::to_string(length) +
                                                         " bytes, beside " + other.description() + ": " + what};
            };
            AeadJob job{};
            job.suite = suite.suite;
            job.length = static_cast<std::uint32_t>(length);
            job.aad_length = static_cast<std::uint16_t>(length % (AeadJob::kLongestAad + 1));
            stream.fill(job.nonce);
            stream.fill(job.aad);
            std::array<std::uint8_t, 32> key;
            stream.fill(key);
            const std::span bytes = std::span(key).first(suite.key_length);
            Bytes text(length + kIcvLength);
            stream.fill(text);
            auto sealed = ours.seal(job, bytes, text);
            const auto right = theirs.seal(job, bytes, text);
            if (!sealed) return sealed.error();
            if (!right) return right.error();
            if (*sealed != *right) return differs("sealed to something else");
            if (!ours.opens(job, *sealed)) return differs("does not open");
            if (!std::equal(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(length), sealed->begin()))
                return differs("opened to something else");
            *sealed = *right;
            (*sealed)[length * 131 % sealed->size()] ^= 1;  // somewhere, also in the tag
            if (ours.opens(job, *sealed)) return differs("opens with a wrong bit");
        }
    }
    return {};
}

namespace {

// Beside OpenSSL's; once a process for each version of the code, which workers' engines share.
Expected<void> compare_once(AeadEngine& engine) {
    static std::mutex mutex;
    static std::set<std::string> proven;  // under the mutex; descriptions
    const std::lock_guard lock(mutex);
    if (proven.contains(engine.description())) return {};
    auto other = make_openssl_engine();
    if (!other) return other.error().at("there is nothing to compare it with");
    if (auto alike = compare(engine, **other); !alike) return alike;
    proven.insert(engine.description());
    return {};
}

}  // namespace

Expected<void> prove(AeadEngine& engine) {
    KeyStore store(prepared_bytes(engine.kind()));
    auto proven = self_test(engine, store);
    if (proven && engine.kind() == EngineKind::vaes) proven = compare_once(engine);
    if (!proven) return proven.error().at(engine.description());
    return {};
}

}  // namespace sekisho::crypto
