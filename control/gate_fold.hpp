// Folding the gates that were closed by hand into tables that workers already read.
//
// A compilation leaves behind what a fold needs: the numbers of the names, whose institution is whose, and what the
// document's own gates close. So closing the node, an operator, an institution or an attachment is a few stores, while
// a commit may be compiling. An agreement's gate changes cells, and waits for a compilation. Control thread.
#pragma once

#include <cstdint>
#include <vector>

#include "control/numbering.hpp"
#include "control/policy.hpp"
#include "dataplane/tables.hpp"

namespace sekisho::control {

struct GateTargets {
    Numbers numbers;                                 // its names are views of the policy's: valid while that is
    std::vector<std::uint32_t> owner_of;             // by institution: its operator
    std::vector<std::uint64_t> closed_institutions;  // one bit an institution: closed by the document
    std::vector<bool> open_attachments;              // by attachment: not closed by the document
};

// Makes what `tables` say of institutions and attachments what the document and these gates say together. The tables
// are those that `targets` came with; gates for what the policy does not have close nothing.
void fold_gates(const GateTargets& targets, const std::vector<const Gate*>& by_hand, const dataplane::Tables& tables);

}  // namespace sekisho::control
