// Differences of documents: a walk over both, field by field where an object changed. Compiler thread.
#include "control/diff.hpp"

#include <algorithm>
#include <utility>

#include <nlohmann/json.hpp>

#include "control/place.hpp"
#include "control/policy_reader.hpp"
#include "control/tunnels.hpp"

namespace sekisho::control {

namespace {

using nlohmann::json;

// Appends what differs between two values, the deepest field that tells it; arrays of values as a whole, since their
// members have no names.
void compare(const std::string& field, const json* before, const json* after, std::vector<FieldChange>& changes) {
    if (before != nullptr && after != nullptr && *before == *after) return;
    const bool objects = before != nullptr && after != nullptr && before->is_object() && after->is_object();
    const bool alike = before != nullptr && after != nullptr && before->is_array() && after->is_array() &&
                       before->size() == after->size() &&
                       std::all_of(before->begin(), before->end(), [](const json& one) { return one.is_object(); }) &&
                       std::all_of(after->begin(), after->end(), [](const json& one) { return one.is_object(); });
    if (alike) {
        for (std::size_t i = 0; i < before->size(); ++i)
            compare(indexed(field, i), &(*before)[i], &(*after)[i], changes);
        return;
    }
    if (!objects) {
        changes.push_back({field, before == nullptr ? "" : before->dump(), after == nullptr ? "" : after->dump()});
        return;
    }
    const auto name = [&](const std::string& key) { return field.empty() ? key : field + "." + key; };
    const auto member = [](const json& object, const std::string& key) {
        const auto found = object.find(key);
        return found == object.end() ? nullptr : &*found;
    };
    for (const auto& [key, value] : before->items()) compare(name(key), &value, member(*after, key), changes);
    for (const auto& [key, value] : after->items())
        if (!before->contains(key)) compare(name(key), nullptr, &value, changes);
}

// The reverse cell of a stateless agreement tells a reply by its source port alone where the protocol has no
// mark of who opened, so the service may open towards the client too.
void note_of(const Object& object, std::vector<std::string>& notes) {
    const auto* agreement = std::get_if<Agreement>(&object.value);
    if (agreement == nullptr || agreement->state != AgreementState::stateless) return;
    if (agreement->protocol != Protocol::udp && agreement->protocol != Protocol::any) return;
    const std::string place = place_of("agreements", agreement->id);
    if (agreement->protocol == Protocol::udp)
        notes.push_back(place +
                        ": stateless UDP: the service can open towards the client too, from the agreement's ports");
    else
        notes.push_back(place +
                        ": stateless any: the service can open towards the client too, by UDP and by every "
                        "protocol but TCP and ICMP");
}

// SAs are no part of the document, and some changes of it end them.
void note_of_sas(const Object& before, const Object* after, std::vector<std::string>& notes) {
    const auto* const old = std::get_if<Tunnel>(&before.value);
    if (old == nullptr) return;
    const auto* const fresh = after == nullptr ? nullptr : std::get_if<Tunnel>(&after->value);
    if (fresh == nullptr)
        notes.push_back(place_of("tunnels", old->id) + ": its SAs end with it");
    else if (agreed_of(*old) != agreed_of(*fresh))
        notes.push_back(place_of("tunnels", old->id) + ": its SAs end with this change; new ones must be installed");
}

char sign_of(ObjectChange::What what) {
    return what == ObjectChange::What::added ? '+' : what == ObjectChange::What::removed ? '-' : '~';
}

const char* word_of(ObjectChange::What what) {
    return what == ObjectChange::What::added ? "added" : what == ObjectChange::What::removed ? "removed" : "changed";
}

json value_of(const std::string& text) {
    return text.empty() ? json() : json::parse(text);
}

}  // namespace

DocumentDiff diff(const Document& before, const Document& after) {
    DocumentDiff result;
    for (const Kind kind : kKinds) {
        DocumentDiff::Counts& counts = result.counts[static_cast<std::size_t>(kind)];
        ObjectMap<Object>::differences(
            before.objects(kind), after.objects(kind), [&](const ObjectPtr& old, const ObjectPtr& fresh) {
                if (old == nullptr) {
                    ++counts.added;
                    result.changes.push_back({kind, fresh->id, ObjectChange::What::added, {}});
                } else if (fresh == nullptr) {
                    ++counts.removed;
                    result.changes.push_back({kind, old->id, ObjectChange::What::removed, {}});
                } else {
                    if (old->text == fresh->text) return;
                    ++counts.changed;
                    ObjectChange change{kind, fresh->id, ObjectChange::What::changed, {}};
                    const json left = json::parse(old->text);
                    const json right = json::parse(fresh->text);
                    compare("", &left, &right, change.fields);
                    result.changes.push_back(std::move(change));
                }
                if (fresh != nullptr) note_of(*fresh, result.notes);
                if (old != nullptr) note_of_sas(*old, fresh.get(), result.notes);
            });
    }
    return result;
}

std::string text_of(const DocumentDiff& diff, std::size_t most_changes) {
    std::string text;
    const std::size_t shown = std::min(most_changes, diff.changes.size());
    for (std::size_t i = 0; i < shown; ++i) {
        const ObjectChange& change = diff.changes[i];
        text += std::string(1, sign_of(change.what)) + " " + place_of(name_of(change.kind), change.id) + "\n";
        for (const FieldChange& field : change.fields)
            text += "    " + field.field + ": " + (field.before.empty() ? "(absent)" : field.before) + " -> " +
                    (field.after.empty() ? "(absent)" : field.after) + "\n";
    }
    if (shown < diff.changes.size())
        text += "... and " + std::to_string(diff.changes.size() - shown) + " more objects\n";
    const std::size_t notes = std::min(most_changes, diff.notes.size());
    for (std::size_t i = 0; i < notes; ++i) text += "note: " + diff.notes[i] + "\n";
    if (notes < diff.notes.size()) text += "... and " + std::to_string(diff.notes.size() - notes) + " more notes\n";
    for (const Kind kind : kKinds) {
        const DocumentDiff::Counts& counts = diff.counts[static_cast<std::size_t>(kind)];
        if (counts.added + counts.removed + counts.changed == 0) continue;
        text += std::string(name_of(kind)) + ": " + std::to_string(counts.added) + " added, " +
                std::to_string(counts.removed) + " removed, " + std::to_string(counts.changed) + " changed\n";
    }
    return diff.empty() ? "no difference\n" : text;
}

nlohmann::ordered_json to_json(const DocumentDiff& diff, std::size_t most_changes) {
    using nlohmann::ordered_json;
    ordered_json result{{"counts", ordered_json::object()},
                        {"changes", ordered_json::array()},
                        {"notes", ordered_json::array()},
                        {"omitted", 0}};
    for (const Kind kind : kKinds) {
        const DocumentDiff::Counts& counts = diff.counts[static_cast<std::size_t>(kind)];
        if (counts.added + counts.removed + counts.changed == 0) continue;
        result["counts"][std::string(name_of(kind))] = {
            {"added", counts.added}, {"removed", counts.removed}, {"changed", counts.changed}};
    }
    const std::size_t shown = std::min(most_changes, diff.changes.size());
    for (std::size_t i = 0; i < shown; ++i) {
        const ObjectChange& change = diff.changes[i];
        ordered_json object{{"kind", name_of(change.kind)}, {"id", change.id}, {"change", word_of(change.what)}};
        if (change.what == ObjectChange::What::changed) {
            object["fields"] = ordered_json::array();
            for (const FieldChange& field : change.fields)
                object["fields"].push_back(
                    {{"field", field.field}, {"before", value_of(field.before)}, {"after", value_of(field.after)}});
        }
        result["changes"].push_back(std::move(object));
    }
    result["omitted"] = diff.changes.size() - shown;
    const std::size_t notes = std::min(most_changes, diff.notes.size());
    for (std::size_t i = 0; i < notes; ++i) result["notes"].push_back(diff.notes[i]);
    return result;
}

}  // namespace sekisho::control
