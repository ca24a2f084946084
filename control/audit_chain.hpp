// The chain of the audit log: every line holds, as "previous", the SHA-256 of the bytes of the line before it.
//
// So no line can be changed, left out or put in without every later one telling. Only the end can be cut off unseen,
// unless somebody remembers the hash of the last line (`head`). `head -n N audit.jsonl | tail -n 1 | tr -d '\n' |
// sha256sum` is what line N+1 must hold. A line that a crash cut off stays as it is, and the next one covers it. No
// daemon is needed for any of this. Any thread.
#pragma once

#include <cstdint>
#include <istream>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "net/expected.hpp"
#include "net/file_descriptor.hpp"

namespace sekisho::control {

// What the first line holds.
inline constexpr std::string_view kChainBegin = "0000000000000000000000000000000000000000000000000000000000000000";

struct LastLine {
    std::string text;      // without its newline; "" of an empty file
    bool is_half = false;  // it has none
};
std::optional<LastLine> last_line_of(const FileDescriptor& file);  // nullopt, and errno: it cannot be read

struct ChainVerdict {
    std::uint64_t lines = 0;
    std::uint64_t before = 0;         // lines at the beginning, of a version that made no chain
    std::vector<std::uint64_t> cut;   // lines that a crash cut off, by number from 1
    std::string head;                 // the hash of the last line
    std::vector<std::string> errors;  // "line 7: ...": the first few
    std::uint64_t more_errors = 0;    // and so many more
    bool good() const noexcept { return errors.empty(); }
};

// Reads a whole log. `head`: what a witness remembers; it must be the hash of one of the lines, and `head_line` says of
// which: lines after it are younger than the memory.
ChainVerdict verify_chain(std::istream& log, const std::optional<std::string>& head = std::nullopt,
                          std::uint64_t* head_line = nullptr);

}  // namespace sekisho::control
