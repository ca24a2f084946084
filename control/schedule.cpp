#include "control/schedule.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "control/calendar.hpp"
#include "control/document_hash.hpp"
#include "control/json.hpp"
#include "control/place.hpp"

namespace sekisho::control {

namespace {

using nlohmann::json;

// An object as a document would read it.
Expected<ObjectPtr> object_of(Kind kind, const json& value) {
    Document document;
    if (auto put = document.put(name_of(kind), value); !put) return put.error();
    ObjectPtr object;
    document.for_each(kind, [&](const ObjectPtr& each) { object = each; });
    return object;
}

json text_or_null(const std::string& text) {
    return text.empty() ? json() : json(text);
}

std::string text_of(const json& value) {
    return value.is_string() ? value.get<std::string>() : std::string();
}

}  // namespace

std::vector<Scheduled::Change> changes_between(const Document& before, const Document& after) {
    std::vector<Scheduled::Change> changes;
    for (const Kind kind : kKinds)
        ObjectMap<Object>::differences(
            before.objects(kind), after.objects(kind), [&](const ObjectPtr& was, const ObjectPtr& is) {
                if (was != nullptr && is != nullptr && was->text == is->text) return;
                changes.push_back({kind, (is != nullptr ? is : was)->id, was ? sha256_text(was->text) : "", is});
            });
    return changes;
}

std::array<DocumentDiff::Counts, kKinds.size()> Scheduled::counts() const {
    std::array<DocumentDiff::Counts, kKinds.size()> counts{};
    for (const Change& change : changes) {
        DocumentDiff::Counts& of_kind = counts[static_cast<std::size_t>(change.kind)];
        ++(change.after == nullptr ? of_kind.removed : change.before.empty() ? of_kind.added : of_kind.changed);
    }
    return counts;
}

Expected<Document> Scheduled::applied_to(const Document& document) const {
    Document result = document;
    for (const Change& change : changes) {
        const ObjectPtr present = document.find(change.kind, change.id);
        const bool done =
            change.after == nullptr ? present == nullptr : present != nullptr && present->text == change.after->text;
        if (done) continue;
        if ((present == nullptr) != change.before.empty() ||
            (present != nullptr && sha256_text(present->text) != change.before))
            return Error{ErrorCode::exists,
                         fmt::format("{}: it was changed by another commit since generation {}, on which scheduled "
                                     "change {} was staged",
                                     place_of(name_of(change.kind), change.id), base, this->id)};
        if (change.after == nullptr) {
            if (auto erased = result.erase(name_of(change.kind), change.id); !erased) return erased.error();
        } else if (auto put = result.put(name_of(change.kind), json::parse(change.after->text)); !put) {
            return put.error();
        }
    }
    return result;
}

std::string Scheduled::text() const {
    return json{{"id", id},
                {"effective_at", time_text(at)},
                {"staged", staged},
                {"uid", uid},
                {"gid", gid},
                {"pid", pid},
                {"base", base},
                {"hash", hash},
                {"signature", text_or_null(signature)}}
               .dump() +
           "\n" + lines_of(changes);
}

std::string lines_of(const std::vector<Scheduled::Change>& changes) {
    std::string text;
    for (const Scheduled::Change& change : changes) {
        const json line = {{"kind", name_of(change.kind)},
                           {"id", change.id},
                           {"before", text_or_null(change.before)},
                           {"after", change.after == nullptr ? json() : json::parse(change.after->text)}};
        text += line.dump() + "\n";
    }
    return text;
}

Expected<std::vector<Scheduled::Change>> changes_in(std::string_view lines) {
    const Error other{ErrorCode::invalid, "it does not describe changes of a document"};
    std::vector<Scheduled::Change> changes;
    while (!lines.empty()) {
        const std::size_t end = std::min(lines.find('\n'), lines.size());
        const auto line = parse_json(lines.substr(0, end));
        lines.remove_prefix(std::min(end + 1, lines.size()));
        if (!line || !line->is_object()) return other;
        try {
            const auto kind = kind_named(line->at("kind").get<std::string>());
            if (!kind) return other;
            Scheduled::Change change{*kind, line->at("id").get<std::string>(), text_of(line->at("before")), nullptr};
            if (const json& after = line->at("after"); !after.is_null()) {
                auto object = object_of(*kind, after);
                if (!object) return object.error();
                change.after = std::move(*object);
            }
            changes.push_back(std::move(change));
        } catch (const json::exception&) {
            return other;
        }
    }
    return changes;
}

Expected<Scheduled> Scheduled::parse(const std::string& text) {
    const Error other{ErrorCode::invalid, "it does not describe a scheduled change"};
    const std::size_t end = text.find('\n');
    const auto line = parse_json(std::string_view(text).substr(0, end));
    if (end == std::string::npos || !line || !line->is_object()) return other;
    Scheduled scheduled;
    try {
        scheduled.id = line->at("id").get<std::uint64_t>();
        const auto at = parse_time(line->at("effective_at").get<std::string>());
        if (!at) return other;
        scheduled.at = *at;
        scheduled.staged = line->at("staged").get<std::string>();
        scheduled.uid = line->at("uid").get<uid_t>();
        scheduled.gid = line->at("gid").get<gid_t>();
        scheduled.pid = line->at("pid").get<pid_t>();
        scheduled.base = line->at("base").get<std::uint64_t>();
        scheduled.hash = line->at("hash").get<std::string>();
        scheduled.signature = text_of(line->at("signature"));
    } catch (const json::exception&) {
        return other;
    }
    auto changes = changes_in(std::string_view(text).substr(end + 1));
    if (!changes) return changes.error().words.starts_with("it does not describe") ? other : changes.error();
    scheduled.changes = std::move(*changes);
    return scheduled;
}

}  // namespace sekisho::control
