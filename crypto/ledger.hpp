// The nonce ledger: no key's sequence number is given out twice, not after a crash, a restart, or an old copy put back.
//
// For every manual key a reserve of numbers is written down, durably and seen by the witness, before any of it may be
// used; after a restart a key starts behind what was reserved, used or not. Workers take from the reserve and never
// wait: one that is spent drops nonce_reserve_exhausted. Many SAs share one commit. Reserves follow the rate, and stay
// far below 2^32, for after a restart the peer must infer ESN over the gap.
//
// Manual keys are refused when the ledger is missing, damaged, a copy, or not the one that the witness knows, until an
// engineer makes a new one (make()) and pushes new keys. Keys that IKE makes need no file, for they are new at every
// start; that one is not given twice since is watched in memory. One thread calls all of this.
#pragma once

#include <chrono>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>

#include "crypto/ledger_file.hpp"
#include "crypto/sequence.hpp"
#include "crypto/witness.hpp"

namespace sekisho::crypto {

enum class KeyOrigin : std::uint8_t { ike, manual };

// An outbound SA that asks for numbers.
struct NumberRequest {
    Fingerprint key;
    KeyOrigin origin = KeyOrigin::manual;
    WallTime created;              // of a manual key: when it was made, by its maker
    std::uint64_t last = 0;        // the SA's last sequence number
    SequenceWord* word = nullptr;  // must live until release(), and no worker may use it any more then
};

struct LedgerOptions {
    std::string path;
    Witness* witness = nullptr;  // outlives the ledger
    // Without a witness: manual keys on the word of the local file alone, which cannot know that the whole machine was
    // put back to an earlier day.
    bool local_ledger = false;
    std::uint64_t smallest_reserve = std::uint64_t{1} << 18;
    std::uint64_t largest_reserve = std::uint64_t{1} << 30;
    std::chrono::milliseconds horizon{4000};  // a reserve lasts this long at the rate of late
};

class Ledger {
  public:
    using Instant = std::chrono::steady_clock::time_point;

    // Makes a new, empty ledger, in place of any that is there: an engineer's explicit and audited act. Manual keys
    // must be made after `now` then. Errors: unavailable (the file, the witness, another process has it).
    static Expected<void> make(const LedgerOptions& options, WallTime now);

    // Never fails: standing() says whether manual keys may be used. IKE's may in any case.
    static std::unique_ptr<Ledger> open(const LedgerOptions& options);

    // Asks again whether manual keys may be used, when they may not: the witness may be there by now, or a new ledger.
    // IKE's keys stay as they are.
    void try_again();

    // Nothing, or why manual keys are refused, in words for an engineer.
    const Expected<void>& standing() const noexcept { return standing_; }
    std::size_t manual_keys_in_use() const noexcept { return live_.size(); }
    const LedgerOptions& options() const noexcept { return options_; }
    const LedgerContents& contents() const noexcept { return contents_; }

    // Gives numbers to all of these or to none, with one commit. Errors: permission (standing(); a key made before the
    // ledger, or after `now`), exists (a key that is in use, or that IKE gave before, or of another node), limit (a key
    // whose numbers are used up), unavailable (disk, witness). The words name the fingerprint, never the key.
    Expected<void> admit(std::span<const NumberRequest> requests, WallTime now, Instant instant);

    // The SA is gone, and no worker can take from its word any more.
    void release(const Fingerprint& key);

    // Extends every reserve that runs low, with one commit; call it every few milliseconds. On an error nothing was
    // extended; what was reserved may be used up, and the next call tries again.
    Expected<void> renew(Instant instant);

  private:
    struct Live {
        SequenceWord* word;
        std::uint64_t last;
        std::uint64_t seen_next;  // at seen_at, for the rate
        Instant seen_at;
    };
    static constexpr std::size_t kRemembered = 1 << 18;       // keys of IKE's that are gone
    static constexpr std::uint64_t kCompactAt = 64ULL << 20;  // bytes of file

    explicit Ledger(LedgerOptions options) : options_(std::move(options)) {}
    Expected<void> start();
    Expected<void> check_witness();
    Expected<void> check(const NumberRequest& request, WallTime now) const;
    Expected<void> settle();
    Expected<void> commit(std::span<const Reservation> reservations);
    std::uint64_t wanted_reserve(const Live& live, Instant instant) const;

    LedgerOptions options_;
    Expected<void> standing_;
    std::unique_ptr<LedgerFile> file_;
    LedgerContents contents_;  // what the file says
    bool witnessed_ = true;    // the witness has contents_.epoch; else it is asked again before the next commit
    std::map<Fingerprint, Live> live_;  // manual keys in use
    std::set<Fingerprint> ike_;         // IKE's keys in use
    std::set<Fingerprint> remembered_;  // IKE's keys that are gone: never again
    std::deque<Fingerprint> oldest_;    // of remembered_, in order
};

}  // namespace sekisho::crypto
