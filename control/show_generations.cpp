#include "control/show_generations.hpp"

#include "control/calendar.hpp"

namespace sekisho::control {

using nlohmann::json;

namespace {

const char* word_of(KeptGeneration::State state) {
    switch (state) {
        case KeptGeneration::State::running: return "running";
        case KeptGeneration::State::good: return "good";
        case KeptGeneration::State::rolled_back: return "rolled_back";
        case KeptGeneration::State::kept: break;
    }
    return "kept";
}

}  // namespace

json show_generations(const Generations& generations) {
    json items = json::array();
    for (const KeptGeneration& kept : generations.kept()) {
        json item = to_json(static_cast<const GenerationRecord&>(kept));
        item["state"] = word_of(kept.state);
        const auto by = kept.state == KeptGeneration::State::running ? generations.confirm_by() : std::nullopt;
        item["confirm_by"] = by ? json(time_text(*by)) : json();
        items.push_back(std::move(item));
    }
    return {{"running", generations.running()->number}, {"items", std::move(items)}};
}

json show_schedule(const Generations& generations) {
    json items = json::array();
    for (const auto& [id, scheduled] : generations.schedule()) {
        json counts = json::object();
        const auto all = scheduled->counts();
        for (const Kind kind : kKinds)
            if (const auto& of_kind = all[static_cast<std::size_t>(kind)];
                of_kind.added + of_kind.removed + of_kind.changed != 0)
                counts[std::string(name_of(kind))] = {
                    {"added", of_kind.added}, {"removed", of_kind.removed}, {"changed", of_kind.changed}};
        const auto fits = scheduled->applied_to(generations.running()->document);
        const std::string failure = generations.failure_of(id);
        items.push_back({{"id", id},
                         {"effective_at", time_text(scheduled->at)},
                         {"staged", scheduled->staged},
                         {"uid", scheduled->uid},
                         {"base", scheduled->base},
                         {"hash", scheduled->hash},
                         {"signed", !scheduled->signature.empty()},
                         {"counts", std::move(counts)},
                         {"fits", fits.has_value()},
                         {"failed", !failure.empty()},
                         {"words", !failure.empty() ? json(failure)
                                   : fits           ? json()
                                                    : json(fits.error().words)}});
    }
    return {{"items", std::move(items)}};
}

json to_json(const Drift& drift) {
    return {
        {"running", {{"generation", drift.generation}, {"hash", drift.hash}, {"tables", drift.tables}}},
        {"stored", drift.stored_generation ? json{{"generation", *drift.stored_generation}, {"hash", drift.stored_hash}}
                                           : json()},
        {"desired", drift.desired.empty() ? json() : json(drift.desired)},
        {"drift", !drift.differences.empty()},
        {"differences", drift.differences}};
}

}  // namespace sekisho::control
