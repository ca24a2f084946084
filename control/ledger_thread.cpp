// Work for the ledger in the order given, and its renewal in between.
#include "control/ledger_thread.hpp"

#include <algorithm>
#include <chrono>
#include <exception>
#include <optional>
#include <pthread.h>
#include <utility>

namespace sekisho::control {

namespace {

constexpr std::chrono::milliseconds kRenewal{5};
constexpr std::chrono::milliseconds kRest{500};  // while there is nothing to renew

crypto::WallTime wall_now() {
    return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
}

bool same(const Expected<void>& a, const Expected<void>& b) {
    return a ? static_cast<bool>(b) : !b && a.error().words == b.error().words;
}

crypto::LedgerOptions options_for(ManualKeys manual, const std::string& path, crypto::Witness* witness) {
    crypto::LedgerOptions options;
    options.path = path;
    options.witness = witness;
    options.local_ledger = manual == ManualKeys::local_ledger;
    return options;
}

}  // namespace

void LedgerThread::Queue::submit(Work work) {
    {
        const std::lock_guard lock(mutex);
        if (stopping) return;
        waiting.push_back(std::move(work));
    }
    changed.notify_one();
}

LedgerThread::LedgerThread(EventLoop& loop, ManualKeys manual, std::string path, crypto::Witness* witness,
                           Changed changed)
    : loop_(loop), manual_(manual), changed_(std::move(changed)) {
    state_.standing = Error{ErrorCode::unavailable, "the ledger is being opened"};
    thread_ = std::thread([this, path = std::move(path), witness] { run(path, witness); });
    ::pthread_setname_np(thread_.native_handle(), "sk-ledger");
}

LedgerThread::~LedgerThread() {
    std::deque<Work> dropped;
    {
        const std::lock_guard lock(queue_->mutex);
        queue_->stopping = true;
        dropped.swap(queue_->waiting);
    }
    queue_->changed.notify_one();
    thread_.join();
}

void LedgerThread::tell(std::function<void()> what) {
    if (!what) return;
    loop_.post([alive = std::weak_ptr(alive_), what = std::move(what)] {
        if (!alive.expired()) what();
    });
}

void LedgerThread::note(const crypto::Ledger& ledger, const Expected<void>& renewal) {
    LedgerState state{ledger.standing(),       renewal,
                      ledger.contents().id,    ledger.contents().birth,
                      ledger.contents().epoch, ledger.contents().ends.size()};
    if (manual_ == ManualKeys::refuse)
        state.standing = Error{ErrorCode::permission, "this node's configuration takes no manual keys (--manual-keys)"};
    bool news = false;
    {
        const std::lock_guard lock(state_mutex_);
        news = !same(state.standing, state_.standing) || !same(state.renewal, state_.renewal);
        state_ = state;
    }
    if (news && changed_) tell([this, state = std::move(state)] { changed_(state); });
}

LedgerState LedgerThread::state() const {
    const std::lock_guard lock(state_mutex_);
    return state_;
}

void LedgerThread::run(const std::string& path, crypto::Witness* witness) {
    const auto ledger = crypto::Ledger::open(options_for(manual_, path, witness));
    Expected<void> renewal;
    note(*ledger, renewal);
    auto due = std::chrono::steady_clock::now();
    for (;;) {
        Work work;
        {
            std::unique_lock lock(queue_->mutex);
            queue_->changed.wait_until(lock, due, [this] { return queue_->stopping || !queue_->waiting.empty(); });
            if (queue_->stopping) return;
            if (!queue_->waiting.empty()) {
                work = std::move(queue_->waiting.front());
                queue_->waiting.pop_front();
            }
        }
        if (work) {
            std::function<void()> after = work(*ledger);
            work = nullptr;  // and with it an SA whose numbers were given back
            note(*ledger, renewal);
            tell(std::move(after));
        }
        // However many ask: reserves are extended in time.
        if (const auto now = std::chrono::steady_clock::now(); now >= due) {
            if (ledger->standing()) renewal = ledger->renew(now);
            note(*ledger, renewal);
            due = now + kRest;
        }
        if (ledger->manual_keys_in_use() != 0) due = std::min(due, std::chrono::steady_clock::now() + kRenewal);
    }
}

void LedgerThread::admit(std::vector<Asked> asked, Done done) {
    queue_->submit([manual = manual_, asked = std::move(asked), done = std::move(done)](crypto::Ledger& ledger) {
        std::vector<crypto::NumberRequest> requests;
        Expected<void> outcome;
        for (const Asked& each : asked) {
            if (each.request.origin == crypto::KeyOrigin::manual && manual == ManualKeys::refuse)
                outcome = Error{ErrorCode::permission, "this node takes no manual keys (--manual-keys)"};
            requests.push_back(each.request);
        }
        try {
            if (outcome) outcome = ledger.admit(requests, wall_now(), std::chrono::steady_clock::now());
        } catch (const std::exception& fault) {
            outcome = Error{ErrorCode::unavailable, std::string("the ledger: ") + fault.what()};
        }
        return [done, outcome] { done(outcome); };
    });
}

LedgerThread::Outbound LedgerThread::held(Outbound sa, const crypto::Fingerprint& key) {
    crypto::OutboundSa* const bare = sa.get();
    return {bare, [queue = std::weak_ptr(queue_), sa = std::move(sa), key](crypto::OutboundSa*) mutable {
                const auto open = queue.lock();
                if (open == nullptr) return;  // the ledger has ended: it writes to no SA any more
                open->submit([sa = std::move(sa), key](crypto::Ledger& ledger) -> std::function<void()> {
                    ledger.release(key);
                    return {};
                });
            }};
}

void LedgerThread::make_new(Done done) {
    queue_->submit([this, done = std::move(done)](crypto::Ledger& ledger) {
        Expected<void> outcome;
        if (manual_ == ManualKeys::refuse)
            outcome =
                Error{ErrorCode::permission, "this node takes no manual keys, and needs no ledger (--manual-keys)"};
        else if (ledger.standing())
            outcome = Error{ErrorCode::exists, "the ledger " + ledger.contents().id.text() +
                                                   " stands: a new one would forget what its keys have used"};
        else
            outcome = crypto::Ledger::make(ledger.options(), wall_now());
        if (outcome) ledger.try_again();
        if (outcome && !ledger.standing()) outcome = ledger.standing();
        return [done, outcome] { done(outcome); };
    });
}

void LedgerThread::try_again() {
    queue_->submit([](crypto::Ledger& ledger) -> std::function<void()> {
        ledger.try_again();
        return {};
    });
}

}  // namespace sekisho::control
