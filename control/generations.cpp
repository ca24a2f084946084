#include "control/generations.hpp"

#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "control/calendar.hpp"
#include "control/generations_parts.hpp"
#include "control/log.hpp"

namespace sekisho::control {

namespace {

using nlohmann::json;

constexpr std::size_t kMaxTransactions = 32;
constexpr std::chrono::minutes kRetryRecompile{1};

// ", stage 12 ms, compile 4 ms": what took any time.
std::string words_of(const CommitTimes& times) {
    std::string words;
    for (const auto& [name, time] : times.named())
        if (time != CommitTimes::Time(0))
            words += fmt::format(", {} {:.1f} ms", name, static_cast<double>(time.count()) / 1000);
    return words;
}

}  // namespace

Generations::Generations(Parts parts)
    : parts_(std::move(parts)),
      running_(std::make_shared<Generation>()),
      recorder_(parts_.loop, parts_.state, parts_.audit),
      compiler_thread_(parts_.loop),
      compaction_thread_(parts_.loop, "sk-compaction") {}

Generations::~Generations() = default;

Expected<std::unique_ptr<Generations>> Generations::make(Parts parts) {
    std::unique_ptr<Generations> generations(new Generations(std::move(parts)));
    if (auto made = generations->make_timers(); !made) return made.error();
    return generations;
}

Expected<void> Generations::make_timers() {
    const auto make = [this](std::unique_ptr<Timer>& timer, Timer::Clock clock,
                             std::function<void()> call) -> Expected<void> {
        auto made = Timer::make(parts_.loop, clock, std::move(call));
        if (!made) return made.error();
        timer = std::move(*made);
        return {};
    };
    if (auto made = make(next_change_, Timer::Clock::wall, [this] { recompile(); }); !made) return made;
    if (auto made = make(schedule_timer_, Timer::Clock::wall, [this] { look_at_clock(); }); !made) return made;
    // Counted, not read off the clock: a step of that must neither lengthen nor shorten the time to confirm.
    if (auto made = make(confirm_timer_, Timer::Clock::steady,
                         [this] { roll_back_unconfirmed(AuditLog::own_peer(), "not confirmed in time", {}); });
        !made)
        return made;
    return make(next_gate_change_, Timer::Clock::wall, [this] {
        parts_.events.post(EventKind::gate, {{"change", "date"}});
        gates_changed(gates_.has_agreements(), {});
    });
}

Expected<TransactionId> Generations::begin(ClientId client, const Peer& peer, bool replace) {
    for (const auto& [id, open] : transactions_)
        if (open->client == client)
            return Error{ErrorCode::exists,
                         fmt::format("this connection has transaction {} open: commit or abort it", id)};
    if (transactions_.size() >= kMaxTransactions)
        return Error{ErrorCode::limit, fmt::format("{} transactions are open, and no more may be", kMaxTransactions)};
    auto transaction = std::make_shared<Transaction>(staged_bytes_);
    transaction->id = next_id_++;
    transaction->client = client;
    transaction->peer = peer;
    transaction->base = running_;
    if (!replace) transaction->document = running_->document;
    transactions_[transaction->id] = transaction;
    return transaction->id;
}

Expected<std::shared_ptr<Generations::Transaction>> Generations::find(ClientId client, TransactionId id) const {
    const auto found = transactions_.find(id);
    if (found == transactions_.end() || found->second->client != client)
        return Error{ErrorCode::not_found, fmt::format("this connection has no transaction {}", id)};
    if (found->second->committing)
        return Error{ErrorCode::exists, fmt::format("transaction {} is being committed", id)};
    return found->second;
}

void Generations::batch(ClientId client, TransactionId id, json operations, Answer<Staged> answer) {
    auto transaction = find(client, id);
    if (!transaction) return answer(refused(transaction.error()));
    compiler_thread_.submit([this, open = *transaction, operations = std::move(operations),
                             answer = std::move(answer)]() -> CompilerThread::After {
        Stopwatch stopwatch;
        const std::uint64_t held = *staged_bytes_, most = most_staged_bytes_;
        auto staged = apply_batch(open->document, operations, most - std::min(held, most));
        open->staging += stopwatch.lap();
        if (!staged) return [answer, error = staged.error()] { answer(refused(error)); };
        open->bytes += staged->bytes;
        *staged_bytes_ += staged->bytes;
        return [answer, done = *staged] { answer(done); };
    });
}

void Generations::diff(ClientId client, TransactionId id, Answer<Compared> answer) {
    auto transaction = find(client, id);
    if (!transaction) return answer(refused(transaction.error()));
    compiler_thread_.submit([open = *transaction, running = running_, answer = std::move(answer)] {
        auto compared = std::make_shared<Compared>();
        compared->running = running->number;
        compared->diff = control::diff(running->document, open->document);
        return [answer, compared] { answer(std::move(*compared)); };
    });
}

void Generations::rows(RowQuestion question, Answer<TableRows> answer) {
    compiler_thread_.submit([this, question = std::move(question), running = running_, now = clock(),
                             closed = gates_.agreements_in_force(clock()), answer = std::move(answer)] {
        auto rows = std::make_shared<Expected<TableRows>>(
            parts_.rows(*running->policy, running->number, now, closed, question));
        return [answer, rows] {
            if (*rows)
                answer(std::move(**rows));
            else
                answer(refused(rows->error()));
        };
    });
}

Expected<void> Generations::abort(ClientId client, TransactionId id) {
    auto transaction = find(client, id);
    if (!transaction) return transaction.error();
    end(id);
    return {};
}

void Generations::end(TransactionId id) {
    const auto node = transactions_.extract(id);
    // The last copy of a large document is freed where that holds nobody up.
    if (node) compiler_thread_.submit([open = node.mapped()]() -> CompilerThread::After { return {}; });
}

void Generations::client_gone(ClientId client) {
    for (const auto& [id, open] : transactions_) {
        if (open->client != client) continue;
        open->abandoned = true;
        if (!open->committing) end(id);
        return;  // there is one transaction a client
    }
}

void Generations::commit(ClientId client, TransactionId id, CommitOptions options, Answer<Committed> answer) {
    auto transaction = find(client, id);
    if (!transaction) return answer(refused(transaction.error()));
    if (options.at && *options.at <= clock())
        return answer(refused({ErrorCode::invalid, fmt::format("{} is not in the future: it is {}",
                                                               time_text(*options.at), time_text(clock()))}));
    (*transaction)->committing = true;
    const Peer& peer = (*transaction)->peer;
    const auto source = [open = *transaction,
                         signature = options.signature](const Generation&) -> Expected<Commit::Source> {
        return Commit::Source{open->document, signature};
    };
    GenerationRecord about = made_by(peer, "commit");
    about.label = options.label;
    submit(std::make_shared<Commit>(
        Commit{source, std::move(options), std::move(about), peer, std::move(answer), *transaction}));
}

void Generations::submit(const std::shared_ptr<Commit>& commit, bool first) {
    if (first)
        waiting_.push_front(commit);
    else
        waiting_.push_back(commit);
    next_commit();
}

// What stands in the way of a commit whose turn it is.
std::optional<Refused> Generations::obstacle(const Commit& commit) const {
    if (commit.transaction && commit.transaction->base->number != running_->number) {
        const std::uint64_t base = commit.transaction->base->number;
        Refused conflict =
            refused({ErrorCode::exists, fmt::format("the transaction began on generation {}, and generation {} runs by "
                                                    "now: begin again",
                                                    base, running_->number)});
        conflict.conflict = Refused::Conflict{base, running_->number};
        return conflict;
    }
    if (commit.options.dry_run) return std::nullopt;
    if (commit.must_happen() && !unconfirmed_)
        return refused({ErrorCode::not_found, "no generation waits to be confirmed any more"});
    const bool ends_waiting = commit.about.what == "rollback" && !commit.options.confirm;
    if (unconfirmed_ && !ends_waiting)
        return refused({ErrorCode::exists, fmt::format("generation {} waits until {} to be confirmed: confirm it or "
                                                       "roll it back first",
                                                       running_->number, time_text(unconfirmed_->by))});
    if (commit.options.confirm && running_->number == 0)
        return refused({ErrorCode::invalid, "nothing runs yet that an unconfirmed generation could go back to"});
    return std::nullopt;
}

// The refusal of a commit that did not get as far as the compiler.
void Generations::answer(Commit& commit, Refused no) {
    if (commit.transaction) {
        commit.transaction->committing = false;
        if (no.conflict || commit.transaction->abandoned) end(commit.transaction->id);
    }
    if (commit.answer) commit.answer(std::move(no));
}

void Generations::next_commit() {
    if (busy_) return;
    if (std::exchange(recompile_due_, false)) return recompile();
    while (!waiting_.empty()) {
        const std::shared_ptr<Commit> commit = std::move(waiting_.front());
        waiting_.pop_front();
        if (auto no = obstacle(*commit)) {
            answer(*commit, std::move(*no));
            continue;
        }
        busy_ = true;
        commit->base = running_;
        commit->about.number = highest_ + 1;
        compiler_thread_.submit([this, commit, closed = gates_.agreements_in_force(clock()), schedule = schedule_] {
            auto prepared = std::make_shared<Outcome<Prepared>>(prepare_durably(*commit, closed, schedule));
            return [this, commit, prepared] { finish(commit, prepared); };
        });
        return;
    }
}

void Generations::finish(const std::shared_ptr<Commit>& commit, const std::shared_ptr<Outcome<Prepared>>& outcome) {
    busy_ = false;
    if (commit->transaction) commit->transaction->committing = false;
    if (auto* no = std::get_if<Refused>(outcome.get())) {
        if (commit->answer) commit->answer(std::move(*no));
    } else {
        committed(*commit, std::get<Prepared>(*outcome));
    }
    if (commit->transaction && commit->transaction->abandoned) end(commit->transaction->id);
    compiler_thread_.submit([commit, outcome]() -> CompilerThread::After { return {}; });  // freed there
    next_commit();
}

// It is prepared, and if it changes anything, recorded and saved: now it takes effect.
void Generations::committed(Commit& commit, Prepared& prepared) {
    const CommitOptions& options = commit.options;
    const bool changes = !prepared.diff.empty();
    const bool takes_effect = changes && !options.dry_run && !options.at;
    Committed result;
    result.base = running_->number;
    result.generation = changes && !options.at ? prepared.generation->number : running_->number;
    result.dry_run = options.dry_run;
    result.diff = std::move(prepared.diff);
    result.warnings = std::move(prepared.warnings);
    result.report = prepared.generation->report;
    result.times = prepared.generation->times;
    result.hash = prepared.generation->hash;
    if (!options.dry_run) {
        if (commit.transaction) end(commit.transaction->id);
        if (commit.scheduled) schedule_.erase(commit.scheduled->id);
        if (commit.waits) {
            result.scheduled = commit.waits->id;
            schedule_[commit.waits->id] = commit.waits;
            next_scheduled_ = commit.waits->id + 1;
            parts_.events.post(
                EventKind::schedule,
                {{"change", "staged"}, {"id", commit.waits->id}, {"effective_at", time_text(commit.waits->at)}});
        }
        set_schedule_timer();
    }
    if (takes_effect) {
        const std::shared_ptr<const Generation> before = running_;
        highest_ = prepared.generation->number;
        kept_ = std::move(commit.kept);
        run(prepared.generation, std::move(prepared.tables));
        if (options.confirm) {
            unconfirmed_ = {before, clock() + *options.confirm, std::chrono::steady_clock::now() + *options.confirm};
            result.confirm_by = unconfirmed_->by;
            confirm_timer_->set(*options.confirm);
            parts_.events.post(
                EventKind::confirm,
                {{"change", "waiting"}, {"generation", running_->number}, {"confirm_by", time_text(unconfirmed_->by)}});
        } else if (unconfirmed_) {
            parts_.events.post(EventKind::confirm,
                               {{"change", "rolled_back"}, {"generation", before->number}, {"reason", commit.reason}});
            settled();
        }
    }
    if (!changes && !options.dry_run && !options.at && !options.label.empty() && running_->label != options.label) {
        auto renamed = std::make_shared<Generation>(*running_);
        renamed->label = options.label;
        running_ = std::move(renamed);
    }
    if (commit.answer) commit.answer(std::move(result));
}

void Generations::recompile() {
    if (busy_) {
        recompile_due_ = true;
        return;
    }
    busy_ = true;
    const WallTime now = clock();
    // A date of the policy has its line; what a gate by hand caused has the gate's.
    const bool is_date = running_->report.next_change && *running_->report.next_change <= now;
    compiler_thread_.submit([this, base = running_, now, is_date, closed = gates_.agreements_in_force(now),
                             then = std::exchange(after_recompile_, {})] {
        auto compiled = std::make_shared<Expected<Compiled>>(parts_.compile(*base->policy, base->number, now, closed));
        // Recorded as well as can be: what a date ends must end, also when the disk is full.
        if (is_date)
            if (auto recorded = parts_.audit.append("date", {{"generation", base->number}}, AuditLog::own_peer());
                !recorded)
                log(LogLevel::error, recorded.error().words);
        return [this, base, compiled, now, is_date, then] {
            busy_ = false;
            if (*compiled) {
                auto again = std::make_shared<Generation>(*base);
                again->compiled = time_text(now);
                again->report = (*compiled)->report;
                again->times = {};
                again->times.compile = again->report.time;
                again->gates = (*compiled)->gates;
                if (is_date) parts_.events.post(EventKind::date, {{"generation", base->number}});
                run(std::move(again), std::move((*compiled)->tables));
            } else {
                log(LogLevel::error,
                    fmt::format("a date of generation {} has come, and it could not be compiled again, "
                                "next try in a minute: {}",
                                base->number, compiled->error().words));
                next_change_->set_at(clock() + kRetryRecompile);
            }
            for (const auto& call : then) call();
            next_commit();
        };
    });
}

void Generations::run(std::shared_ptr<const Generation> generation, std::unique_ptr<dataplane::Tables> tables) {
    // The gates by hand as they are now, whatever they were when this was compiled.
    fold_gates(*generation->gates, gates_.in_force(clock()), *tables);
    tables_ = tables.get();
    if (parts_.settle) parts_.settle(*generation, *tables);
    tables_generation_ = generation->number;
    parts_.publish(std::move(tables));
    log(LogLevel::info, fmt::format("generation {} runs{}", generation->number, words_of(generation->times)));
    if (generation->report.next_change)
        next_change_->set_at(*generation->report.next_change);
    else
        next_change_->clear();
    std::swap(running_, generation);
    if (running_->number != generation->number)
        parts_.events.post(EventKind::generation, {{"generation", running_->number}, {"before", generation->number}});
    compiler_thread_.submit([old = std::move(generation)]() -> CompilerThread::After { return {}; });
}

}  // namespace sekisho::control
