#include "control/generations.hpp"

#include <exception>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "control/calendar.hpp"
#include "control/log.hpp"

namespace sekisho::control {

namespace {

using nlohmann::json;

constexpr std::size_t kMaxTransactions = 32;
constexpr std::chrono::minutes kRetryRecompile{1};

Refused refused(Error error) {
    return {std::move(error), {}, {}};
}

}  // namespace

struct Generations::Transaction {
    TransactionId id = 0;
    ClientId client = 0;
    Peer peer;
    std::shared_ptr<const Generation> base;
    bool committing = false;  // control thread's, as is the next
    bool abandoned = false;   // its client has gone
    Document document;        // compiler thread's, once begun
};

struct Generations::Commit {
    std::shared_ptr<Transaction> transaction;
    bool dry_run = false;
    std::string label;
    Answer<Committed> answer;
};

Generations::Generations(Parts parts)
    : parts_(std::move(parts)),
      running_(std::make_shared<Generation>()),
      recorder_(parts_.loop, parts_.state, parts_.audit),
      compiler_thread_(parts_.loop) {}

Generations::~Generations() = default;

Expected<std::unique_ptr<Generations>> Generations::make(Parts parts) {
    std::unique_ptr<Generations> generations(new Generations(std::move(parts)));
    auto timer =
        Timer::make(generations->parts_.loop, Timer::Clock::wall, [self = generations.get()] { self->recompile(); });
    if (!timer) return timer.error();
    generations->next_change_ = std::move(*timer);
    auto gate_timer = Timer::make(generations->parts_.loop, Timer::Clock::wall, [self = generations.get()] {
        self->parts_.events.post(EventKind::gate, {{"change", "date"}});
        self->gates_changed(self->gates_.has_agreements(), {});
    });
    if (!gate_timer) return gate_timer.error();
    generations->next_gate_change_ = std::move(*gate_timer);
    return generations;
}

Expected<void> Generations::start(std::optional<Document> initial, bool replace) {
    const WallTime now = std::chrono::system_clock::now();
    if (auto loaded = load_gates(); !loaded) return loaded;
    const NamesByHand closed = gates_.agreements_in_force(now);
    auto saved = parts_.state.load();
    if (!saved && !(replace && initial)) return saved.error();
    const bool has_saved = saved.has_value() && saved->has_value();

    if (has_saved && !(replace && initial)) {
        auto document = Document::parse((*saved)->document);
        if (!document) return document.error().at("state file " + parts_.state.file());
        auto outcome = prepare(*document, *running_, (*saved)->generation, parts_.compile, now, closed);
        if (auto* no = std::get_if<Refused>(&outcome))
            return no->error.at(fmt::format("generation {} of {}", (*saved)->generation, parts_.state.file()));
        Prepared& prepared = std::get<Prepared>(outcome);
        auto restored = std::make_shared<Generation>(*prepared.generation);
        restored->committed = (*saved)->committed;
        restored->label = (*saved)->label;
        if (auto recorded = parts_.audit.append("restore", {{"generation", restored->number}}, AuditLog::own_peer());
            !recorded)
            return recorded;
        run(std::move(restored), std::move(prepared.tables));
        return {};
    }
    if (initial) {
        auto outcome =
            prepare(*initial, *running_, has_saved ? (*saved)->generation + 1 : 1, parts_.compile, now, closed);
        if (auto* no = std::get_if<Refused>(&outcome)) return no->error;
        Prepared& prepared = std::get<Prepared>(outcome);
        const Generation& generation = *prepared.generation;
        if (auto recorded = parts_.audit.append(
                "initial", {{"generation", generation.number}, {"rules_version", generation.policy->rules_version}},
                AuditLog::own_peer());
            !recorded)
            return recorded;
        if (auto kept = parts_.state.save({generation.number, generation.committed, generation.document.text(), {}});
            !kept)
            return kept;
        run(prepared.generation, std::move(prepared.tables));
        return {};
    }
    // Nothing is known: nothing passes.
    auto compiled = parts_.compile(*running_->policy, 0, now, closed);
    if (!compiled) return compiled.error().at("the empty policy");
    auto empty = std::make_shared<Generation>(*running_);
    empty->gates = compiled->gates;
    empty->compiled = time_text(now);
    empty->report = compiled->report;
    run(std::move(empty), std::move(compiled->tables));
    return {};
}

Expected<TransactionId> Generations::begin(ClientId client, const Peer& peer, bool replace) {
    for (const auto& [id, open] : transactions_)
        if (open->client == client)
            return Error{ErrorCode::exists,
                         fmt::format("this connection has transaction {} open: commit or abort it", id)};
    if (transactions_.size() >= kMaxTransactions)
        return Error{ErrorCode::limit, fmt::format("{} transactions are open, and no more may be", kMaxTransactions)};
    auto transaction = std::make_shared<Transaction>();
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
    compiler_thread_.submit([open = *transaction, operations = std::move(operations),
                             answer = std::move(answer)]() -> CompilerThread::After {
        auto staged = apply_batch(open->document, operations);
        if (!staged) return [answer, error = staged.error()] { answer(refused(error)); };
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

void Generations::commit(ClientId client, TransactionId id, bool dry_run, std::string label, Answer<Committed> answer) {
    auto transaction = find(client, id);
    if (!transaction) return answer(refused(transaction.error()));
    (*transaction)->committing = true;
    waiting_.push_back(
        std::make_shared<Commit>(Commit{std::move(*transaction), dry_run, std::move(label), std::move(answer)}));
    next_commit();
}

void Generations::next_commit() {
    if (busy_) return;
    if (std::exchange(recompile_due_, false)) return recompile();
    while (!waiting_.empty()) {
        const std::shared_ptr<Commit> commit = std::move(waiting_.front());
        waiting_.pop_front();
        const Generation& base = *commit->transaction->base;
        if (base.number != running_->number) {
            end(commit->transaction->id);
            Refused conflict =
                refused({ErrorCode::exists,
                         fmt::format("the transaction began on generation {}, and generation {} runs by now: "
                                     "begin again",
                                     base.number, running_->number)});
            conflict.conflict = Refused::Conflict{base.number, running_->number};
            commit->answer(std::move(conflict));
            continue;
        }
        busy_ = true;
        compiler_thread_.submit([this, commit, closed = gates_.agreements_in_force(std::chrono::system_clock::now())] {
            auto prepared = std::make_shared<Outcome<Prepared>>(prepare_durably(*commit, closed));
            return [this, commit, prepared] { finish(commit, prepared); };
        });
        return;
    }
}

// Compiler thread. The order is what safety hangs on: compiled, then recorded, then saved; only then may it take
// effect.
Outcome<Prepared> Generations::prepare_durably(const Commit& commit, const NamesByHand& closed_agreements) {
    const Transaction& transaction = *commit.transaction;
    const std::uint64_t base = transaction.base->number;
    try {
        auto outcome = prepare(transaction.document, *transaction.base, base + 1, parts_.compile,
                               std::chrono::system_clock::now(), closed_agreements);
        if (commit.dry_run) {
            if (auto* prepared = std::get_if<Prepared>(&outcome)) prepared->tables.reset();
            return outcome;
        }
        json record = {{"generation", base + 1}, {"transaction", transaction.id}};
        const auto record_refusal = [&](const Error& error) {
            record["error"] = error.words;
            if (auto recorded = parts_.audit.append("refused", record, transaction.peer); !recorded)
                log(LogLevel::error, recorded.error().words);
        };
        if (auto* no = std::get_if<Refused>(&outcome)) {
            record_refusal(no->error);
            return outcome;
        }
        Prepared& prepared = std::get<Prepared>(outcome);
        if (prepared.diff.empty()) return outcome;
        auto labelled = std::make_shared<Generation>(*prepared.generation);
        labelled->label = commit.label;
        prepared.generation = labelled;
        const Generation& generation = *labelled;
        record["rules_version"] = generation.policy->rules_version;
        record["counts"] = json::parse(to_json(prepared.diff, 0)["counts"].dump());
        if (auto recorded = parts_.audit.append("commit", record, transaction.peer); !recorded)
            return refused(recorded.error());
        if (auto saved = parts_.state.save(
                {generation.number, generation.committed, generation.document.text(), generation.label});
            !saved) {
            record_refusal(saved.error());
            return refused(saved.error());
        }
        return outcome;
    } catch (const std::exception& fault) {
        return refused({ErrorCode::unavailable, fmt::format("the commit failed: {}", fault.what())});
    }
}

void Generations::finish(const std::shared_ptr<Commit>& commit, const std::shared_ptr<Outcome<Prepared>>& outcome) {
    busy_ = false;
    Transaction& transaction = *commit->transaction;
    transaction.committing = false;
    if (auto* no = std::get_if<Refused>(outcome.get())) {
        commit->answer(std::move(*no));
    } else {
        Prepared& prepared = std::get<Prepared>(*outcome);
        const bool changes = !prepared.diff.empty();
        Committed committed;
        committed.base = running_->number;
        committed.generation = changes ? prepared.generation->number : running_->number;
        committed.dry_run = commit->dry_run;
        committed.diff = std::move(prepared.diff);
        committed.warnings = std::move(prepared.warnings);
        committed.report = prepared.generation->report;
        if (!commit->dry_run) end(transaction.id);
        if (!commit->dry_run && changes) run(prepared.generation, std::move(prepared.tables));
        if (!commit->dry_run && !changes && !commit->label.empty()) {
            auto renamed = std::make_shared<Generation>(*running_);
            renamed->label = commit->label;
            running_ = std::move(renamed);
        }
        commit->answer(std::move(committed));
    }
    if (transaction.abandoned) end(transaction.id);
    compiler_thread_.submit([commit, outcome]() -> CompilerThread::After { return {}; });  // freed there
    next_commit();
}

void Generations::recompile() {
    if (busy_) {
        recompile_due_ = true;
        return;
    }
    busy_ = true;
    const WallTime now = std::chrono::system_clock::now();
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
                again->gates = (*compiled)->gates;
                if (is_date) parts_.events.post(EventKind::date, {{"generation", base->number}});
                run(std::move(again), std::move((*compiled)->tables));
            } else {
                log(LogLevel::error,
                    fmt::format("a date of generation {} has come, and it could not be compiled again, "
                                "next try in a minute: {}",
                                base->number, compiled->error().words));
                next_change_->set_at(std::chrono::system_clock::now() + kRetryRecompile);
            }
            for (const auto& call : then) call();
            next_commit();
        };
    });
}

void Generations::run(std::shared_ptr<const Generation> generation, std::unique_ptr<dataplane::Tables> tables) {
    // The gates by hand as they are now, whatever they were when this was compiled.
    fold_gates(*generation->gates, gates_.in_force(std::chrono::system_clock::now()), *tables);
    tables_ = tables.get();
    parts_.publish(std::move(tables));
    log(LogLevel::info, fmt::format("generation {} runs, compiled in {} ms", generation->number,
                                    generation->report.time.count() / 1000));
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
