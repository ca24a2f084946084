// A journal beside a generation's file: small generations that followed it, as what they changed.
//
// A line of JSON says which generation it follows; then for each one its record and the number of bytes of its changes,
// the changes (control/schedule.hpp), and the line "end". An entry is durable when append() returns; one that has no
// "end" was being written when the machine or the daemon stopped, was never in force, and is passed over. Anything else
// that does not fit is damage, and refused. Used by control/state_store.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "control/generation_record.hpp"
#include "net/expected.hpp"

namespace sekisho::control {

struct JournalEntry {
    GenerationRecord record;
    std::string changes;  // lines of JSON
};

struct Journal {
    std::uint64_t follows = 0;
    std::vector<JournalEntry> entries;  // ascending
    std::uint64_t bytes = 0;            // of the file, up to the end of the last whole entry

    // Whether it says what followed that generation: the one that it follows, or one of its own, written whole since.
    bool goes_on_from(std::uint64_t generation) const;
};

// nullopt: there is no such file. Error invalid: it is damaged; the words say how, and that `remedy` helps.
Expected<std::optional<Journal>> read_journal(const std::string& path, const char* remedy);
// Makes the file, or replaces it whole; gives its size.
Expected<std::uint64_t> begin_journal(const std::string& path, std::uint64_t follows,
                                      const std::vector<JournalEntry>& entries);
// Appends at `bytes`, whatever a crash left behind that place; gives the new size. On an error the file is as it was.
Expected<std::uint64_t> append_journal(const std::string& path, std::uint64_t bytes, const JournalEntry& entry);

}  // namespace sekisho::control
