// What changes from one document to another, for people and for programs.
//
// Works on documents, not tables: objects added, removed and changed, field by field, with what was written. Shared
// objects are passed over, so that a small change to 100,000 objects is found in microseconds. Pure; any thread.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "control/document.hpp"

namespace sekisho::control {

struct FieldChange {
    std::string field;   // "ports", "links[0].cpe"
    std::string before;  // JSON text; "" when it was not there
    std::string after;   // JSON text; "" when it is not there any more
};

struct ObjectChange {
    enum class What { added, removed, changed };

    Kind kind = Kind::hub;
    std::string id;
    What what = What::changed;
    std::vector<FieldChange> fields;  // of a changed object
};

struct DocumentDiff {
    struct Counts {
        std::size_t added = 0, removed = 0, changed = 0;
    };

    std::vector<ObjectChange> changes;         // by kind, then by id
    std::array<Counts, kKinds.size()> counts;  // by kind
    // What an engineer should know before saying yes: a stateless agreement that either side could open (UDP, any).
    std::vector<std::string> notes;

    bool empty() const noexcept { return changes.empty(); }
};

DocumentDiff diff(const Document& before, const Document& after);

// For people: a line for each object (+, -, ~), a line for each field, the notes, and the counts last. After
// `most_changes` objects it says how many more there are.
std::string text_of(const DocumentDiff& diff, std::size_t most_changes = 1000);

// {"counts": {"institutions": {"added": 1, ...}, ...}, "changes": [{"kind", "id", "change", "fields": [{"field",
// "before", "after"}]}], "notes": [...], "omitted": 0}; before and after are JSON values, null when absent.
nlohmann::ordered_json to_json(const DocumentDiff& diff, std::size_t most_changes = 100000);

}  // namespace sekisho::control
