// Filling port class maps, column maps and permissions. Control thread only.
#include "dataplane/matrix.hpp"

#include <algorithm>
#include <cassert>

namespace sekisho::dataplane {

void PortClassMap::assign(const std::vector<PortClass>& class_of_port) {
    assert(class_of_port.size() == 65536);
    pages_.clear();
    for (std::size_t page = 0; page < 256; ++page) {
        Page content;
        std::copy_n(class_of_port.begin() + static_cast<std::ptrdiff_t>(page * 256), 256, content.begin());
        const auto same = std::find(pages_.begin(), pages_.end(), content);
        page_of_[page] = static_cast<std::uint16_t>(same - pages_.begin());
        if (same == pages_.end()) pages_.push_back(content);
    }
}

Permissions::Index Permissions::add(const std::vector<std::uint64_t>& sets) {
    assert(sets.size() == kSets * words_);
    const auto index = static_cast<Index>(count());
    bits_.insert(bits_.end(), sets.begin(), sets.end());
    return index;
}

void ColumnMap::assign(const std::vector<std::uint16_t>& column_of_group) {
    page_of_.clear();
    columns_.assign(kPage, 0);
    for (std::size_t first = 0; first < column_of_group.size(); first += kPage) {
        const auto begin = column_of_group.begin() + static_cast<std::ptrdiff_t>(first);
        const auto size = static_cast<std::ptrdiff_t>(std::min(kPage, column_of_group.size() - first));
        if (std::all_of(begin, begin + size, [](std::uint16_t column) { return column == 0; })) {
            page_of_.push_back(0);
            continue;
        }
        page_of_.push_back(static_cast<std::uint16_t>(columns_.size() / kPage));
        columns_.insert(columns_.end(), begin, begin + size);
        columns_.resize(page_of_.back() * kPage + kPage);
    }
    page_of_.shrink_to_fit();
    columns_.shrink_to_fit();
}

}  // namespace sekisho::dataplane
