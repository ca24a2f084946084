// The schema applied: valijson says whether and where, this file says what was expected there. Control plane only.
#include "control/schema.hpp"

#include <array>
#include <cassert>
#include <map>
#include <optional>
#include <utility>

#include <nlohmann/json.hpp>
#include <valijson/adapters/nlohmann_json_adapter.hpp>
#include <valijson/schema.hpp>
#include <valijson/schema_parser.hpp>
#include <valijson/validator.hpp>

#include "control/place.hpp"

namespace sekisho::control {

namespace {

using nlohmann::json;
using valijson::adapters::NlohmannJsonAdapter;

struct Schemas {
    json text = json::parse(schema_text());
    std::map<std::string, valijson::Schema, std::less<>> of_kind;

    Schemas() {
        for (const auto& [kind, unused] : text["properties"].items()) {
            json root = text["definitions"][kind];
            root["definitions"] = text["definitions"];
            valijson::SchemaParser(valijson::SchemaParser::kDraft7)
                .populateSchema(NlohmannJsonAdapter(root), of_kind[kind]);
        }
    }

    const json& resolved(const json& schema) const {
        const auto reference = schema.find("$ref");
        if (reference == schema.end()) return schema;
        return resolved(text.at(json::json_pointer(reference->get_ref<const std::string&>().substr(1))));
    }
};

const Schemas& schemas() {
    static const Schemas all;  // made once, read by any thread
    return all;
}

std::string listed(const std::vector<std::string>& words) {
    std::string result;
    for (const std::string& word : words) result += (result.empty() ? "" : ", ") + word;
    return result;
}

// "Its name, for people." as the end of a sentence of ours.
std::string described(const json& schema) {
    const std::string text = schema.value("description", "");
    if (text.empty() && schema.contains("$ref")) return described(schemas().resolved(schema));
    return text.empty() ? "" : ": " + text;
}

std::string name_of_type(const json& value) {
    if (value.is_number_float()) return "a number that is not whole, or too large";
    if (value.is_number()) return "a number";
    switch (value.type()) {
        case json::value_t::object: return "an object";
        case json::value_t::array: return "an array";
        case json::value_t::string: return "a string";
        case json::value_t::boolean: return value.get<bool>() ? "true" : "false";
        default: return "null";
    }
}

std::string article(const std::string& type) {
    return (type == "integer" ? "a whole number" : type == "object" || type == "array" ? "an " + type : "a " + type);
}

bool has_type(const json& value, const std::string& type) {
    return (type == "object" && value.is_object()) || (type == "array" && value.is_array()) ||
           (type == "string" && value.is_string()) || (type == "boolean" && value.is_boolean()) ||
           (type == "integer" && value.is_number_integer());
}

std::size_t characters(const std::string& text) {
    std::size_t count = 0;
    for (const char letter : text) count += (static_cast<unsigned char>(letter) & 0xc0) != 0x80 ? 1 : 0;
    return count;
}

// "1 to 256", "at least 1", "at most 256" from the two keywords; nothing when neither is there.
std::string bounds(const json& schema, const char* least, const char* most) {
    if (schema.contains(least) && schema.contains(most)) return schema[least].dump() + " to " + schema[most].dump();
    if (schema.contains(least)) return "at least " + schema[least].dump();
    return schema.contains(most) ? "at most " + schema[most].dump() : "";
}

bool outside(const json& schema, const char* least, const char* most, const json& count) {
    return (schema.contains(least) && count < schema[least]) || (schema.contains(most) && count > schema[most]);
}

// What of `schema` (its own keywords, not its members') `value` does not meet, in words; `as_written` is the schema
// before its $ref was followed, whose description is the field's own.
std::vector<std::string> expectations(const json& as_written, const json& schema, const json& value) {
    std::vector<std::string> words;
    const json& told = as_written.contains("description") ? as_written : schema;
    if (const auto type = schema.find("type"); type != schema.end()) {
        bool fits = false;
        std::string expected;
        for (const json& one : type->is_array() ? *type : json::array({*type})) {
            fits = fits || has_type(value, one.get<std::string>());
            expected += (expected.empty() ? "" : " or ") + article(one.get<std::string>());
        }
        if (!fits) return {"expected " + expected + ", not " + name_of_type(value) + described(told)};
    }
    if (const auto choices = schema.find("enum"); choices != schema.end() && value.is_string()) {
        std::vector<std::string> names;
        for (const json& choice : *choices) names.push_back(choice.get<std::string>());
        if (std::find(choices->begin(), choices->end(), value) == choices->end())
            words.push_back(in_quotes(value.get_ref<const std::string&>()) + " is not one of " + listed(names));
    }
    if (value.is_string()) {
        const std::string& text = value.get_ref<const std::string&>();
        if (outside(schema, "minLength", "maxLength", characters(text)))
            words.push_back(in_quotes(text) + ": expected " + bounds(schema, "minLength", "maxLength") + " characters" +
                            described(told));
        else if (schema.contains("pattern"))
            words.push_back(in_quotes(text) + " is not what was expected" + described(schema));
    }
    if (value.is_number() && outside(schema, "minimum", "maximum", value))
        words.push_back(value.dump() + " is not " + bounds(schema, "minimum", "maximum"));
    if (value.is_array() && outside(schema, "minItems", "maxItems", value.size()))
        words.push_back("has " + std::to_string(value.size()) + " entries: expected " +
                        bounds(schema, "minItems", "maxItems") + described(told));
    if (value.is_object()) {
        const json fields = schema.value("properties", json::object());
        for (const json& required : schema.value("required", json::array())) {
            const auto& name = required.get_ref<const std::string&>();
            if (!value.contains(name)) words.push_back(in_quotes(name) + " is missing" + described(fields.at(name)));
        }
        std::vector<std::string> known;
        for (const auto& field : fields.items()) known.push_back(field.key());
        for (const auto& member : value.items())
            if (!fields.contains(member.key()))
                words.push_back(in_quotes(member.key()) + " is not a field here; the fields are " + listed(known));
    }
    return words;
}

// Where valijson found something: {"<root>", "[links]", "[0]"}.
struct Finding {
    std::string field;  // "links[0]"
    const json* as_written = nullptr;
    const json* schema = nullptr;
    const json* value = nullptr;
};

Finding locate(const json& schema, const json& object, const std::vector<std::string>& context) {
    Finding found{"", &schema, &schemas().resolved(schema), &object};
    for (std::size_t i = 1; i < context.size(); ++i) {
        const std::string step = context[i].substr(1, context[i].size() - 2);
        if (found.value->is_array()) {
            found.field += "[" + step + "]";
            found.as_written = &found.schema->at("items");
            found.value = &found.value->at(std::stoul(step));
        } else {
            found.field += (found.field.empty() ? "" : ".") + step;
            found.as_written = &found.schema->at("properties").at(step);
            found.value = &found.value->at(step);
        }
        found.schema = &schemas().resolved(*found.as_written);
    }
    return found;
}

}  // namespace

bool check_schema(std::string_view kind, const json& object, const std::string& place, std::vector<Error>& errors) {
    const auto schema = schemas().of_kind.find(kind);
    assert(schema != schemas().of_kind.end());
    thread_local valijson::Validator validator;  // it keeps the compiled patterns
    const NlohmannJsonAdapter adapter(object);
    if (validator.validate(schema->second, adapter, nullptr)) return true;  // without collecting, which is slow

    valijson::ValidationResults results;
    validator.validate(schema->second, adapter, &results);
    const json& definition = schemas().text.at("definitions").at(std::string(kind));
    std::vector<std::string> done;
    const std::size_t before = errors.size();
    for (const auto& result : results) {
        // That a member failed is said of every object around it; only what failed itself is of interest.
        if (result.description.starts_with("Failed to validate ")) continue;
        const Finding found = locate(definition, object, result.context);
        if (std::find(done.begin(), done.end(), found.field) != done.end()) continue;
        done.push_back(found.field);
        const std::string where = found.field.empty() ? place : place + " ." + found.field;
        auto words = expectations(*found.as_written, *found.schema, *found.value);
        if (words.empty()) words.push_back(result.description);
        for (std::string& sentence : words) errors.push_back(Error{ErrorCode::invalid, std::move(sentence)}.at(where));
    }
    if (errors.size() == before)
        errors.push_back(Error{ErrorCode::invalid, "does not fit docs/policy.schema.json"}.at(place));
    return false;
}

}  // namespace sekisho::control
