// Changes that wait for their time.
//
// At its time a change becomes a commit like any other, by whoever staged it. One that fails then, because something
// else changed the same object, say, is told by the log, the audit log, an event and `show schedule`, and stays until
// it is cancelled; a restart tries it again. While a generation waits to be confirmed, what is due waits too.
#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "control/calendar.hpp"
#include "control/generations_parts.hpp"
#include "control/log.hpp"

namespace sekisho::control {

using nlohmann::json;

Expected<void> Generations::load_schedule() {
    auto saved = parts_.state.load_schedule();
    if (!saved) return saved.error();
    for (const StateStore::SavedText& each : *saved) {
        auto scheduled = Scheduled::parse(each.text);
        if (!scheduled) return scheduled.error().at(fmt::format("scheduled change {}", each.number));
        next_scheduled_ = std::max(next_scheduled_, scheduled->id + 1);
        schedule_[scheduled->id] = std::make_shared<const Scheduled>(std::move(*scheduled));
    }
    return {};
}

std::string Generations::failure_of(std::uint64_t scheduled) const {
    const auto failed = failed_.find(scheduled);
    return failed == failed_.end() ? std::string() : failed->second;
}

void Generations::set_schedule_timer() {
    std::optional<WallTime> next;
    for (const auto& [id, scheduled] : schedule_)
        if (!failed_.contains(id) && !due_.contains(id) && (!next || scheduled->at < *next)) next = scheduled->at;
    if (next)
        schedule_timer_->set_at(*next);
    else
        schedule_timer_->clear();
}

void Generations::look_at_clock() {
    const WallTime now = clock();
    if (running_->report.next_change && *running_->report.next_change <= now) recompile();
    if (unconfirmed_) return;
    std::vector<std::shared_ptr<const Scheduled>> due;
    for (const auto& [id, scheduled] : schedule_)
        if (scheduled->at <= now && !failed_.contains(id) && !due_.contains(id)) due.push_back(scheduled);
    std::stable_sort(due.begin(), due.end(), [](const auto& a, const auto& b) { return a->at < b->at; });
    for (const auto& scheduled : due) {
        due_.insert(scheduled->id);
        const Peer peer{scheduled->pid, scheduled->uid, scheduled->gid, {}};
        const auto source = [scheduled](const Generation& running) -> Expected<Commit::Source> {
            auto document = scheduled->applied_to(running.document);
            if (!document) return document.error();
            return Commit::Source{std::move(*document), scheduled->signature};
        };
        const auto done = [this, id = scheduled->id](const Outcome<Committed>& outcome) {
            due_.erase(id);
            const auto* no = std::get_if<Refused>(&outcome);
            if (no == nullptr || unconfirmed_ || !schedule_.contains(id)) return;  // while one waits: later
            failed_[id] = no->error.words;
            log(LogLevel::error, fmt::format("scheduled change {} did not come into force: {}", id, no->error.words));
            parts_.events.post(EventKind::schedule, {{"change", "failed"}, {"id", id}, {"words", no->error.words}});
        };
        auto commit = std::make_shared<Commit>(Commit{source, {}, made_by(peer, "schedule"), peer, done});
        commit->scheduled = scheduled;
        submit(commit);
    }
    set_schedule_timer();
}

void Generations::cancel(const Peer& peer, std::uint64_t id, Answer<Cancelled> answer) {
    const auto found = schedule_.find(id);
    if (found == schedule_.end())
        return answer(refused({ErrorCode::not_found, fmt::format("no change {} is scheduled", id)}));
    if (due_.contains(id))
        return answer(refused({ErrorCode::exists, fmt::format("change {} is coming into force", id)}));
    due_.insert(id);  // from here on its time does nothing
    compiler_thread_.submit([this, scheduled = found->second, peer, answer]() -> CompilerThread::After {
        Expected<void> done = parts_.audit.append(
            "schedule.cancel", {{"scheduled", scheduled->id}, {"effective_at", time_text(scheduled->at)}}, peer);
        if (done) done = parts_.state.remove_scheduled(scheduled->id);
        return [this, id = scheduled->id, answer, done] {
            due_.erase(id);
            if (!done) {
                look_at_clock();
                return answer(refused(done.error()));
            }
            schedule_.erase(id);
            failed_.erase(id);
            parts_.events.post(EventKind::schedule, {{"change", "cancelled"}, {"id", id}});
            set_schedule_timer();
            answer(Cancelled{id});
        };
    });
}

}  // namespace sekisho::control
