#include "control/text_table.hpp"

#include <algorithm>
#include <cassert>
#include <cstdint>

namespace sekisho::control {

namespace {

constexpr std::string_view kGap = "  ";

bool is_combining(std::uint32_t point) {
    return (point >= 0x300 && point <= 0x36f) || (point >= 0x3099 && point <= 0x309a) || point == 0x200b;
}

// East Asian wide and fullwidth, by their blocks (UAX #11).
bool is_wide(std::uint32_t point) {
    return (point >= 0x1100 && point <= 0x115f) || (point >= 0x2e80 && point <= 0xa4cf && point != 0x303f) ||
           (point >= 0xac00 && point <= 0xd7a3) || (point >= 0xf900 && point <= 0xfaff) ||
           (point >= 0xfe30 && point <= 0xfe6f) || (point >= 0xff00 && point <= 0xff60) ||
           (point >= 0xffe0 && point <= 0xffe6) || (point >= 0x1f300 && point <= 0x1faff) ||
           (point >= 0x20000 && point <= 0x3fffd);
}

}  // namespace

std::size_t shown_width(std::string_view text) {
    std::size_t width = 0;
    for (std::size_t at = 0; at < text.size();) {
        const auto first = static_cast<unsigned char>(text[at++]);
        std::uint32_t point = first;
        int more = 0;
        if (first >= 0xf0)
            point = first & 0x07U, more = 3;
        else if (first >= 0xe0)
            point = first & 0x0fU, more = 2;
        else if (first >= 0xc0)
            point = first & 0x1fU, more = 1;
        for (; more > 0 && at < text.size(); --more)
            point = point << 6 | (static_cast<unsigned char>(text[at++]) & 0x3fU);
        if (!is_combining(point)) width += is_wide(point) ? 2U : 1U;
    }
    return width;
}

void TextTable::add(std::vector<std::string> cells) {
    assert(cells.size() == columns_.size());
    rows_.push_back(std::move(cells));
}

std::string TextTable::text() const {
    std::vector<std::size_t> widths;
    for (const Column& column : columns_) widths.push_back(shown_width(column.title));
    for (const auto& row : rows_)
        for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], shown_width(row[i]));

    std::string result;
    const auto add_line = [&](const auto& cell_of) {
        std::string line;
        for (std::size_t i = 0; i < columns_.size(); ++i) {
            const std::string& cell = cell_of(i);
            const std::string padding(widths[i] - shown_width(cell), ' ');
            if (i != 0) line += kGap;
            line += columns_[i].align == Align::right ? padding + cell : cell + padding;
        }
        line.erase(line.find_last_not_of(' ') + 1);
        result += line + "\n";
    };
    add_line([&](std::size_t i) -> const std::string& { return columns_[i].title; });
    for (const auto& row : rows_) add_line([&](std::size_t i) -> const std::string& { return row[i]; });
    return result;
}

}  // namespace sekisho::control
