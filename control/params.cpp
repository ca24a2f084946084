#include "control/params.hpp"

#include <fmt/format.h>

#include "control/place.hpp"

namespace sekisho::control {

using nlohmann::json;

const json* Params::find(const std::string& name) {
    known_.insert(name);
    const auto found = object_.find(name);
    return found == object_.end() ? nullptr : &*found;
}

void Params::refuse(const std::string& name, const std::string& words) {
    if (words_.empty()) words_ = fmt::format("parameter {}: {}", in_quotes(name), words);
}

std::optional<std::string> Params::text(const std::string& name) {
    const json* value = find(name);
    if (value == nullptr) return std::nullopt;
    if (value->is_string()) return value->get<std::string>();
    refuse(name, "a string is expected");
    return std::nullopt;
}

std::string Params::required_text(const std::string& name) {
    auto value = text(name);
    if (!value) refuse(name, "is missing");
    return value.value_or("");
}

std::uint64_t Params::number(const std::string& name, std::uint64_t otherwise, std::uint64_t most) {
    const json* value = find(name);
    if (value == nullptr) return otherwise;
    if (value->is_number_unsigned() && value->get<std::uint64_t>() <= most) return value->get<std::uint64_t>();
    refuse(name, fmt::format("a whole number from 0 to {} is expected", most));
    return otherwise;
}

std::uint64_t Params::required_number(const std::string& name) {
    const json* value = find(name);
    if (value != nullptr && value->is_number_unsigned()) return value->get<std::uint64_t>();
    refuse(name, value == nullptr ? "is missing" : "a whole number is expected");
    return 0;
}

bool Params::flag(const std::string& name) {
    const json* value = find(name);
    if (value == nullptr) return false;
    if (value->is_boolean()) return value->get<bool>();
    refuse(name, "true or false is expected");
    return false;
}

json Params::take(const std::string& name) {
    known_.insert(name);
    const auto found = object_.find(name);
    return found == object_.end() ? json() : std::move(*found);
}

std::optional<RpcError> Params::error() {
    for (const auto& [name, value] : object_.items())
        if (!known_.contains(name)) refuse(name, "there is no such parameter");
    if (words_.empty()) return std::nullopt;
    return RpcError{RpcErrorCode::invalid_params, words_};
}

}  // namespace sekisho::control
