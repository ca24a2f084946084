// The control socket's methods about generations: commit, confirm, rollback, the schedule, drift.
#include <fmt/format.h>

#include "control/answer_bounds.hpp"
#include "control/calendar.hpp"
#include "control/document_hash.hpp"
#include "control/service.hpp"
#include "control/show_generations.hpp"

namespace sekisho::control {

using nlohmann::json;

namespace {

constexpr std::size_t kMaxLabel = 256;          // bytes of a generation's
constexpr std::uint64_t kLongestWait = 86'400;  // seconds to confirm in

// The options that `commit` and `rollback` share.
CommitOptions commit_options(Params& params) {
    CommitOptions options;
    options.dry_run = params.flag("dry_run");
    if (const std::uint64_t seconds = params.number("confirm", 0, kLongestWait); seconds != 0)
        options.confirm = std::chrono::seconds(seconds);
    return options;
}

Result json_of(const Committed& committed) {
    return json{{"base", committed.base},
                {"generation", committed.generation},
                {"dry_run", committed.dry_run},
                {"hash", committed.hash},
                {"confirm_by", committed.confirm_by ? json(time_text(*committed.confirm_by)) : json()},
                {"scheduled", committed.scheduled ? json(*committed.scheduled) : json()},
                {"counts", counts_of(committed.diff)},
                {"notes", bounded(committed.diff.notes)},
                {"warnings", bounded(committed.warnings)},
                {"tables", to_json(committed.report)},
                {"times", to_json(committed.times)}};
}

}  // namespace

void Service::add_generation_methods() {
    methods_["commit"] = [this](Call call) { commit(std::move(call)); };
    methods_["confirm"] = [this](Call call) {
        const std::uint64_t number = call.params.number("generation", 0, UINT64_MAX);
        if (auto error = call.params.error()) return answer(call.client, call.id, *error);
        generations_.confirm(call.peer, number == 0 ? std::nullopt : std::optional(number),
                             later<Outcome<Confirmed>>(call, [](const Confirmed& confirmed) -> Result {
                                 return json{{"confirmed", confirmed.generation}};
                             }));
    };
    methods_["rollback"] = [this](Call call) { rollback(std::move(call)); };
    methods_["schedule.cancel"] = [this](Call call) {
        const std::uint64_t id = call.params.required_number("id");
        if (auto error = call.params.error()) return answer(call.client, call.id, *error);
        generations_.cancel(call.peer, id, later<Outcome<Cancelled>>(call, [](const Cancelled& cancelled) -> Result {
                                return json{{"cancelled", cancelled.scheduled}};
                            }));
    };
    methods_["show.drift"] = [this](Call call) {
        const std::string desired = call.params.text("desired").value_or("");
        if (!desired.empty() && !is_hash(desired))
            call.params.refuse("desired", "a hash of 64 hexadecimal digits is expected");
        if (auto error = call.params.error()) return answer(call.client, call.id, *error);
        generations_.drift(desired,
                           later<Outcome<Drift>>(call, [](const Drift& drift) -> Result { return to_json(drift); }));
    };
    const auto now = [this](const char* name, json (*show)(const Generations&)) {
        methods_[name] = [this, show](Call call) {
            if (auto error = call.params.error()) return answer(call.client, call.id, *error);
            answer(call.client, call.id, show(generations_));
        };
    };
    now("show.generations", show_generations);
    now("show.schedule", show_schedule);
}

void Service::commit(Call call) {
    const TransactionId transaction = call.params.required_number("transaction");
    CommitOptions options = commit_options(call.params);
    if (const auto text = call.params.text("effective_at")) {
        const auto at = parse_time(*text);
        if (!at) call.params.refuse("effective_at", at.error().words);
        if (options.confirm) call.params.refuse("confirm", "goes with a commit that takes effect now");
        if (at) options.at = *at;
    }
    options.signature = call.params.text("signature").value_or("");
    options.label = call.params.text("label").value_or("");
    if (options.label.size() > kMaxLabel)
        call.params.refuse("label", fmt::format("is longer than {} bytes", kMaxLabel));
    if (auto error = call.params.error()) return answer(call.client, call.id, *error);
    generations_.commit(call.client, transaction, std::move(options), later<Outcome<Committed>>(call, json_of));
}

void Service::rollback(Call call) {
    const std::uint64_t number = call.params.number("generation", 0, UINT64_MAX);
    CommitOptions options = commit_options(call.params);
    if (auto error = call.params.error()) return answer(call.client, call.id, *error);
    generations_.rollback(call.peer, number == 0 ? std::nullopt : std::optional(number), std::move(options),
                          later<Outcome<Committed>>(call, json_of));
}

}  // namespace sekisho::control
