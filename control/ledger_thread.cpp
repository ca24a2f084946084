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
constexpr std::size_t kTogether = 256;           // admissions that one commit is for, and how many keys they may have
constexpr std::size_t kKeysTogether = 8192;

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

void LedgerThread::Queue::submit(Task task) {
    {
        const std::lock_guard lock(mutex);
        if (stopping) return;
        waiting.push_back(std::move(task));
    }
    changed.notify_one();
}

std::vector<LedgerThread::Task> LedgerThread::Queue::take() {
    std::vector<Task> taken;
    std::size_t keys = 0;
    while (!waiting.empty() && taken.size() < kTogether) {
        const auto* const admission = std::get_if<Admission>(&waiting.front());
        if (!taken.empty() && (admission == nullptr || keys + admission->asked.size() > kKeysTogether)) break;
        if (admission != nullptr) keys += admission->asked.size();
        taken.push_back(std::move(waiting.front()));
        waiting.pop_front();
        if (std::holds_alternative<Work>(taken.back())) break;
    }
    return taken;
}

LedgerThread::LedgerThread(EventLoop& loop, ManualKeys manual, std::string path, crypto::Witness* witness,
                           Changed changed)
    : loop_(loop), manual_(manual), changed_(std::move(changed)) {
    state_.standing = Error{ErrorCode::unavailable, "the ledger is being opened"};
    thread_ = std::thread([this, path = std::move(path), witness] { run(path, witness); });
    ::pthread_setname_np(thread_.native_handle(), "sk-ledger");
}

LedgerThread::~LedgerThread() {
    std::deque<Task> dropped;
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
    LedgerState state{ledger.standing(),
                      renewal,
                      ledger.contents().id,
                      ledger.contents().birth,
                      ledger.contents().epoch.number,
                      ledger.contents().ends.size()};
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
        std::vector<Task> tasks;
        {
            std::unique_lock lock(queue_->mutex);
            queue_->changed.wait_until(lock, due, [this] { return queue_->stopping || !queue_->waiting.empty(); });
            if (queue_->stopping) return;
            tasks = queue_->take();
        }
        if (!tasks.empty()) {
            auto answers = perform(*ledger, std::move(tasks));
            note(*ledger, renewal);  // first: whoever is answered may ask for the state
            for (std::function<void()>& answer : answers) tell(std::move(answer));
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

// Of what was refused together, each has its own try: one that cannot be must not stop the others. Not when the disk or
// the witness did not answer.
std::vector<std::function<void()>> LedgerThread::perform(crypto::Ledger& ledger, std::vector<Task> tasks) const {
    if (auto* const work = std::get_if<Work>(&tasks.front())) return {(*work)(ledger)};
    std::vector<std::function<void()>> answers;
    const Expected<void> together = admit_all(ledger, tasks);
    const bool same_for_all = together || tasks.size() == 1 || together.error().code == ErrorCode::unavailable;
    for (const Task& task : tasks) {
        const Expected<void> outcome = same_for_all ? together : admit_all(ledger, {&task, 1});
        answers.push_back([done = std::get<Admission>(task).done, outcome] { done(outcome); });
    }
    return answers;
}

Expected<void> LedgerThread::admit_all(crypto::Ledger& ledger, std::span<const Task> admissions) const {
    std::vector<crypto::NumberRequest> requests;
    for (const Task& task : admissions)
        for (const Asked& each : std::get<Admission>(task).asked) {
            if (each.request.origin == crypto::KeyOrigin::manual && manual_ == ManualKeys::refuse)
                return Error{ErrorCode::permission, "this node takes no manual keys (--manual-keys)"};
            requests.push_back(each.request);
        }
    try {
        return ledger.admit(requests, wall_now(), std::chrono::steady_clock::now());
    } catch (const std::exception& fault) {
        return Error{ErrorCode::unavailable, std::string("the ledger: ") + fault.what()};
    }
}

void LedgerThread::admit(std::vector<Asked> asked, Done done) {
    queue_->submit(Admission{std::move(asked), std::move(done)});
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
