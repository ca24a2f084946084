// A witness for tests, a directory that goes away, a node that survives its restarts, keys and requests.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "crypto/ledger.hpp"

namespace sekisho::test {

using namespace sekisho::crypto;
using namespace std::chrono_literals;

// Under $TMPDIR; removed with its contents.
class Directory {
  public:
    Directory() {
        const char* const base = std::getenv("TMPDIR");
        path_ = std::string(base != nullptr ? base : "/tmp") + "/sk-ledger-XXXXXX";
        if (mkdtemp(path_.data()) == nullptr) std::abort();
    }
    ~Directory() { std::filesystem::remove_all(path_); }
    Directory(const Directory&) = delete;
    Directory& operator=(const Directory&) = delete;
    std::string file(const std::string& name) const { return path_ + "/" + name; }

  private:
    std::string path_;
};

class MemoryWitness : public Witness {
  public:
    Expected<std::optional<LedgerEpoch>> epoch_of(const LedgerId& ledger) override {
        if (silent) return Error{ErrorCode::unavailable, "no answer"};
        const auto found = epochs.find(ledger);
        return found == epochs.end() ? std::optional<LedgerEpoch>() : found->second;
    }
    Expected<void> record(const LedgerId& ledger, const LedgerEpoch& epoch) override {
        if (silent) return Error{ErrorCode::unavailable, "no answer"};
        LedgerEpoch& known = epochs[ledger];
        if (epoch.number < known.number) return Error{ErrorCode::invalid, "an epoch that falls"};
        if (epoch.number == known.number && epoch != known) return Error{ErrorCode::invalid, "an epoch of a clone"};
        known = epoch;
        return {};
    }
    Expected<void> claim(const LedgerId& ledger, std::span<const Fingerprint> keys) override {
        if (silent) return Error{ErrorCode::unavailable, "no answer"};
        for (const Fingerprint& key : keys)
            if (const auto found = owners.find(key); found != owners.end() && found->second != ledger)
                return Error{ErrorCode::exists, "key " + key.text() + " is another node's"};
        for (const Fingerprint& key : keys) owners[key] = ledger;
        return {};
    }

    bool silent = false;
    std::map<LedgerId, LedgerEpoch> epochs;
    std::map<Fingerprint, LedgerId> owners;
};

inline const WallTime kBirth{std::chrono::seconds(1'800'000'000)};
inline const WallTime kNow = kBirth + 1h;

inline Fingerprint key_named(std::uint8_t name) {
    return fingerprint_of(Suite::aes_gcm_128, Secret(std::vector<std::uint8_t>(20, name)));
}

inline NumberRequest manual(std::uint8_t name, SequenceWord& word, std::uint64_t last = kLastExtendedSequence) {
    return {key_named(name), KeyOrigin::manual, kBirth + 1min, last, &word};
}

// A node: a directory and a witness that survive its restarts.
struct Node {
    Node() {
        options.path = directory.file("ledger");
        options.witness = &witness;
        options.smallest_reserve = 100;
    }
    void make() {
        const auto made = Ledger::make(options, kBirth);
        INFO((made ? std::string() : made.error().words));
        REQUIRE(made);
    }
    std::unique_ptr<Ledger> start() { return Ledger::open(options); }
    std::unique_ptr<Ledger> sound() {
        auto ledger = start();
        INFO((ledger->standing() ? std::string() : ledger->standing().error().words));
        REQUIRE(ledger->standing());
        return ledger;
    }
    std::string refusal() {
        const auto ledger = start();
        REQUIRE_FALSE(ledger->standing());
        // Whatever the reason: manual keys are refused by it, IKE's are not.
        SequenceWord word;
        const auto refused = admit(*ledger, manual(1, word));
        REQUIRE_FALSE(refused);
        CHECK(refused.error().code == ErrorCode::permission);
        CHECK(word.take(1).count == 0);
        NumberRequest ike = manual(2, word);
        ike.origin = KeyOrigin::ike;
        CHECK(admit(*ledger, ike));
        CHECK(word.take(1).first == 1);
        return ledger->standing().error().words;
    }
    Expected<void> admit(Ledger& ledger, const NumberRequest& request) {
        return ledger.admit({&request, 1}, kNow, Ledger::Instant());
    }
    std::string contents() const {
        std::ifstream file(options.path, std::ios::binary);
        return {std::istreambuf_iterator<char>(file), {}};
    }
    void overwrite(const std::string& bytes) const {
        std::fstream file(options.path, std::ios::binary | std::ios::in | std::ios::out);
        file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
        file.close();
        std::filesystem::resize_file(options.path, bytes.size());
    }

    Directory directory;
    MemoryWitness witness;
    LedgerOptions options;
};

inline std::uint64_t drain(SequenceWord& word) {
    std::uint64_t count = 0;
    while (const auto range = word.take(7).count) count += range;
    return count;
}

inline bool says(const std::string& words, const std::string& part) {
    INFO(words);
    CHECK(words.find(part) != std::string::npos);
    return words.find(part) != std::string::npos;
}

}  // namespace sekisho::test
