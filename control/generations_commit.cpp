// A commit on the compiler thread: from its document to what may take effect.
//
// The order is what safety hangs on: compiled, then its signature checked, then recorded, then saved; only then may it
// take effect. A rollback that must happen, because nobody confirmed, goes on when the disk is full: the state
// directory still holds the generation that it goes back to.
#include <exception>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "control/calendar.hpp"
#include "control/generations_parts.hpp"
#include "control/log.hpp"

namespace sekisho::control {

namespace {

using nlohmann::json;

json line_of(const GenerationRecord& about, const CommitOptions& options) {
    json record = {{"generation", about.number}};
    if (about.of != 0) record["of"] = about.of;
    if (options.confirm) record["confirm"] = options.confirm->count();
    if (options.at) record["effective_at"] = time_text(*options.at);
    return record;
}

}  // namespace

Outcome<Prepared> Generations::prepare_durably(Commit& commit, const NamesByHand& closed_agreements,
                                               const Schedule& schedule) {
    const CommitOptions& options = commit.options;
    try {
        json record = line_of(commit.about, options);
        if (commit.transaction) record["transaction"] = commit.transaction->id;
        if (commit.scheduled) record["scheduled"] = commit.scheduled->id;
        if (commit.must_happen()) record["reason"] = commit.reason;
        const auto refuse = [&](Refused no) -> Outcome<Prepared> {
            if (options.dry_run) return no;
            record["error"] = no.error.words;
            if (auto recorded = parts_.audit.append("refused", record, commit.peer); !recorded)
                log(LogLevel::error, recorded.error().words);
            return no;
        };
        auto source = commit.source(*commit.base);
        if (!source) return refuse(refused(source.error()));
        commit.about.signature = source->signature;
        auto outcome = prepare(source->document, *commit.base, commit.about, parts_.compile,
                               options.at.value_or(clock()), closed_agreements);
        if (auto* no = std::get_if<Refused>(&outcome)) return refuse(std::move(*no));
        Prepared& prepared = std::get<Prepared>(outcome);
        if (options.dry_run || options.at) prepared.tables.reset();
        if (!options.dry_run || !source->signature.empty()) {
            auto good = parts_.keys.check(prepared.generation->hash, source->signature);
            if (!good && !prepared.diff.empty() && !commit.must_happen()) return refuse(refused(good.error()));
        }
        for (const auto& [id, scheduled] : schedule) {
            if (commit.scheduled && commit.scheduled->id == id) continue;
            if (auto fits = scheduled->applied_to(source->document); !fits)
                prepared.warnings.push_back(
                    fmt::format("it will not come into force at {}: {}", time_text(scheduled->at), fits.error().words));
            else if (!parts_.keys.empty() && !options.at)
                prepared.warnings.push_back(fmt::format(
                    "scheduled change {} is signed for what follows generation {}, not for what follows this", id,
                    scheduled->base));
        }
        if (options.dry_run) return outcome;
        if (prepared.diff.empty()) {
            if (commit.scheduled)
                if (auto removed = parts_.state.remove_scheduled(commit.scheduled->id); !removed)
                    log(LogLevel::warning, removed.error().words);
            return outcome;
        }
        record["rules_version"] = prepared.generation->rules_version;
        record["hash"] = prepared.generation->hash;
        record["counts"] = json::parse(to_json(prepared.diff, 0)["counts"].dump());
        const std::string what = options.at                        ? "schedule"
                                 : commit.about.what == "schedule" ? "commit"
                                                                   : commit.about.what;
        if (commit.transaction) prepared.generation->times.stage = commit.transaction->staging;
        Stopwatch stopwatch;
        Expected<void> done = parts_.audit.append(what, record, commit.peer);
        const bool recorded = done.has_value();
        if (recorded || commit.must_happen()) done = store(commit, prepared);
        prepared.generation->times.save = stopwatch.lap();
        if (done) return outcome;
        if (commit.must_happen()) {
            log(LogLevel::error, done.error().words);
            return outcome;
        }
        return recorded ? refuse(refused(done.error())) : Outcome<Prepared>(refused(done.error()));
    } catch (const std::exception& fault) {
        return refused({ErrorCode::unavailable, fmt::format("the commit failed: {}", fault.what())});
    }
}

// Durable when it returns.
Expected<void> Generations::store(Commit& commit, const Prepared& prepared) {
    const Generation& generation = *prepared.generation;
    if (commit.options.at) {
        auto waits = std::make_shared<Scheduled>();
        waits->id = next_scheduled_;
        waits->at = *commit.options.at;
        waits->staged = time_text(clock());
        waits->uid = commit.peer.uid;
        waits->gid = commit.peer.gid;
        waits->pid = commit.peer.pid;
        waits->base = commit.base->number;
        waits->hash = generation.hash;
        waits->signature = generation.signature;
        waits->changes = changes_between(commit.base->document, generation.document);
        if (auto saved = parts_.state.save_scheduled({waits->id, waits->staged, waits->text()}); !saved) return saved;
        commit.waits = std::move(waits);
        return {};
    }
    const auto saved = commit.options.confirm ? parts_.state.save_unconfirmed(generation, generation.document)
                                              : parts_.state.save(generation, generation.document);
    commit.kept = parts_.state.kept();
    if (!saved) return saved;
    compact();
    if (commit.scheduled)  // done again after a crash between the two, it changes nothing
        if (auto removed = parts_.state.remove_scheduled(commit.scheduled->id); !removed)
            log(LogLevel::warning, removed.error().words);
    return {};
}

// Writes the document whole beside the commits, when the journal has grown long.
void Generations::compact() {
    auto due = parts_.state.begin_compaction();
    if (!due) return;
    auto compaction = std::make_shared<StateStore::Compaction>(std::move(*due));
    compaction_thread_.submit([this, compaction]() -> CompilerThread::After {
        const Expected<void> written = StateStore::write(*compaction);
        return [this, compaction, written] {
            compiler_thread_.submit([this, compaction, written]() -> CompilerThread::After {
                if (auto done = parts_.state.finish(*compaction, written); !done)
                    log(LogLevel::warning, "shortening the journal: " + done.error().words);
                return {};
            });
        };
    });
}

}  // namespace sekisho::control
