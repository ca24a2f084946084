// Documents from text and to text, and their objects one by one. Control plane only.
#include "control/document.hpp"

#include <algorithm>
#include <utility>

#include <nlohmann/json.hpp>

#include "control/json.hpp"
#include "control/place.hpp"
#include "control/policy_reader.hpp"
#include "control/schema.hpp"

namespace sekisho::control {

namespace {

using nlohmann::json;

constexpr std::size_t kPiece = std::size_t{256} << 10;  // bytes of text, about, that are given away at once

std::string all_kinds() {
    std::string names;
    for (const std::string_view name : kKindNames) names += (names.empty() ? "" : ", ") + std::string(name);
    return names;
}

Error unknown_kind(std::string_view name) {
    return {ErrorCode::invalid, in_quotes(name) + " is not a kind of object; the kinds are " + all_kinds()};
}

// The id as far as it can be told from an object that nobody has looked at yet; "" when it cannot.
std::string claimed_id(const json& object) {
    const auto string = [&](const char* name) {
        const auto member = object.is_object() ? object.find(name) : object.end();
        return object.is_object() && member != object.end() && member->is_string() ? member->get<std::string>() : "";
    };
    if (const std::string id = string("id"); !id.empty()) return id;
    return string("operator").empty() || string("prefix").empty() ? "" : string("operator") + " " + string("prefix");
}

std::string id_of(Kind kind, const json& object, const Object::Value& value) {
    if (kind == Kind::hub) return {};
    if (kind == Kind::routes) return std::get<Route>(value).id();
    return object.at("id").get<std::string>();
}

// The object, checked and read; nullptr with at least one more error when it is not fit. `place` gives where it stands,
// which only errors want to know.
template <class Place>
ObjectPtr made(Kind kind, const json& object, const Place& place, std::vector<Error>& errors) {
    if (!fits(name_of(kind), object) && !check_schema(name_of(kind), object, place(), errors)) return nullptr;
    std::vector<Error> found;
    auto value = read_object(kind, object, {}, found);
    if (!value) {
        read_object(kind, object, place(), errors);
        return nullptr;
    }
    Object result{id_of(kind, object, *value), object.dump(), std::move(*value)};
    if (result.text.size() > Document::kMaxObjectText) {
        errors.push_back(Error{ErrorCode::limit, "has " + std::to_string(result.text.size()) + " bytes; at most " +
                                                     std::to_string(Document::kMaxObjectText) + " are taken"}
                             .at(place()));
        return nullptr;
    }
    return std::make_shared<Object>(std::move(result));
}

Error too_many(Kind kind) {
    return {ErrorCode::limit, std::string(name_of(kind)) + ": more than " + std::to_string(Document::kMaxObjects)};
}

// Keeps the first errors and counts the others.
void bound(std::vector<Error>& errors) {
    if (errors.size() <= Document::kMaxErrors) return;
    const std::size_t more = errors.size() - Document::kMaxErrors;
    errors.resize(Document::kMaxErrors);
    errors.push_back({ErrorCode::invalid, "and " + std::to_string(more) + " more errors"});
}

}  // namespace

std::optional<Kind> kind_named(std::string_view name) noexcept {
    const auto at = std::find(kKindNames.begin(), kKindNames.end(), name);
    if (at == kKindNames.end()) return std::nullopt;
    return kKinds[static_cast<std::size_t>(at - kKindNames.begin())];
}

std::optional<Document> Document::parse(std::string_view text, std::vector<Error>& errors) {
    if (text.size() > kMaxText) {
        errors.push_back({ErrorCode::limit, "the document has " + std::to_string(text.size()) + " bytes; at most " +
                                                std::to_string(kMaxText) + " are taken"});
        return std::nullopt;
    }
    Document document;
    std::vector<Error> found;
    std::array<std::vector<std::pair<std::string, std::size_t>>, kKinds.size()> twice;
    const auto take = [&](const std::string& key, std::size_t index, json&& element) {
        const auto kind = kind_named(key);
        if (!kind || *kind == Kind::hub) return;  // told once, below
        const auto place = [&] { return place_of(indexed(key, index), claimed_id(element)); };
        ObjectPtr object = made(*kind, element, place, found);
        if (object == nullptr) return;
        ObjectMap<Object>& objects = document.kinds_[static_cast<std::size_t>(*kind)];
        if (objects.size() == kMaxObjects && objects.find(object->id) == nullptr) {
            if (index == kMaxObjects) found.push_back(too_many(*kind));
            return;
        }
        if (objects.put(std::move(object)) != nullptr)
            found.push_back(Error{ErrorCode::exists, "another one before it has the same name"}.at(place()));
    };
    const auto root = parse_json_elements(text, take);
    if (!root) {
        found.push_back(root.error());
    } else if (!root->is_object()) {
        found.push_back({ErrorCode::invalid, "a policy document is a JSON object with the members " + all_kinds()});
    } else {
        for (const auto& member : root->items()) {
            const auto kind = kind_named(member.key());
            if (!kind)
                found.push_back(unknown_kind(member.key()));
            else if (*kind == Kind::hub) {
                if (ObjectPtr hub = made(
                        Kind::hub, member.value(), [] { return "hub"; }, found))
                    document.kinds_[0].put(std::move(hub));
            } else if (!member.value().is_array())
                found.push_back({ErrorCode::invalid, member.key() + ": expected an array of objects"});
        }
        if (!root->contains("hub"))
            found.push_back(
                {ErrorCode::invalid, "\"hub\" is missing: the rules_version and the pools of the document"});
    }
    if (found.empty()) return document;
    bound(found);
    errors.insert(errors.end(), std::make_move_iterator(found.begin()), std::make_move_iterator(found.end()));
    return std::nullopt;
}

Expected<Document> Document::parse(std::string_view text) {
    std::vector<Error> errors;
    auto document = parse(text, errors);
    if (!document) return errors.front();
    return std::move(*document);
}

Expected<std::size_t> Document::put(std::string_view kind_name, const json& value) {
    const auto kind = kind_named(kind_name);
    if (!kind) return unknown_kind(kind_name);
    std::vector<Error> errors;
    ObjectPtr object;
    try {
        object = made(
            *kind, value, [&] { return place_of(kind_name, claimed_id(value)); }, errors);
    } catch (const json::exception&) {  // text that is not UTF-8 cannot be written back
        return Error{ErrorCode::invalid, "text that is not UTF-8"}.at(std::string(kind_name));
    }
    if (object == nullptr) return errors.front();
    ObjectMap<Object>& objects = kinds_[static_cast<std::size_t>(*kind)];
    if (objects.size() == kMaxObjects && objects.find(object->id) == nullptr) return too_many(*kind);
    const std::size_t bytes = object->text.size();
    objects.put(std::move(object));
    return bytes;
}

Expected<void> Document::erase(std::string_view kind_name, std::string_view id) {
    const auto kind = kind_named(kind_name);
    if (!kind) return unknown_kind(kind_name);
    if (kinds_[static_cast<std::size_t>(*kind)].erase(id) == nullptr)
        return Error{ErrorCode::not_found, "there is none to erase"}.at(place_of(kind_name, id));
    return {};
}

std::size_t Document::size(Kind kind) const noexcept {
    return objects(kind).size();
}

std::size_t Document::size() const noexcept {
    std::size_t total = 0;
    for (const Kind kind : kKinds) total += size(kind);
    return total;
}

ObjectPtr Document::find(Kind kind, std::string_view id) const {
    return objects(kind).find(id);
}

void Document::for_each(Kind kind, const std::function<void(const ObjectPtr&)>& call) const {
    objects(kind).for_each(call);
}

nlohmann::ordered_json Document::to_json() const {
    auto document = nlohmann::ordered_json::object();
    for (const Kind kind : kKinds)
        for_each(kind, [&](const ObjectPtr& object) {
            auto value = nlohmann::ordered_json::parse(object->text);
            auto& member = document[std::string(name_of(kind))];
            if (kind == Kind::hub)
                member = std::move(value);
            else
                member.push_back(std::move(value));
        });
    return document;
}

void Document::write(const std::function<void(std::string_view)>& take) const {
    std::string piece = "{";
    const char* separator = "\n";
    for (const Kind kind : kKinds) {
        if (size(kind) == 0) continue;
        piece += separator;
        piece += "\"" + std::string(name_of(kind)) + "\": ";
        separator = kind == Kind::hub ? "" : "[\n";
        for_each(kind, [&](const ObjectPtr& object) {
            piece += separator;
            piece += object->text;
            separator = ",\n";
            if (piece.size() < kPiece) return;
            take(piece);
            piece.clear();
        });
        if (kind != Kind::hub) piece += "\n]";
        separator = ",\n";
    }
    take(piece + "\n}\n");
}

std::string Document::text() const {
    std::string text;
    write([&text](std::string_view piece) { text += piece; });
    return text;
}

bool operator==(const Document& a, const Document& b) {
    bool equal = true;
    for (std::size_t i = 0; i < a.kinds_.size() && equal; ++i)
        ObjectMap<Object>::differences(a.kinds_[i], b.kinds_[i], [&](const ObjectPtr& before, const ObjectPtr& after) {
            equal = equal && before != nullptr && after != nullptr && before->text == after->text;
        });
    return equal;
}

Policy policy_of(const Document& document) {
    Policy policy;
    if (const ObjectPtr hub = document.find(Kind::hub, "")) {
        policy.rules_version = std::get<Hub>(hub->value).rules_version;
        policy.hub_pools = std::get<Hub>(hub->value).pools;
        policy.timers = std::get<Hub>(hub->value).timers;
        policy.hold_down_days = std::get<Hub>(hub->value).hold_down_days;
    }
    const auto fill = [&](Kind kind, auto& map) {
        map = std::remove_reference_t<decltype(map)>(document.objects(kind));
    };
    fill(Kind::operators, policy.operators);
    fill(Kind::allocations, policy.allocations);
    fill(Kind::attachments, policy.attachments);
    fill(Kind::tunnels, policy.tunnels);
    fill(Kind::institutions, policy.institutions);
    fill(Kind::translations, policy.translations);
    fill(Kind::agreements, policy.agreements);
    fill(Kind::routes, policy.routes);
    fill(Kind::gates, policy.gates);
    return policy;
}

}  // namespace sekisho::control
