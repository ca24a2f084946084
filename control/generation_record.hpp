// What is kept of a generation beside its document: its number, who made it and when, its hash and signature.
//
// One JSON object: the first line of its file in the state directory, and an item of `show generations`. Values only.
#pragma once

#include <cstdint>
#include <string>
#include <sys/types.h>

#include <nlohmann/json.hpp>

#include "net/expected.hpp"

namespace sekisho::control {

struct GenerationRecord {
    std::uint64_t number = 0;  // 0: nothing was ever committed
    std::string label;         // what its committer calls it; "" if nothing
    std::string committed;     // time of the commit, Japan time; "" for generation 0
    std::string what;          // that made it: "commit", "rollback", "schedule" or "initial"
    std::uint64_t of = 0;      // of a rollback: whose document it is
    uid_t uid = 0;             // who asked
    gid_t gid = 0;
    std::string rules_version;
    std::uint64_t objects = 0;
    std::uint64_t bytes = 0;  // of the document's canonical text
    std::string hash;         // of it (control/document_hash.hpp)
    std::string signature;    // base64; "" when there was none
    bool confirmed = true;    // false: it was rolled back, or waits to be confirmed. Told by its file's name, not in it
};

nlohmann::json to_json(const GenerationRecord& record);
// Error invalid: it is something else. `confirmed` is left true.
Expected<GenerationRecord> record_of(const nlohmann::json& object);

}  // namespace sekisho::control
