// What a commit does before anything changes: validate, compile, compare.
//
// From a staged document and the generation that runs to the next generation and its tables, or to all that is wrong
// with it. It publishes, saves and records nothing. The compiler thread calls it; the control thread before that one
// has work.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "control/commit_times.hpp"
#include "control/compile.hpp"
#include "control/diff.hpp"
#include "control/document.hpp"
#include "control/document_hash.hpp"
#include "control/generation_record.hpp"
#include "control/validate.hpp"
#include "net/expected.hpp"

namespace sekisho::control {

using WallTime = std::chrono::system_clock::time_point;
using CompileCall = std::function<Expected<Compiled>(const Policy&, std::uint64_t generation, WallTime now,
                                                     const NamesByHand& closed_agreements)>;
using RowsCall = std::function<Expected<TableRows>(const Policy&, std::uint64_t generation, WallTime now,
                                                   const NamesByHand& closed_agreements, const RowQuestion& question)>;

struct Generation : GenerationRecord {  // immutable once it runs
    Document document;
    std::shared_ptr<const Policy> policy = std::make_shared<const Policy>();
    DocumentDigest digest;  // of the document
    HubNumbers numbers;     // of the policy's institutions
    std::string compiled;   // time of the last compilation, which a date in the policy may have caused
    CompileReport report;
    CommitTimes times;
    std::shared_ptr<const GateTargets> gates = std::make_shared<const GateTargets>();
};

struct Refused {
    Error error;                // the first, or the only one
    std::vector<Error> others;  // of a document that does not validate
    struct Conflict {
        std::uint64_t base, running;
    };
    std::optional<Conflict> conflict;
};
inline Refused refused(Error error) {
    return {std::move(error), {}, {}};
}

struct Prepared {
    std::shared_ptr<Generation> generation;
    std::unique_ptr<dataplane::Tables> tables;
    DocumentDiff diff;
    std::vector<std::string> warnings;
};

// The generation `about.number` of `document`, to follow `base`; without the agreements that are closed by hand. Of
// `about`, who, what and the signature are taken over; the rest is the document's. It is compiled for the time `now`.
std::variant<Prepared, Refused> prepare(const Document& document, const Generation& base, const GenerationRecord& about,
                                        const CompileCall& compile, WallTime now, const NamesByHand& closed_agreements);

}  // namespace sekisho::control
