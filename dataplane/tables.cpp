// The last step of making a snapshot. Compiler thread only.
#include "dataplane/tables.hpp"

#include <algorithm>

namespace sekisho::dataplane {

void Tables::close_institutions(const std::vector<std::uint64_t>& closed) const noexcept {
    const bool any = std::any_of(closed.begin(), closed.end(), [](std::uint64_t word) { return word != 0; });
    if (any) any_institution_closed.set(true);
    for (std::size_t i = 0; i < closed.size(); ++i) closed_institutions[i].set(closed[i]);
    if (!any) any_institution_closed.set(false);
    changed();
}

void Tables::open_attachments(const std::vector<bool>& open) const noexcept {
    for (std::size_t i = 0; i < open.size(); ++i) attachments[i].open.set(open[i]);
    changed();
}

void Tables::set_mtu(AttachmentId attachment, std::uint16_t mtu) const noexcept {
    attachments[attachment.index()].mtu.set(mtu);
    changed();
}

void Tables::set_usable(std::size_t group, NexthopGroup::Usable members) const noexcept {
    if (usable_members[group].exchange(members, std::memory_order_relaxed) != members) changed();
}

void Tables::seal() {
    neighbour_hints = std::make_unique<std::atomic<std::uint32_t>[]>(nexthops.size());
    for (std::size_t i = 0; i < nexthops.size(); ++i) neighbour_hints[i].store(kNoHint, std::memory_order_relaxed);
    usable_members = std::make_unique<std::atomic<NexthopGroup::Usable>[]>(groups.size());
    for (std::size_t i = 0; i < groups.size(); ++i)
        usable_members[i].store(NexthopGroup::kAll, std::memory_order_relaxed);
    lines.clear();
    for (const auto& by_vlan : attachment_of)
        for (const AttachmentId attachment : by_vlan)
            if (attachment != kNoAttachment) lines.push_back(attachment);
    kept_alive.clear();
    for (std::size_t t = 0; t < tunnels.size(); ++t)
        if (tunnels[t].exists && tunnels[t].keepalive != 0) kept_alive.emplace_back(static_cast<TunnelId::Value>(t));
}

}  // namespace sekisho::dataplane
