// Generations that wait to be confirmed, and old ones that come back.
//
// Whatever ends the waiting but a confirmation, be it time, an engineer or a restart, ends in a new generation with the
// document of the last good one: numbers only rise.
#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "control/calendar.hpp"
#include "control/document_hash.hpp"
#include "control/generations_parts.hpp"
#include "control/log.hpp"

namespace sekisho::control {

using nlohmann::json;

namespace {

constexpr std::chrono::minutes kRetryRollback{1};

}  // namespace

std::optional<WallTime> Generations::confirm_by() const {
    if (!unconfirmed_) return std::nullopt;
    return unconfirmed_->by;
}

std::vector<KeptGeneration> Generations::kept() const {
    std::vector<KeptGeneration> generations;
    const auto add = [&](const GenerationRecord& record, KeptGeneration::State state, bool confirmed) {
        KeptGeneration each;
        static_cast<GenerationRecord&>(each) = record;
        each.confirmed = confirmed;
        each.state = state;
        generations.push_back(std::move(each));
    };
    const std::uint64_t good = unconfirmed_ ? unconfirmed_->good->number : running_->number;
    for (const GenerationRecord& record : kept_)
        if (record.number != good)  // a crash may have left it a second name
            add(record, record.confirmed ? KeptGeneration::State::kept : KeptGeneration::State::rolled_back,
                record.confirmed);
    if (unconfirmed_) add(*unconfirmed_->good, KeptGeneration::State::good, true);
    if (running_->number != 0) add(*running_, KeptGeneration::State::running, !unconfirmed_);
    std::sort(generations.begin(), generations.end(), [](const auto& a, const auto& b) { return a.number < b.number; });
    return generations;
}

void Generations::confirm(const Peer& peer, std::optional<std::uint64_t> number, Answer<Confirmed> answer) {
    if (!unconfirmed_) return answer(refused({ErrorCode::not_found, "no generation waits to be confirmed"}));
    if (number && *number != running_->number)
        return answer(refused({ErrorCode::invalid,
                               fmt::format("generation {} waits to be confirmed, not {}", running_->number, *number)}));
    if (unconfirmed_->ending)
        return answer(refused(
            {ErrorCode::invalid, fmt::format("generation {} is being rolled back: too late", running_->number)}));
    if (std::exchange(unconfirmed_->confirming, true))
        return answer(
            refused({ErrorCode::exists, fmt::format("generation {} is being confirmed already", running_->number)}));
    confirm_timer_->clear();
    compiler_thread_.submit([this, running = running_, peer, answer]() -> CompilerThread::After {
        Expected<void> done =
            parts_.audit.append("confirm", {{"generation", running->number}, {"hash", running->hash}}, peer);
        if (done) done = parts_.state.confirm();
        return [this, running, answer, done, kept = parts_.state.kept()] {
            if (!done) {
                unconfirmed_->confirming = false;
                const auto left = unconfirmed_->until - std::chrono::steady_clock::now();
                confirm_timer_->set(
                    std::max(std::chrono::ceil<std::chrono::milliseconds>(left), std::chrono::milliseconds(1)));
                return answer(refused(done.error()));
            }
            kept_ = kept;
            parts_.events.post(EventKind::confirm, {{"change", "confirmed"}, {"generation", running->number}});
            settled();
            answer(Confirmed{running->number});
            next_commit();
        };
    });
}

void Generations::settled() {
    unconfirmed_.reset();
    confirm_timer_->clear();
    look_at_clock();  // what came due meanwhile
}

void Generations::rollback(const Peer& peer, std::optional<std::uint64_t> number, CommitOptions options,
                           Answer<Committed> answer) {
    if (!number) {
        if (!unconfirmed_)
            return answer(
                refused({ErrorCode::not_found, "no generation waits to be confirmed: say which one to go back to"}));
        if (options.confirm || options.dry_run)
            return answer(refused({ErrorCode::invalid,
                                   "what goes back to the last good generation needs its number "
                                   "to be a dry run, and no confirmation"}));
        if (unconfirmed_->confirming || unconfirmed_->ending)
            return answer(
                refused({ErrorCode::exists, fmt::format("generation {} is being {} already", running_->number,
                                                        unconfirmed_->ending ? "rolled back" : "confirmed")}));
        return roll_back_unconfirmed(peer, "asked for", std::move(answer));
    }
    if (*number == running_->number)
        return answer(refused({ErrorCode::invalid, fmt::format("generation {} is the one that runs", *number)}));
    GenerationRecord about = made_by(peer, "rollback");
    about.of = *number;
    const auto source = [this, number](const Generation&) -> Expected<Commit::Source> {
        auto saved = parts_.state.load(*number);
        if (!saved) return saved.error();
        auto document = StateStore::document_of(*saved);
        if (!document) return document.error().at(fmt::format("generation {}", *number));
        return Commit::Source{std::move(*document), saved->record.signature};
    };
    submit(std::make_shared<Commit>(Commit{source, std::move(options), std::move(about), peer, std::move(answer)}));
}

void Generations::roll_back_unconfirmed(const Peer& peer, const std::string& reason, Answer<Committed> answer) {
    if (!unconfirmed_ || unconfirmed_->confirming || std::exchange(unconfirmed_->ending, true)) return;
    confirm_timer_->clear();
    const std::shared_ptr<const Generation> good = unconfirmed_->good;
    log(LogLevel::warning,
        fmt::format("generation {} is rolled back to {}: {}", running_->number, good->number, reason));
    GenerationRecord about = made_by(peer, "rollback");
    about.of = good->number;
    const auto source = [good](const Generation&) -> Expected<Commit::Source> {
        return Commit::Source{good->document, good->signature};
    };
    const auto done = [this, answer = std::move(answer)](Outcome<Committed> outcome) {
        if (const auto* no = std::get_if<Refused>(&outcome)) {
            log(LogLevel::error, fmt::format("the rollback failed, next try in a minute: {}", no->error.words));
            if (unconfirmed_) {
                unconfirmed_->ending = false;
                confirm_timer_->set(kRetryRollback);
            }
        }
        if (answer) answer(std::move(outcome));
    };
    auto commit = std::make_shared<Commit>(Commit{source, {}, std::move(about), peer, done});
    commit->reason = reason;
    submit(commit, true);
}

void Generations::drift(std::string desired, Answer<Drift> answer) {
    compiler_thread_.submit([this, running = running_, tables = tables_generation_,
                             unconfirmed = unconfirmed_.has_value(), desired = std::move(desired),
                             answer = std::move(answer)]() -> CompilerThread::After {
        Drift drift;
        drift.generation = running->number;
        drift.hash = hash_of(running->document).text;
        drift.tables = tables;
        drift.desired = desired;
        const auto differs = [&drift](std::string words) { drift.differences.push_back(std::move(words)); };
        if (running->number != 0 && drift.hash != running->hash)
            differs("the running document is not the one that was committed");
        if (tables != running->number)
            differs(fmt::format("the workers read generation {}, and {} is the running one", tables, running->number));
        auto stored = unconfirmed ? parts_.state.load_unconfirmed() : parts_.state.load();
        if (!stored) {
            differs(stored.error().words);
        } else if (*stored) {
            drift.stored_generation = (*stored)->record.number;
            drift.stored_hash = (*stored)->record.hash;
            if (drift.stored_hash != drift.hash || drift.stored_generation != running->number)
                differs(fmt::format("generation {} is stored, and {} runs", (*stored)->record.number, running->number));
        } else if (running->number != 0) {
            differs(fmt::format("generation {} runs, and none is stored", running->number));
        }
        if (!desired.empty() && desired != drift.hash) differs("what runs is not what was named as desired");
        if (unconfirmed) differs(fmt::format("generation {} waits to be confirmed", running->number));
        return [answer, drift = std::move(drift)] { answer(drift); };
    });
}

}  // namespace sekisho::control
