// A table for people: columns aligned by what a terminal shows, Japanese text counted as wide.
//
// Not for programs: they have --json. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace sekisho::control {

// Columns that a terminal uses for UTF-8 `text`: none for combining marks, two for wide characters.
std::size_t shown_width(std::string_view text);

class TextTable {
  public:
    enum class Align { left, right };
    struct Column {
        std::string title;
        Align align = Align::left;
    };

    explicit TextTable(std::vector<Column> columns) : columns_(std::move(columns)) {}
    void add(std::vector<std::string> cells);  // as many as there are columns
    std::string text() const;                  // titles first; lines end in newlines and not in spaces

  private:
    std::vector<Column> columns_;
    std::vector<std::vector<std::string>> rows_;
};

}  // namespace sekisho::control
