// Filling port class maps and permissions. Control thread only.
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

Permissions::Index Permissions::add(const std::vector<std::uint64_t>& forward_then_reverse) {
    assert(forward_then_reverse.size() == 2 * words_);
    const auto index = static_cast<Index>(count());
    bits_.insert(bits_.end(), forward_then_reverse.begin(), forward_then_reverse.end());
    return index;
}

}  // namespace sekisho::dataplane
