// A request's parameters, read by name: each is asked for once, and what nobody asked for is an error.
//
// So a mistyped "dry_rum" refuses the request instead of committing for real. Reading goes on after an error; error()
// tells the first. Values only.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>

#include <nlohmann/json.hpp>

#include "control/json_rpc.hpp"

namespace sekisho::control {

class Params {
  public:
    explicit Params(nlohmann::json object) : object_(std::move(object)) {}

    std::optional<std::string> text(const std::string& name);
    std::string required_text(const std::string& name);
    std::uint64_t number(const std::string& name, std::uint64_t otherwise, std::uint64_t most);
    std::uint64_t required_number(const std::string& name);
    bool has(const std::string& name) const { return object_.contains(name); }
    bool flag(const std::string& name);            // false unless it is there and true
    nlohmann::json take(const std::string& name);  // any value, moved out; null when it is not there

    void refuse(const std::string& name, const std::string& words);  // for what the caller finds wrong with a value
    // After the last was read: the first thing wrong, unknown names included.
    std::optional<RpcError> error();

  private:
    const nlohmann::json* find(const std::string& name);

    nlohmann::json object_;
    std::set<std::string> known_;
    std::string words_;
};

}  // namespace sekisho::control
