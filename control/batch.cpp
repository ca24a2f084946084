#include "control/batch.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace sekisho::control {

namespace {

using nlohmann::json;

Expected<void> apply_deletes(Document& document, const json& deletes, Staged& staged) {
    if (!deletes.is_object()) return Error{ErrorCode::invalid, "delete: an object of kinds is expected"};
    for (const auto& [kind, ids] : deletes.items()) {
        if (!ids.is_array())
            return Error{ErrorCode::invalid, fmt::format("delete.{}: an array of ids is expected", kind)};
        for (std::size_t i = 0; i < ids.size(); ++i) {
            const std::string place = fmt::format("delete.{}[{}]", kind, i);
            if (!ids[i].is_string()) return Error{ErrorCode::invalid, place + ": an id is a string"};
            if (auto erased = document.erase(kind, ids[i].get_ref<const std::string&>()); !erased)
                return erased.error().at(place);
            ++staged.deletes;
        }
    }
    return {};
}

Expected<void> apply_puts(Document& document, const json& puts, Staged& staged) {
    if (!puts.is_object()) return Error{ErrorCode::invalid, "put: an object of kinds is expected"};
    for (const auto& [kind, objects] : puts.items()) {
        if (kind == name_of(Kind::hub)) {
            if (auto put = document.put(kind, objects); !put) return put.error().at("put.hub");
            ++staged.puts;
            continue;
        }
        if (!objects.is_array())
            return Error{ErrorCode::invalid, fmt::format("put.{}: an array of objects is expected", kind)};
        for (std::size_t i = 0; i < objects.size(); ++i) {
            if (auto put = document.put(kind, objects[i]); !put)
                return put.error().at(fmt::format("put.{}[{}]", kind, i));
            ++staged.puts;
        }
    }
    return {};
}

}  // namespace

Expected<Staged> apply_batch(Document& document, const json& operations) {
    if (!operations.is_object())
        return Error{ErrorCode::invalid, "batch: an object with \"put\" or \"delete\" is expected"};
    for (const auto& [name, value] : operations.items())
        if (name != "put" && name != "delete")
            return Error{ErrorCode::invalid, fmt::format("batch: \"{}\" is neither \"put\" nor \"delete\"", name)};
    Document next = document;
    Staged staged;
    if (const auto deletes = operations.find("delete"); deletes != operations.end())
        if (auto applied = apply_deletes(next, *deletes, staged); !applied) return applied.error();
    if (const auto puts = operations.find("put"); puts != operations.end())
        if (auto applied = apply_puts(next, *puts, staged); !applied) return applied.error();
    document = std::move(next);
    staged.objects = document.size();
    return staged;
}

}  // namespace sekisho::control
