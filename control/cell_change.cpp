// Counting leaves by profile, and the matrices of the profiles that are left. Compiler thread only.
#include "control/cell_change.hpp"

#include <utility>

namespace sekisho::control {

namespace {

using Moves = std::vector<std::unordered_map<std::uint32_t, std::int64_t>>;

void add_up(const Moves& moves, ProfileCounts& counts) {
    for (std::size_t vrf = 0; vrf < moves.size(); ++vrf)
        for (const auto& [profile, by] : moves[vrf])
            if ((counts[vrf][profile] += by) == 0) counts[vrf].erase(profile);
}

// What was given to a profile is given to what it is renamed to.
CellNumbers given_to(const Renamed& renamed, CellNumbers numbers) {
    for (const auto& [was, is] : renamed) {
        if (const auto group = numbers.group_of.find(was); group != numbers.group_of.end())
            numbers.group_of[is] = group->second;
        for (auto& rows : numbers.rows_of)
            if (const auto row = rows.find(was); row != rows.end()) rows[is] = row->second;
    }
    return numbers;
}

}  // namespace

CellChange::CellChange(const Basis& basis, std::size_t vrfs, const RightsChange* rights)
    : basis_(basis), rights_(rights), moves_(vrfs) {
    if (rights == nullptr) return;
    for (std::size_t vrf = 0; vrf < vrfs; ++vrf)
        for (const auto& [was, is] : rights->renamed)
            if (const auto count = basis.profile_counts[vrf].find(was);
                count != basis.profile_counts[vrf].end() && was != is) {
                moves_[vrf][was] -= count->second;
                moves_[vrf][is] += count->second;
            }
}

bool CellChange::must_make() const {
    if (rights_ != nullptr || moves_.size() > basis_.tables.matrices.size()) return true;
    const CellNumbers& known = basis_.cell_numbers;
    for (std::size_t vrf = 0; vrf < moves_.size(); ++vrf)
        for (const auto& [profile, by] : moves_[vrf])
            if (by > 0 && !(vrf < known.rows_of.size() && known.rows_of[vrf].contains(profile) &&
                            known.group_of.contains(profile)))
                return true;
    return false;
}

bool CellChange::make(const Profiles& profiles, std::size_t matrix_bytes) {
    if (!must_make()) return true;
    ProfileCounts counts = basis_.profile_counts;
    add_up(moves_, counts);
    const CellNumbers kept = rights_ != nullptr ? given_to(rights_->renamed, basis_.cell_numbers) : basis_.cell_numbers;
    const Grants& grants = rights_ != nullptr ? rights_->grants : basis_.grants;
    std::optional<PortClasses> same_classes;
    if (rights_ == nullptr) {
        auto classes = classify(terms_in_use(grants));
        if (!classes) return false;
        same_classes = std::move(*classes);
    }
    auto made = cells_of(grants, rights_ != nullptr ? rights_->classes : *same_classes, profiles, profiles_in(counts),
                         matrix_bytes, &kept);
    if (!made) return false;
    cells_ = std::move(*made);
    return true;
}

void CellChange::adopt(Basis& basis) {
    add_up(moves_, basis.profile_counts);
    if (!cells_) return;
    basis.report.permissions = cells_->permissions.count();
    basis.report.matrix_bytes = cells_->bytes;
    basis.tables.permissions = std::move(cells_->permissions);
    basis.tables.matrices = std::move(cells_->matrices);
    basis.cell_numbers = std::move(cells_->numbers);
}

}  // namespace sekisho::control
