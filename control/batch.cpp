#include "control/batch.hpp"

#include <string>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "control/place.hpp"

namespace sekisho::control {

namespace {

using nlohmann::json;

// What both halves have in common: an object whose members are kinds.
Expected<void> check_kinds(const json& half, const char* name) {
    if (!half.is_object()) return Error{ErrorCode::invalid, fmt::format("{}: an object of kinds is expected", name)};
    for (const auto& [kind, value] : half.items()) {
        if (!kind_named(kind)) return Error{ErrorCode::invalid, fmt::format("{}: no kind {}", name, in_quotes(kind))};
        const bool is_one = kind == name_of(Kind::hub) && std::string_view(name) == "put";
        if (!is_one && !value.is_array())
            return Error{ErrorCode::invalid, fmt::format("{}.{}: an array is expected", name, kind)};
    }
    return {};
}

Expected<void> apply_deletes(Document& document, const json& deletes, Staged& staged) {
    if (auto checked = check_kinds(deletes, "delete"); !checked) return checked;
    for (const auto& [kind, ids] : deletes.items()) {
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
    if (auto checked = check_kinds(puts, "put"); !checked) return checked;
    for (const auto& [kind, objects] : puts.items()) {
        if (kind == name_of(Kind::hub)) {
            const auto put = document.put(kind, objects);
            if (!put) return put.error().at("put.hub");
            staged.bytes += *put;
            ++staged.puts;
            continue;
        }
        for (std::size_t i = 0; i < objects.size(); ++i) {
            const auto put = document.put(kind, objects[i]);
            if (!put) return put.error().at(fmt::format("put.{}[{}]", kind, i));
            staged.bytes += *put;
            ++staged.puts;
        }
    }
    return {};
}

}  // namespace

Expected<Staged> apply_batch(Document& document, const json& operations, std::uint64_t room) {
    if (!operations.is_object())
        return Error{ErrorCode::invalid, "batch: an object with \"put\" or \"delete\" is expected"};
    for (const auto& [name, value] : operations.items())
        if (name != "put" && name != "delete")
            return Error{ErrorCode::invalid,
                         fmt::format("batch: {} is neither \"put\" nor \"delete\"", in_quotes(name))};
    Document next = document;
    Staged staged;
    if (const auto deletes = operations.find("delete"); deletes != operations.end())
        if (auto applied = apply_deletes(next, *deletes, staged); !applied) return applied.error();
    if (const auto puts = operations.find("put"); puts != operations.end())
        if (auto applied = apply_puts(next, *puts, staged); !applied) return applied.error();
    if (staged.bytes > room)
        return Error{ErrorCode::limit,
                     fmt::format("batch: it puts {} bytes of objects, and there is room for {}: all open transactions "
                                 "together may hold only so much; commit or abort one, or begin again",
                                 staged.bytes, room)};
    document = std::move(next);
    staged.objects = document.size();
    return staged;
}

}  // namespace sekisho::control
