// What a node begins with: what the state directory holds, a first document, or nothing.
//
// An unconfirmed generation is never begun with: nobody said that it was good, and it may be why the machine went down.
// A restart counts as its rollback. The control thread, before the loop runs.
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "control/calendar.hpp"
#include "control/generations_parts.hpp"
#include "control/log.hpp"

namespace sekisho::control {

Expected<void> Generations::start(std::optional<Document> initial, bool replace, const std::string& signature) {
    if (auto loaded = load_gates(); !loaded) return loaded;
    if (auto loaded = load_schedule(); !loaded) return loaded;
    const bool begin_anew = replace && initial;
    auto saved = parts_.state.load();
    if (!saved && !begin_anew) return saved.error();
    const bool has_saved = saved.has_value() && saved->has_value();

    kept_ = parts_.state.kept();
    if (!kept_.empty()) highest_ = kept_.back().number;
    if (has_saved) highest_ = std::max(highest_, (*saved)->record.number);
    Expected<void> begun;
    if (has_saved && !begin_anew)
        begun = restore(std::move(**saved));
    else if (initial)
        begun = begin_with(*initial, signature);
    else
        begun = begin_empty();
    if (!begun) return begun;
    kept_ = parts_.state.kept();
    set_schedule_timer();
    return {};
}

Expected<void> Generations::restore(StateStore::Saved saved) {
    const std::string place = fmt::format("generation {} of {}", saved.record.number, parts_.state.file());
    auto document = StateStore::document_of(saved);
    if (!document) return document.error().at("state file " + parts_.state.file());
    parts_.state.loaded(*document);
    if (auto good = parts_.keys.check(saved.record.hash, saved.record.signature); !good) return good.error().at(place);

    auto unconfirmed = parts_.state.load_unconfirmed();
    if (!unconfirmed) log(LogLevel::warning, unconfirmed.error().words);  // it is not begun with anyway
    const bool rolls_back =
        unconfirmed.has_value() && unconfirmed->has_value() && (*unconfirmed)->record.number > saved.record.number;
    GenerationRecord about = saved.record;
    if (rolls_back) {
        highest_ = std::max(highest_, (*unconfirmed)->record.number);
        about = made_by(AuditLog::own_peer(), "rollback");
        about.number = ++highest_;
        about.of = saved.record.number;
        about.signature = saved.record.signature;
    }
    const WallTime now = clock();
    auto outcome = prepare(*document, *running_, about, parts_.compile, now, gates_.agreements_in_force(now));
    if (auto* no = std::get_if<Refused>(&outcome)) return no->error.at(place);
    Prepared& prepared = std::get<Prepared>(outcome);
    auto restored = std::make_shared<Generation>(*prepared.generation);
    nlohmann::json line = {
        {"generation", restored->number}, {"rules_version", restored->rules_version}, {"hash", restored->hash}};
    if (rolls_back) {
        line["of"] = about.of;
        line["unconfirmed"] = (*unconfirmed)->record.number;
        line["reason"] = "restart before it was confirmed";
    } else {
        restored->committed = saved.record.committed;
    }
    if (auto recorded = parts_.audit.append(rolls_back ? "rollback" : "restore", line, AuditLog::own_peer()); !recorded)
        return recorded;
    if (rolls_back) {
        if (auto kept = parts_.state.save(*restored, restored->document); !kept) return kept;
        log(LogLevel::warning,
            fmt::format("generation {} was not confirmed before the restart: generation {} is {} again",
                        (*unconfirmed)->record.number, restored->number, about.of));
    }
    run(std::move(restored), std::move(prepared.tables));
    return {};
}

Expected<void> Generations::begin_with(const Document& initial, const std::string& signature) {
    GenerationRecord about = made_by(AuditLog::own_peer(), "initial");
    if (auto unconfirmed = parts_.state.load_unconfirmed(); unconfirmed && *unconfirmed)
        highest_ = std::max(highest_, (*unconfirmed)->record.number);
    about.number = ++highest_;
    about.signature = signature;
    const WallTime now = clock();
    auto outcome = prepare(initial, *running_, about, parts_.compile, now, gates_.agreements_in_force(now));
    if (auto* no = std::get_if<Refused>(&outcome)) return no->error;
    Prepared& prepared = std::get<Prepared>(outcome);
    const Generation& generation = *prepared.generation;
    if (auto good = parts_.keys.check(generation.hash, signature); !good) return good.error().at("the first document");
    if (auto recorded = parts_.audit.append(
            "initial",
            {{"generation", generation.number}, {"rules_version", generation.rules_version}, {"hash", generation.hash}},
            AuditLog::own_peer());
        !recorded)
        return recorded;
    if (auto kept = parts_.state.save(generation, generation.document); !kept) return kept;
    run(prepared.generation, std::move(prepared.tables));
    return {};
}

// Nothing is known: nothing passes.
Expected<void> Generations::begin_empty() {
    const WallTime now = clock();
    auto compiled = parts_.compile(*running_->policy, 0, now, gates_.agreements_in_force(now));
    if (!compiled) return compiled.error().at("the empty policy");
    auto empty = std::make_shared<Generation>(*running_);
    empty->gates = compiled->gates;
    empty->compiled = time_text(now);
    empty->report = compiled->report;
    empty->times.compile = compiled->report.time;
    run(std::move(empty), std::move(compiled->tables));
    return {};
}

}  // namespace sekisho::control
