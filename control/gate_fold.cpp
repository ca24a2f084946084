#include "control/gate_fold.hpp"

namespace sekisho::control {

void fold_gates(const GateTargets& targets, const std::vector<const Gate*>& by_hand, const dataplane::Tables& tables) {
    std::vector<std::uint64_t> closed = targets.closed_institutions;
    std::vector<bool> open = targets.open_attachments;
    for (const Gate* gate : by_hand) {
        switch (gate->target) {
            case GateTarget::node: closed.assign(closed.size(), ~std::uint64_t{0}); break;
            case GateTarget::operator_:
                if (const auto number = targets.numbers.operators.number_of(gate->target_id)) {
                    for (std::size_t i = 0; i < targets.owner_of.size(); ++i)
                        if (targets.owner_of[i] == *number) closed[i / 64] |= std::uint64_t{1} << i % 64;
                }
                break;
            case GateTarget::institution:
                if (const auto number = targets.numbers.institutions.number_of(gate->target_id))
                    closed[*number / 64] |= std::uint64_t{1} << *number % 64;
                break;
            case GateTarget::attachment:
                if (const auto number = targets.numbers.attachments.number_of(gate->target_id)) open[*number] = false;
                break;
            case GateTarget::agreement: break;  // compiled into the cells
        }
    }
    tables.close_institutions(closed);
    tables.open_attachments(open);
}

}  // namespace sekisho::control
