#include "control/show_policy.hpp"

#include <fmt/format.h>

#include "control/calendar.hpp"
#include "control/object_state.hpp"
#include "control/place.hpp"

namespace sekisho::control {

namespace {

using nlohmann::json;

constexpr std::size_t kPageObjects = 1000;
constexpr std::size_t kPageBytes = std::size_t{256} << 10;  // of their text; the last object may go over it

struct Page {
    std::vector<ObjectPtr> objects;
    json next;  // the id to go on after, or null
};

// The page after the id, or the first.
Page page_of(const Document& document, Kind kind, const std::optional<std::string>& after, std::size_t limit) {
    Page page;
    std::size_t bytes = 0;
    bool full = false;
    document.objects(kind).for_each_after(after, [&](const ObjectPtr& object) {
        full = page.objects.size() == limit || bytes >= kPageBytes;
        if (full) return false;
        page.objects.push_back(object);
        bytes += object->text.size();
        return true;
    });
    if (full) page.next = page.objects.back()->id;
    return page;
}

}  // namespace

json to_json(const CompileReport& report) {
    return {{"who_rows", report.who_rows},
            {"hub_rows", report.hub_rows},
            {"where_rows", report.where_rows},
            {"port_classes", report.port_classes},
            {"permissions", report.permissions},
            {"matrix_bytes", report.matrix_bytes},
            {"table_bytes", report.table_bytes},
            {"row_bytes", report.row_bytes},
            {"microseconds", report.time.count()},
            {"next_change", report.next_change ? json(time_text(*report.next_change)) : json()}};
}

json to_json(const CommitTimes& times) {
    json result = json::object();
    for (const auto& [name, time] : times.named()) result[std::string(name)] = time.count();
    return result;
}

json to_json(const HandGates& gates, WallTime now) {
    json items = json::array();
    for (const auto& [id, gate] : gates.all())
        items.push_back({{"id", id},
                         {"object", json::parse(gate.object->text)},
                         {"state", state_by_dates(gate.gate().from, gate.gate().until, now)},
                         {"since", gate.since},
                         {"uid", gate.uid}});
    return items;
}

json counts_of(const DocumentDiff& diff) {
    return json::parse(to_json(diff, 0)["counts"].dump());
}

json show_generation(const Generation& generation) {
    json objects = json::object();
    for (const Kind kind : kKinds)
        if (kind != Kind::hub) objects[std::string(name_of(kind))] = generation.document.size(kind);
    return {{"generation", generation.number},
            {"rules_version", generation.policy->rules_version},
            {"hash", generation.hash.empty() ? json() : json(generation.hash)},
            {"signed", !generation.signature.empty()},
            {"committed", generation.committed.empty() ? json() : json(generation.committed)},
            {"compiled", generation.compiled},
            {"label", generation.label.empty() ? json() : json(generation.label)},
            {"objects", std::move(objects)},
            {"tables", to_json(generation.report)},
            {"times", to_json(generation.times)}};
}

Result show_objects(const Generation& generation, const HandGates& gates, Kind kind, Params params, WallTime now,
                    const MoreOfObject& more) {
    const auto after = params.text("after");
    const std::uint64_t limit = params.number("limit", kPageObjects, kPageObjects);
    if (limit == 0) params.refuse("limit", "must be at least 1");
    if (auto error = params.error()) return *error;
    const Page page = page_of(generation.document, kind, after, limit);
    const StatesAt states(*generation.policy, now, gates.in_force(now));
    std::string items;
    for (const ObjectPtr& object : page.objects) {
        items +=
            fmt::format(R"({}{{"id":{},"object":{})", items.empty() ? "" : ",", json(object->id).dump(), object->text);
        if (const auto state = states.of(kind, object->id))
            items += fmt::format(R"(,"state":"{}","closed_by":{})", state->word, json(state->closed_by).dump());
        if (more) items += more(object->id);
        items += "}";
    }
    const bool has_by_hand = kind == Kind::gates && !after;
    return JsonText{fmt::format(R"({{"generation":{},"items":[{}],"next":{}{}}})", generation.number, items,
                                page.next.dump(), has_by_hand ? R"(,"by_hand":)" + to_json(gates, now).dump() : "")};
}

Result show_policy(const Generation& generation, Params params) {
    const std::string kind = params.required_text("kind");
    if (!kind_named(kind)) params.refuse("kind", "there is no kind " + in_quotes(kind));
    const auto after = params.text("after");
    const std::uint64_t limit = params.number("limit", kPageObjects, kPageObjects);
    if (limit == 0) params.refuse("limit", "must be at least 1");
    if (auto error = params.error()) return *error;

    const Page page = page_of(generation.document, *kind_named(kind), after, limit);
    std::string objects;
    for (const ObjectPtr& object : page.objects) objects += (objects.empty() ? "" : ",") + object->text;
    return JsonText{fmt::format(R"({{"generation":{},"kind":"{}","objects":[{}],"next":{}}})", generation.number, kind,
                                objects, page.next.dump())};
}

}  // namespace sekisho::control
