#include "control/prepare.hpp"

#include "control/allocations.hpp"
#include "control/calendar.hpp"
#include "control/document_hash.hpp"
#include "control/validate.hpp"

namespace sekisho::control {

namespace {

constexpr std::size_t kSmallChange = 100;  // objects; of more, all that is worth a second look is told

}  // namespace

std::variant<Prepared, Refused> prepare(const Document& document, const Generation& base, const GenerationRecord& about,
                                        const CompileCall& compile, WallTime now,
                                        const NamesByHand& closed_agreements) {
    Prepared prepared;
    CommitTimes times;
    Stopwatch stopwatch;
    prepared.diff = control::diff(base.document, document);
    times.compare = stopwatch.lap();
    auto generation = std::make_shared<Generation>();
    static_cast<GenerationRecord&>(*generation) = about;
    generation->document = document;
    generation->policy = std::make_shared<const Policy>(policy_of(document));
    const Policy& policy = *generation->policy;
    generation->numbers = base.numbers;
    const Policy& before = *base.policy;
    std::vector<Error> errors = validate_change(before, policy, generation->numbers);
    // What ran before may run again, whatever was given to whom since.
    if (errors.empty() && about.what != "rollback") errors = check_releases(before, policy, now);
    if (!errors.empty()) {
        Refused refused{errors.front(), {}, {}};
        refused.others.assign(errors.begin() + 1, errors.end());
        return refused;
    }
    const bool small = base.number != 0 && prepared.diff.changes.size() <= kSmallChange;
    prepared.warnings = small ? warnings_of_change(before, policy, now) : control::warnings(policy, now);

    times.validate = stopwatch.lap();
    auto compiled = compile(policy, about.number, now, closed_agreements);
    if (!compiled) return Refused{compiled.error(), {}, {}};
    times.compile = stopwatch.lap();
    generation->digest = base.digest;
    generation->digest.change(base.document, document);
    const DocumentHash hash = generation->digest.hash();
    times.hash = stopwatch.lap();
    generation->rules_version = policy.rules_version;
    generation->objects = document.size();
    generation->bytes = hash.bytes;
    generation->hash = hash.text;
    generation->committed = time_text(now);
    generation->compiled = generation->committed;
    generation->report = compiled->report;
    generation->times = times;
    generation->gates = compiled->gates;
    prepared.generation = std::move(generation);
    prepared.tables = std::move(compiled->tables);
    return prepared;
}

}  // namespace sekisho::control
