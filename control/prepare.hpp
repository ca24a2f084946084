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
#include <variant>
#include <vector>

#include "control/compile.hpp"
#include "control/diff.hpp"
#include "control/document.hpp"
#include "net/expected.hpp"

namespace sekisho::control {

using WallTime = std::chrono::system_clock::time_point;
using CompileCall = std::function<Expected<Compiled>(const Policy&, std::uint64_t generation, WallTime now,
                                                     const NamesByHand& closed_agreements)>;

struct Generation {            // immutable once it runs
    std::uint64_t number = 0;  // 0: nothing was ever committed
    Document document;
    std::shared_ptr<const Policy> policy = std::make_shared<const Policy>();
    std::string committed;  // time of the commit, Japan time; "" for generation 0
    std::string label;      // what its committer calls it; "" if nothing
    std::string compiled;   // of the last compilation, which a date in the policy may have caused
    CompileReport report;
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

struct Prepared {
    std::shared_ptr<const Generation> generation;
    std::unique_ptr<dataplane::Tables> tables;
    DocumentDiff diff;
    std::vector<std::string> warnings;
};

// The generation `number` of `document`, to follow `base`; without the agreements that are closed by hand.
std::variant<Prepared, Refused> prepare(const Document& document, const Generation& base, std::uint64_t number,
                                        const CompileCall& compile, WallTime now, const NamesByHand& closed_agreements);

}  // namespace sekisho::control
