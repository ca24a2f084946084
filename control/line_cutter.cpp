#include "control/line_cutter.hpp"

#include <cstring>
#include <utility>

namespace sekisho::control {

std::optional<LineCutter::Line> LineCutter::next() {
    for (;;) {
        const std::size_t newline = buffer_.find('\n', searched_);
        if (newline == WipedText::npos) {
            searched_ = buffer_.size();
            if (skipping_) start_ = searched_;
            const bool oversize = searched_ - start_ > longest_;
            if (oversize) {
                skipping_ = true;
                start_ = searched_;
            }
            // Moved to the front, and wiped where it was.
            const std::size_t left = buffer_.size() - start_;
            std::memmove(buffer_.data(), buffer_.data() + start_, left);
            wipe_text(buffer_.data() + left, buffer_.size() - left);
            buffer_.resize(left);
            searched_ -= std::exchange(start_, 0);
            if (oversize) return Line{true, {}};
            return std::nullopt;
        }
        const std::size_t start = std::exchange(start_, newline + 1);
        searched_ = start_;
        if (std::exchange(skipping_, false)) continue;  // the end of a line that was reported already
        if (newline - start > longest_) return Line{true, {}};
        Line line{false, buffer_.substr(start, newline - start)};
        wipe_text(buffer_.data() + start, newline - start);
        return line;
    }
}

}  // namespace sekisho::control
