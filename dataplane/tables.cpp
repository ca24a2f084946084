// The last step of making a snapshot. Compiler thread only.
#include "dataplane/tables.hpp"

namespace sekisho::dataplane {

void Tables::seal() {
    neighbour_hints = std::make_unique<std::atomic<std::uint32_t>[]>(nexthops.size());
    for (std::size_t i = 0; i < nexthops.size(); ++i) neighbour_hints[i].store(kNoHint, std::memory_order_relaxed);
    usable_members = std::make_unique<std::atomic<NexthopGroup::Usable>[]>(groups.size());
    for (std::size_t i = 0; i < groups.size(); ++i)
        usable_members[i].store(NexthopGroup::kAll, std::memory_order_relaxed);
}

}  // namespace sekisho::dataplane
