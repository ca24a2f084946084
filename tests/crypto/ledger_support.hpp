// A witness for tests, a directory that goes away, keys and requests.
#pragma once

#include <cstdlib>
#include <filesystem>
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
    Expected<std::optional<std::uint64_t>> epoch_of(const LedgerId& ledger) override {
        if (silent) return Error{ErrorCode::unavailable, "no answer"};
        const auto found = epochs.find(ledger);
        return found == epochs.end() ? std::optional<std::uint64_t>() : found->second;
    }
    Expected<void> record(const LedgerId& ledger, std::uint64_t epoch) override {
        if (silent) return Error{ErrorCode::unavailable, "no answer"};
        std::uint64_t& known = epochs[ledger];
        if (epoch < known) return Error{ErrorCode::invalid, "an epoch that falls"};
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
    std::map<LedgerId, std::uint64_t> epochs;
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

}  // namespace sekisho::test
