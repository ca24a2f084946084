// Reading the schema into shapes, and laying objects against them. Control plane only.
#include "control/schema_shape.hpp"

#include <algorithm>
#include <cstdint>
#include <deque>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "control/schema.hpp"

namespace sekisho::control {

namespace {

using nlohmann::json;

constexpr std::size_t kNoBound = std::numeric_limits<std::size_t>::max();

struct Shape {
    struct Field {
        std::string name;
        const Shape* shape = nullptr;
        bool required = false;
    };
    bool known = true;  // false: something is said in a way that is not understood here
    bool object = false, array = false, string = false, integer = false, boolean = false;  // types that it may have
    std::vector<Field> fields;                                                             // by name
    std::size_t required = 0;                                                              // how many of them are
    const Shape* items = nullptr;
    std::size_t least_items = 0, most_items = kNoBound;
    std::size_t least_length = 0, most_length = kNoBound;  // in characters
    std::size_t most_of_id = 0;                            // not 0: letters, digits, '.', '_', '-', so many at most
    std::vector<std::string> choices;                      // none: any
    std::int64_t minimum = std::numeric_limits<std::int64_t>::min();
    std::int64_t maximum = std::numeric_limits<std::int64_t>::max();

    bool fits(const json& value) const;

  private:
    bool fits_text(const std::string& text) const;
    bool fits_fields(const json& value) const;
};

bool is_letter_or_digit(char letter) noexcept {
    return (letter >= '0' && letter <= '9') || (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z');
}

bool is_id(const std::string& text, std::size_t most) noexcept {
    if (text.empty() || text.size() > most || !is_letter_or_digit(text[0])) return false;
    return std::all_of(text.begin(), text.end(), [](char letter) {
        return is_letter_or_digit(letter) || letter == '.' || letter == '_' || letter == '-';
    });
}

bool Shape::fits(const json& value) const {
    if (!known) return false;
    switch (value.type()) {
        case json::value_t::string: return string && fits_text(value.get_ref<const std::string&>());
        case json::value_t::boolean: return boolean;
        case json::value_t::object: return object && fits_fields(value);
        case json::value_t::array:
            return array && value.size() >= least_items && value.size() <= most_items &&
                   (items == nullptr ||
                    std::all_of(value.begin(), value.end(), [&](const json& item) { return items->fits(item); }));
        case json::value_t::number_unsigned:
            if (value.get<std::uint64_t>() > std::uint64_t{std::numeric_limits<std::int64_t>::max()}) return false;
            [[fallthrough]];
        case json::value_t::number_integer: {
            const auto number = value.get<std::int64_t>();
            return integer && number >= minimum && number <= maximum;
        }
        default: return false;
    }
}

bool Shape::fits_text(const std::string& text) const {
    if (most_of_id != 0 && !is_id(text, most_of_id)) return false;
    if (!choices.empty() && std::find(choices.begin(), choices.end(), text) == choices.end()) return false;
    if (least_length == 0 && most_length == kNoBound) return true;
    const auto characters = static_cast<std::size_t>(std::count_if(
        text.begin(), text.end(), [](char letter) { return (static_cast<unsigned char>(letter) & 0xc0) != 0x80; }));
    return characters >= least_length && characters <= most_length;
}

// Members and fields both ascend by name.
bool Shape::fits_fields(const json& value) const {
    auto field = fields.begin();
    std::size_t found = 0;
    for (auto member = value.begin(); member != value.end(); ++member) {
        while (field != fields.end() && field->name < member.key()) ++field;
        if (field == fields.end() || field->name != member.key() || !field->shape->fits(*member)) return false;
        if (field->required) ++found;
    }
    return found == required;
}

// Of "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$": 64; nothing for any other pattern.
std::optional<std::size_t> longest_id(std::string_view pattern) {
    constexpr std::string_view kBegin = "^[A-Za-z0-9][A-Za-z0-9._-]{0,";
    constexpr std::string_view kEnd = "}$";
    if (!pattern.starts_with(kBegin) || !pattern.ends_with(kEnd)) return std::nullopt;
    const std::string digits(pattern.substr(kBegin.size(), pattern.size() - kBegin.size() - kEnd.size()));
    if (digits.empty() || digits.size() > 4 || digits.find_first_not_of("0123456789") != std::string::npos)
        return std::nullopt;
    return std::stoul(digits) + 1;
}

class Shapes {
  public:
    explicit Shapes(json schema) : schema_(std::move(schema)) {
        for (const auto& [kind, definition] : schema_.at("definitions").items()) kinds_[kind] = shape_of(definition);
    }
    const Shape& of(std::string_view kind) const { return *kinds_.find(kind)->second; }

  private:
    const Shape* shape_of(const json& part) {
        // As draft 7 has it, what stands beside a reference counts for nothing.
        if (const auto reference = part.find("$ref"); reference != part.end())
            return shape_of(schema_.at(json::json_pointer(reference->get_ref<const std::string&>().substr(1))));
        const auto [known, fresh] = shapes_.try_emplace(&part, nullptr);
        if (!fresh) return known->second;
        Shape& shape = storage_.emplace_back();
        known->second = &shape;
        for (const auto& [keyword, value] : part.items()) take(shape, keyword, value);
        for (const auto& name : part.value("required", json::array()))
            for (Shape::Field& field : shape.fields)
                if (field.name == name) field.required = true;
        shape.required = part.value("required", json::array()).size();
        // Without a list of all its fields, an object may have others.
        shape.known = shape.known && (!shape.object || part.value("additionalProperties", true) == false);
        return &shape;
    }

    void take(Shape& shape, const std::string& keyword, const json& value) {
        if (keyword == "type") {
            for (const json& type : value.is_array() ? value : json::array({value})) take_type(shape, type);
        } else if (keyword == "properties") {
            for (const auto& [name, part] : value.items()) shape.fields.push_back({name, shape_of(part)});
        } else if (keyword == "items") {
            shape.items = shape_of(value);
        } else if (keyword == "enum") {
            for (const json& choice : value)
                if (choice.is_string())
                    shape.choices.push_back(choice.get<std::string>());
                else
                    shape.known = false;
        } else if (keyword == "pattern") {
            const auto longest = longest_id(value.get_ref<const std::string&>());
            shape.known = shape.known && longest;
            shape.most_of_id = longest.value_or(0);
        } else if (keyword == "minLength") {
            shape.least_length = value;
        } else if (keyword == "maxLength") {
            shape.most_length = value;
        } else if (keyword == "minItems") {
            shape.least_items = value;
        } else if (keyword == "maxItems") {
            shape.most_items = value;
        } else if (keyword == "minimum") {
            shape.minimum = value;
        } else if (keyword == "maximum") {
            shape.maximum = value;
        } else if (keyword != "description" && keyword != "required" && keyword != "additionalProperties") {
            shape.known = false;
        }
    }

    static void take_type(Shape& shape, const json& type) {
        if (type == "object")
            shape.object = true;
        else if (type == "array")
            shape.array = true;
        else if (type == "string")
            shape.string = true;
        else if (type == "integer")
            shape.integer = true;
        else if (type == "boolean")
            shape.boolean = true;
        else
            shape.known = false;
    }

    const json schema_;
    std::deque<Shape> storage_;                   // whose elements do not move
    std::map<const json*, const Shape*> shapes_;  // by their place in the schema
    std::map<std::string, const Shape*, std::less<>> kinds_;
};

}  // namespace

bool surely_fits(std::string_view kind, const json& object) {
    static const Shapes shapes(json::parse(schema_text()));  // made once, then read by any thread
    return shapes.of(kind).fits(object);
}

}  // namespace sekisho::control
