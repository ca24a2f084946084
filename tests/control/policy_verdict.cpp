// A filter for policy_schema_oracle.py: reads {"kind": ..., "object": ...} a line, prints "fits" or "refused" a line.
#include <iostream>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "control/schema.hpp"

int main() {
    std::string line;
    while (std::getline(std::cin, line)) {
        const auto request = nlohmann::json::parse(line);
        std::vector<sekisho::Error> errors;
        const bool fits =
            sekisho::control::check_schema(request.at("kind").get<std::string>(), request.at("object"), "it", errors);
        if (fits != errors.empty()) return 1;  // a refusal has words, and only a refusal
        std::cout << (fits ? "fits" : "refused") << '\n';
    }
    return 0;
}
