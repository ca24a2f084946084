// Cuts a stream of bytes into lines of bounded length: the framing of the control socket, one message a line.
//
// It does not look into a line. A line that is too long is reported once and skipped to its end, so that the stream
// stays in step. What was in a line is not left behind: it may have been a key. Values only; any thread.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

#include "control/wiped_text.hpp"

namespace sekisho::control {

inline constexpr std::size_t kLongestMessage = std::size_t{1} << 20;  // bytes, the newline not counted

class LineCutter {
  public:
    struct Line {
        bool oversize = false;  // longer than a message may be; its text is gone
        WipedText text;         // without its newline
    };

    explicit LineCutter(std::size_t longest = kLongestMessage) : longest_(longest) {}

    void feed(std::string_view bytes) { buffer_.append(bytes); }
    // The next whole line, or nullopt when there is none. Memory stays under the longest line and two feeds, as long as
    // next() is called until it has none.
    std::optional<Line> next();
    // True when bytes of a line without its newline have come.
    bool is_inside_line() const noexcept { return skipping_ || start_ < buffer_.size(); }

  private:
    std::size_t longest_;
    WipedText buffer_;
    std::size_t start_ = 0;     // of the next line
    std::size_t searched_ = 0;  // no newline between start_ and here
    bool skipping_ = false;     // inside a line that was reported as oversize
};

}  // namespace sekisho::control
