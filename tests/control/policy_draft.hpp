// A draft of a policy document for tests: a good one (an example, docs/examples/three-operators.json unless another is
// named), changed in one place.
#pragma once

#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "control/document.hpp"
#include "control/validate.hpp"

namespace sekisho::control {

inline std::string file_text(const std::string& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

class Draft {
  public:
    explicit Draft(const std::string& example = "three-operators.json")
        : json_(nlohmann::json::parse(file_text(SEKISHO_EXAMPLES "/" + example))) {}

    // The value at a JSON pointer ("/institutions/0/kind"; "/routes/-" appends) becomes `value`.
    Draft& set(const std::string& pointer, nlohmann::json value) {
        json_[nlohmann::json::json_pointer(pointer)] = std::move(value);
        return *this;
    }
    Draft& remove(const std::string& pointer) {
        const nlohmann::json::json_pointer place(pointer);
        nlohmann::json& parent = json_.at(place.parent_pointer());
        if (parent.is_array())
            parent.erase(std::stoul(place.back()));
        else
            parent.erase(place.back());
        return *this;
    }
    const nlohmann::json& json() const { return json_; }
    nlohmann::json at(const std::string& pointer) const { return json_.at(nlohmann::json::json_pointer(pointer)); }

    // What the reader says of it, and when that is nothing, what validation says.
    std::vector<std::string> errors() const {
        std::vector<Error> found;
        const auto document = Document::parse(json_.dump(), found);
        if (document) found = validate(policy_of(*document));
        std::vector<std::string> words;
        for (const Error& error : found) words.push_back(error.words);
        return words;
    }
    Document document() const { return Document::parse(json_.dump()).value(); }
    Policy policy() const { return policy_of(document()); }

  private:
    nlohmann::json json_;
};

using Words = std::vector<std::string>;

inline Words errors_of_text(std::string_view text) {
    std::vector<Error> errors;
    Document::parse(text, errors);
    Words words;
    for (const Error& error : errors) words.push_back(error.words);
    return words;
}

}  // namespace sekisho::control
