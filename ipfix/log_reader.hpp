// The lines of the translation log, file after file, from a place on.
//
// A file translations-DATE.jsonl is over when there is one of a later day. A line is given when it is whole. Files are
// never written here.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "net/file_descriptor.hpp"

namespace sekisho::ipfix {

// Behind which line: a file's name without directories ("": before the first file), and bytes.
struct Place {
    std::string file;
    std::uint64_t offset = 0;
    friend bool operator==(const Place&, const Place&) = default;
};

class LogReader {
  public:
    explicit LogReader(std::string directory) : directory_(std::move(directory)) {}

    // The next line without its end; nullopt: there is none yet. When it goes on with a later day's file, that begins
    // with all that is in force then.
    std::optional<std::string> next();
    const Place& place() const noexcept { return place_; }
    // The latest file, or "".
    std::string latest() const;
    // From the beginning of that file on; if it is no longer there, of the next one that is.
    void begin_with(const std::string& file);

  private:
    bool fill();
    std::string file_after(const std::string& file) const;

    std::string directory_;
    Place place_;
    FileDescriptor file_;
    std::string text_;  // read, and not yet given
    std::size_t given_ = 0;
};

}  // namespace sekisho::ipfix
