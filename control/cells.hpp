// The matrices: from profiles and grants to the permission of every (source row, destination column).
//
// Cells are made VRF by VRF from pairs that some grant joins, never from all pairs; destinations that look the same
// from a VRF share a column there, sources with the same rights a row, and equal permissions one number. Row 0, column
// 0 and group 0 are those to which no grant says anything. What all of an operator's unnamed leaves have
// (Profile::home) shares its row and group with nothing, so that its rights may change without a word to any leaf.
// Compiler thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "control/grants.hpp"
#include "control/leaves.hpp"
#include "control/port_classes.hpp"
#include "dataplane/matrix.hpp"
#include "net/expected.hpp"

namespace sekisho::control {

// What the rows of tables hold of the matrices.
struct CellNumbers {
    std::unordered_map<std::uint32_t, std::uint16_t> group_of;              // by profile
    std::vector<std::unordered_map<std::uint32_t, std::uint16_t>> rows_of;  // by VRF: the row of each of its profiles
};

struct Cells {
    dataplane::Permissions permissions;
    std::vector<dataplane::Matrix> matrices;  // by VRF
    CellNumbers numbers;                      // of the profiles that VRFs have
    std::size_t bytes = 0;                    // of matrices, their column maps and permissions
};

// The matrices for VRFs whose sources have `profiles_of_vrf` (by VRF, each without repetition). Errors are of code
// limit and name the agreements that contribute most: more than `limit_bytes` in all, more rows, columns, groups or
// permissions than 16 bits number, or too many pairs to compute. Profiles that have numbers in `kept` have the same
// here; error unavailable, if two that shared a row there would differ now.
Expected<Cells> cells_of(const Grants& grants, const PortClasses& classes, const Profiles& profiles,
                         const std::vector<std::vector<std::uint32_t>>& profiles_of_vrf, std::size_t limit_bytes,
                         const CellNumbers* kept = nullptr);

}  // namespace sekisho::control
