// A batch of a transaction: deletes and puts, applied to a staged document, all of them or none.
//
// Its shape is the document's own: {"delete": {"gates": ["g1"]}, "put": {"institutions": [{...}], "hub": {...}}}; the
// deletes come first. Pure; the compiler thread calls it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>

#include <nlohmann/json_fwd.hpp>

#include "control/document.hpp"
#include "net/expected.hpp"

namespace sekisho::control {

struct Staged {
    std::size_t puts = 0, deletes = 0;  // of this batch
    std::size_t objects = 0;            // in the document now
    std::uint64_t bytes = 0;            // of the canonical text of what was put
};

// On an error, which names the place ("put.institutions[3]: ..."), `document` is as it was. Puts have `room` bytes of
// canonical text: error limit.
Expected<Staged> apply_batch(Document& document, const nlohmann::json& operations,
                             std::uint64_t room = std::numeric_limits<std::uint64_t>::max());

}  // namespace sekisho::control
