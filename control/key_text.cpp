// A walk over the strings of a line of JSON. Control plane only.
#include "control/key_text.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <cstring>

namespace sekisho::control {

namespace {

constexpr std::string_view kName = "\"key\"";
constexpr std::size_t kShortest = 8;  // characters: room for a mark. No key is as short

int digit_of(char letter) noexcept {
    if (letter >= '0' && letter <= '9') return letter - '0';
    if (letter >= 'a' && letter <= 'f') return letter - 'a' + 10;
    if (letter >= 'A' && letter <= 'F') return letter - 'A' + 10;
    return -1;
}

// The bytes behind hexadecimal digits; an empty Secret if it is something else.
Secret read_hexadecimal(std::span<const char> text) {
    std::array<std::uint8_t, 64> bytes;  // longer than the longest key
    if (text.size() % 2 != 0 || text.size() > 2 * bytes.size()) return {};
    bool good = true;
    for (std::size_t i = 0; i < text.size() / 2; ++i) {
        const int high = digit_of(text[2 * i]);
        const int low = digit_of(text[2 * i + 1]);
        good = good && high >= 0 && low >= 0;
        bytes[i] = static_cast<std::uint8_t>((high & 15) << 4 | (low & 15));
    }
    Secret secret = good ? Secret(std::span(bytes).first(text.size() / 2)) : Secret();
    wipe(bytes);
    return secret;
}

// "#12" and spaces, as long as what was there; too short a value becomes a row of dashes, which is no mark.
void mark(std::span<char> text, std::size_t number) {
    wipe({reinterpret_cast<std::uint8_t*>(text.data()), text.size()});
    std::fill(text.begin(), text.end(), text.size() < kShortest ? '-' : ' ');
    if (text.size() < kShortest) return;
    text[0] = '#';
    std::to_chars(text.data() + 1, text.data() + text.size(), number);
}

// Behind the closing quotation mark of the string that begins at `at`; the end if it has none.
std::size_t end_of_string(std::span<const char> line, std::size_t at) noexcept {
    for (++at; at < line.size(); ++at) {
        if (line[at] == '\\')
            ++at;
        else if (line[at] == '"')
            return at + 1;
    }
    return line.size();
}

std::size_t behind_spaces(std::span<const char> line, std::size_t at) noexcept {
    while (at < line.size() && (line[at] == ' ' || line[at] == '\t' || line[at] == '\r' || line[at] == '\n')) ++at;
    return at;
}

}  // namespace

std::vector<Secret> take_keys(std::span<char> line) {
    std::vector<Secret> keys;
    if (std::string_view(line.data(), line.size()).find(kName) == std::string_view::npos) return keys;
    for (std::size_t at = 0; at < line.size();) {
        if (line[at] != '"') {
            ++at;
            continue;
        }
        const std::size_t end = end_of_string(line, at);
        const bool is_name = std::string_view(line.data() + at, end - at) == kName;
        at = end;
        if (!is_name) continue;
        const std::size_t colon = behind_spaces(line, at);
        if (colon >= line.size() || line[colon] != ':') continue;
        const std::size_t value = behind_spaces(line, colon + 1);
        if (value >= line.size() || line[value] != '"') continue;
        const std::size_t value_end = end_of_string(line, value);
        const std::size_t closing = value_end - (line[value_end - 1] == '"' && value_end - 1 > value ? 1 : 0);
        const std::span<char> text = line.subspan(value + 1, closing - value - 1);
        keys.push_back(read_hexadecimal(text));
        mark(text, keys.size() - 1);
        at = value_end;
    }
    return keys;
}

const Secret* key_of(std::string_view mark, const std::vector<Secret>& keys) noexcept {
    if (mark.size() < kShortest || mark[0] != '#') return nullptr;
    std::size_t number = 0;
    const auto [end, error] = std::from_chars(mark.data() + 1, mark.data() + mark.size(), number);
    if (error != std::errc() || end == mark.data() + mark.size() || *end != ' ') return nullptr;
    return number < keys.size() ? &keys[number] : nullptr;
}

}  // namespace sekisho::control
