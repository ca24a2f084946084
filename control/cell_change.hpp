// What becomes of the matrices when leaves come and go: made anew where some profile has no place in them yet, rights
// have changed, or an operator has come; otherwise only the leaves of each profile are counted.
//
// Inner header of control/compile_change.cpp. Nothing of the basis is changed before adopt(). Compiler thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <unordered_map>
#include <vector>

#include "control/compile_state.hpp"
#include "control/leaf_change.hpp"
#include "control/rights_change.hpp"

namespace sekisho::control {

class CellChange {
  public:
    using Basis = Compiler::State::Basis;

    // With so many VRFs from now on. `rights` is null where they are as they were.
    CellChange(const Basis& basis, std::size_t vrfs, const RightsChange* rights);

    template <class Address>
    void add(const LeafChange<Address>& change) {
        for (const Leaf<Address>& leaf : change.gone()) --moves_[leaf.vrf.index()][leaf.profile];
        for (const auto& each : change.fresh()) ++moves_[each.leaf.vrf.index()][each.leaf.profile];
    }
    // Once all is added. False: agreements that cannot be laid out within `matrix_bytes`.
    bool make(const Profiles& profiles, std::size_t matrix_bytes);

    // After make(): the rows and groups of all profiles.
    const CellNumbers& numbers() const noexcept { return cells_ ? cells_->numbers : basis_.cell_numbers; }
    // Makes all of it the basis', which is the one that this began with.
    void adopt(Basis& basis);

  private:
    bool must_make() const;

    const Basis& basis_;
    const RightsChange* const rights_;
    // Leaves that came to profiles, less those that left them, by VRF.
    std::vector<std::unordered_map<std::uint32_t, std::int64_t>> moves_;
    std::optional<Cells> cells_;
};

}  // namespace sekisho::control
