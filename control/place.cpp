// Names of places, and text from strangers made safe to print. Control plane only.
#include "control/place.hpp"

#include <algorithm>
#include <cstddef>

namespace sekisho::control {

namespace {

// The length of the well-formed, printable UTF-8 character at the start of `text`, or 0 (RFC 3629 §4).
std::size_t character_length(std::string_view text) {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const unsigned char first = byte(0);
    if (first < 0x80) return first >= 0x20 && first != 0x7f ? 1 : 0;
    const std::size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4 || text.size() < length) return 0;
    for (std::size_t i = 1; i < length; ++i)
        if ((byte(i) & 0xc0) != 0x80) return 0;
    if (first == 0xc2 && byte(1) < 0xa0) return 0;                                         // C1 controls
    if ((first == 0xe0 && byte(1) < 0xa0) || (first == 0xf0 && byte(1) < 0x90)) return 0;  // too long a form
    if ((first == 0xed && byte(1) > 0x9f) || (first == 0xf4 && byte(1) > 0x8f)) return 0;  // surrogates, past U+10FFFF
    return length;
}

}  // namespace

std::string in_quotes(std::string_view text) {
    constexpr std::size_t kShown = 80;
    std::string result = "\"";
    for (std::size_t i = 0; i < text.size();) {
        if (i >= kShown) return result + "...\"";
        const std::size_t length = character_length(text.substr(i));
        if (length == 0)
            result += '?';
        else
            result += text.substr(i, length);
        i += std::max<std::size_t>(length, 1);
    }
    return result + "\"";
}

std::string place_of(std::string_view kind, std::string_view id) {
    return id.empty() ? std::string(kind) : std::string(kind) + " " + in_quotes(id);
}

std::string place_of(std::string_view kind, std::string_view id, std::string_view field) {
    if (field.empty()) return place_of(kind, id);
    return place_of(kind, id) + " ." + std::string(field);
}

std::string indexed(std::string_view field, std::size_t index) {
    return std::string(field) + "[" + std::to_string(index) + "]";
}

}  // namespace sekisho::control
