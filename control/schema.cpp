// The schema applied: valijson says whether and where, this file says what was expected there. Control plane only.
#include "control/schema.hpp"

#include <algorithm>
#include <utility>

#include <nlohmann/json.hpp>

#include "control/place.hpp"
#include "control/schema_fit.hpp"
#include "control/schema_shape.hpp"

namespace sekisho::control {

namespace {

using nlohmann::json;

const json& published() {
    static const json text = json::parse(schema_text());  // made once, read by any thread
    return text;
}

const json& resolved(const json& part) {
    const auto reference = part.find("$ref");
    if (reference == part.end()) return part;
    return resolved(published().at(json::json_pointer(reference->get_ref<const std::string&>().substr(1))));
}

std::string listed(const std::vector<std::string>& words) {
    std::string result;
    for (const std::string& word : words) result += (result.empty() ? "" : ", ") + word;
    return result;
}

// "Its name, for people." as the end of a sentence of ours.
std::string described(const json& part) {
    const std::string text = part.value("description", "");
    if (text.empty() && part.contains("$ref")) return described(resolved(part));
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

// "1 to 256", "17", "at least 1", "at most 256" from the two keywords; nothing when neither is there.
std::string bounds(const json& schema, const char* least, const char* most) {
    if (schema.contains(least) && schema.contains(most) && schema[least] == schema[most]) return schema[least].dump();
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

// A place in an object, and what the schema says of it.
struct Place {
    std::string field;  // "links[0]"
    const json* as_written = nullptr;
    const json* schema = nullptr;
    const json* value = nullptr;
};

Place locate(const json& definition, const json& object, const std::vector<std::string>& path) {
    Place place{"", &definition, &resolved(definition), &object};
    for (const std::string& step : path) {
        if (place.value->is_array()) {
            place.field += "[" + step + "]";
            place.as_written = &place.schema->at("items");
            place.value = &place.value->at(std::stoul(step));
        } else {
            place.field += (place.field.empty() ? "" : ".") + step;
            place.as_written = &place.schema->at("properties").at(step);
            place.value = &place.value->at(step);
        }
        place.schema = &resolved(*place.as_written);
    }
    return place;
}

}  // namespace

bool fits(std::string_view kind, const json& object) {
    return surely_fits(kind, object) || fits_schema(kind, object);
}

bool check_schema(std::string_view kind, const json& object, const std::string& place, std::vector<Error>& errors) {
    if (fits(kind, object)) return true;
    const json& definition = published().at("definitions").at(std::string(kind));
    std::vector<std::string> told;
    const std::size_t before = errors.size();
    for (const Misfit& misfit : misfits(kind, object)) {
        const Place at = locate(definition, object, misfit.path);
        if (std::find(told.begin(), told.end(), at.field) != told.end()) continue;
        told.push_back(at.field);
        auto words = expectations(*at.as_written, *at.schema, *at.value);
        if (words.empty()) words.push_back(misfit.words);
        for (std::string& sentence : words)
            errors.push_back(
                Error{ErrorCode::invalid, std::move(sentence)}.at(at.field.empty() ? place : place + " ." + at.field));
    }
    if (errors.size() == before)
        errors.push_back(Error{ErrorCode::invalid, "does not fit docs/policy.schema.json"}.at(place));
    return false;
}

}  // namespace sekisho::control
