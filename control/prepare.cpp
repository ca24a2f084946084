#include "control/prepare.hpp"

#include "control/calendar.hpp"
#include "control/validate.hpp"

namespace sekisho::control {

std::variant<Prepared, Refused> prepare(const Document& document, const Generation& base, std::uint64_t number,
                                        const CompileCall& compile, WallTime now,
                                        const NamesByHand& closed_agreements) {
    Prepared prepared;
    prepared.diff = control::diff(base.document, document);
    auto generation = std::make_shared<Generation>();
    generation->number = number;
    generation->document = document;
    generation->policy = std::make_shared<const Policy>(policy_of(document));
    const Policy& policy = *generation->policy;
    if (std::vector<Error> errors = validate(policy); !errors.empty()) {
        Refused refused{errors.front(), {}, {}};
        refused.others.assign(errors.begin() + 1, errors.end());
        return refused;
    }
    prepared.warnings = control::warnings(policy, now);

    auto compiled = compile(policy, number, now, closed_agreements);
    if (!compiled) return Refused{compiled.error(), {}, {}};
    generation->committed = time_text(now);
    generation->compiled = generation->committed;
    generation->report = compiled->report;
    generation->gates = compiled->gates;
    prepared.generation = std::move(generation);
    prepared.tables = std::move(compiled->tables);
    return prepared;
}

}  // namespace sekisho::control
