// The nonce ledger's thread: numbers for outbound SAs, durable before they are used, without anybody waiting for a
// disk.
//
// The control thread asks and is answered there; the ledger is this thread's alone, which extends every reserve that
// runs low every few milliseconds. It holds on to each SA that has numbers until those are given back, so that no word
// it writes to is gone. What may be asked of manual keys is the node's configuration (--manual-keys); crypto/ledger.hpp
// has the rest.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <variant>
#include <vector>

#include "control/event_loop.hpp"
#include "crypto/ledger.hpp"
#include "crypto/sa.hpp"

namespace sekisho::control {

enum class ManualKeys : std::uint8_t {
    refuse,        // none are taken
    local_ledger,  // on the word of this node's own file
    witness,       // of a ledger that somebody outside the node remembers
};
inline constexpr std::array<std::string_view, 3> kManualKeys = {"refuse", "local_ledger", "witness"};
constexpr std::string_view name_of(ManualKeys keys) noexcept {
    return kManualKeys[static_cast<std::size_t>(keys)];
}

struct LedgerState {
    Expected<void> standing;  // or why manual keys are refused
    Expected<void> renewal;   // or why reserves are not extended now
    crypto::LedgerId id;
    crypto::WallTime birth;
    std::uint64_t epoch = 0;
    std::size_t keys = 0;  // manual keys on record
};

class LedgerThread {
  public:
    using Outbound = std::shared_ptr<crypto::OutboundSa>;
    using Done = std::function<void(Expected<void>)>;  // on the loop's thread
    using Changed = std::function<void(const LedgerState&)>;

    // `witness` is asked on this thread, and outlives it; nullptr unless `manual` is witness. `changed` is told, on the
    // loop's thread, when standing or renewal is another than before.
    LedgerThread(EventLoop& loop, ManualKeys manual, std::string path, crypto::Witness* witness, Changed changed);
    ~LedgerThread();  // what waits is dropped
    LedgerThread(const LedgerThread&) = delete;
    LedgerThread& operator=(const LedgerThread&) = delete;

    struct Asked {
        crypto::NumberRequest request;  // its word is the SA's
        Outbound sa;
    };
    // Numbers for all of these or for none. Errors: those of Ledger::admit(). What waits together is made durable
    // together.
    void admit(std::vector<Asked> asked, Done done);
    // What to give to workers in place of an SA: when the last of them lets it go, its numbers are given back and then
    // it dies, on this thread. Safe when this thread has ended.
    Outbound held(Outbound sa, const crypto::Fingerprint& key);

    // An engineer's act: a new ledger in place of the one that does not stand. Error exists: it stands.
    void make_new(Done done);
    void try_again();  // the witness is there by now, perhaps

    LedgerState state() const;
    ManualKeys manual_keys() const noexcept { return manual_; }

  private:
    using Work = std::function<std::function<void()>(crypto::Ledger& ledger)>;  // here; what it gives, on the loop's
    struct Admission {
        std::vector<Asked> asked;
        Done done;
    };
    using Task = std::variant<Work, Admission>;
    struct Queue {
        std::mutex mutex;
        std::condition_variable changed;
        std::deque<Task> waiting;
        bool stopping = false;

        void submit(Task task);
        // The first task; what follows it too, if all are admissions. Under the lock.
        std::vector<Task> take();
    };

    void run(const std::string& path, crypto::Witness* witness);
    // The tasks die in here, and with them SAs whose numbers were given back; what they answer is for the loop's
    // thread.
    std::vector<std::function<void()>> perform(crypto::Ledger& ledger, std::vector<Task> tasks) const;
    Expected<void> admit_all(crypto::Ledger& ledger, std::span<const Task> admissions) const;
    void note(const crypto::Ledger& ledger, const Expected<void>& renewal);
    void tell(std::function<void()> what);

    EventLoop& loop_;
    const ManualKeys manual_;
    const Changed changed_;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // ends with this object, on the loop's thread
    std::shared_ptr<Queue> queue_ = std::make_shared<Queue>();
    mutable std::mutex state_mutex_;
    LedgerState state_;
    std::thread thread_;
};

}  // namespace sekisho::control
