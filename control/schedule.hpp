// A change that is to come into force at a time: what a transaction changed, kept until then.
//
// Kept are the objects that it adds, replaces and deletes, with the hash of what each replaces, so that at its time it
// goes onto whatever runs then: commits in between are not undone, and one that touched the same object is found and
// named instead of overwritten. Applying it twice is applying it once. Pure; any thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <vector>

#include "control/diff.hpp"
#include "control/document.hpp"
#include "net/expected.hpp"

namespace sekisho::control {

struct Scheduled {
    struct Change {
        Kind kind = Kind::hub;
        std::string id;
        std::string before;  // the hash of the object's canonical text; "" when there was none
        ObjectPtr after;     // nullptr: it is deleted
    };

    std::uint64_t id = 0;
    std::chrono::system_clock::time_point at;
    std::string staged;  // when, Japan time
    uid_t uid = 0;       // by whom
    gid_t gid = 0;
    pid_t pid = 0;
    std::uint64_t base = 0;  // the generation that it was staged on
    std::string hash;        // of the whole document that it made of that
    std::string signature;   // of that document
    std::vector<Change> changes;

    // From text() of the same version. Error invalid: it is something else.
    static Expected<Scheduled> parse(const std::string& text);
    std::string text() const;

    std::array<DocumentDiff::Counts, kKinds.size()> counts() const;
    // The document with the changes. Error exists names the object that is not any more what the change was made of.
    Expected<Document> applied_to(const Document& document) const;
};

std::vector<Scheduled::Change> changes_between(const Document& before, const Document& after);
// The changes as lines of JSON, and back. Error invalid: they are something else, or no object of their kind.
std::string lines_of(const std::vector<Scheduled::Change>& changes);
Expected<std::vector<Scheduled::Change>> changes_in(std::string_view lines);

}  // namespace sekisho::control
