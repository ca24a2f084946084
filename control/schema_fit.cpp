// valijson, and nothing else. Control plane only.
#include "control/schema_fit.hpp"

#include <cassert>
#include <functional>
#include <map>

#include <nlohmann/json.hpp>
#include <valijson/adapters/nlohmann_json_adapter.hpp>
#include <valijson/schema.hpp>
#include <valijson/schema_parser.hpp>
#include <valijson/validator.hpp>

#include "control/schema.hpp"

namespace sekisho::control {

namespace {

using nlohmann::json;
using valijson::adapters::NlohmannJsonAdapter;
using Schemas = std::map<std::string, valijson::Schema, std::less<>>;

Schemas made() {
    Schemas schemas;
    const json whole = json::parse(schema_text());
    for (const auto& [kind, unused] : whole["properties"].items()) {
        json root = whole["definitions"][kind];
        root["definitions"] = whole["definitions"];
        valijson::SchemaParser(valijson::SchemaParser::kDraft7)
            .populateSchema(NlohmannJsonAdapter(root), schemas[kind]);
    }
    return schemas;
}

bool apply(std::string_view kind, const json& object, valijson::ValidationResults* results) {
    static const Schemas schemas = made();       // once, then read by any thread
    thread_local valijson::Validator validator;  // it keeps the compiled patterns
    const auto schema = schemas.find(kind);
    assert(schema != schemas.end());
    return validator.validate(schema->second, NlohmannJsonAdapter(object), results);
}

}  // namespace

bool fits_schema(std::string_view kind, const json& object) {
    return apply(kind, object, nullptr);
}

std::vector<Misfit> misfits(std::string_view kind, const json& object) {
    valijson::ValidationResults results;
    apply(kind, object, &results);
    std::vector<Misfit> found;
    for (const auto& result : results) {
        if (result.description.starts_with("Failed to validate ")) continue;  // of what is around a misfit
        Misfit misfit{{}, result.description};
        for (std::size_t i = 1; i < result.context.size(); ++i)  // {"<root>", "[links]", "[0]"}
            misfit.path.push_back(result.context[i].substr(1, result.context[i].size() - 2));
        found.push_back(std::move(misfit));
    }
    return found;
}

}  // namespace sekisho::control
