// Attachments and tunnels that changed, one by one. Compiler thread only.
#include "control/line_change.hpp"

#include <algorithm>
#include <map>
#include <set>

#include "control/attachments.hpp"
#include "control/tunnels.hpp"

namespace sekisho::control {

namespace {

constexpr std::size_t kMostLines = 256;  // that change; beyond, the whole way takes no longer

}  // namespace

class LineChange::Taking {
  public:
    Taking(const Compiler::State::Basis& basis, const Policy& policy, const Numbers& numbers,
           const NumberedNames& names, const InForce& force, const NodePorts& ports)
        : basis_(basis), policy_(policy), numbers_(numbers), names_(names), force_(force), ports_(ports) {}

    std::optional<LineChange> take() {
        decltype(policy_.attachments)::differences(
            basis_.policy.attachments, policy_.attachments,
            [&](const Attachment* was, const Attachment* is) { can_ = can_ && take(was, is); });
        decltype(policy_.tunnels)::differences(
            basis_.policy.tunnels, policy_.tunnels,
            [&](const Tunnel* was, const Tunnel* is) { can_ = can_ && take(was, is); });
        if (can_ && !underlays_.empty())
            for (const auto& [id, tunnel] : policy_.tunnels)
                if (underlays_.contains(tunnel.underlay)) tunnels_.insert(id);
        if (!can_ || tunnels_.size() > kFewTunnels || !settle_tunnels() || !settle_places()) return std::nullopt;
        return std::move(change_);
    }

  private:
    bool take(const Attachment* was, const Attachment* is) {
        if (change_.placed_.size() == kMostLines) return false;
        if (was != nullptr && is != nullptr &&
            (was->operator_id != is->operator_id || was->tunnel != is->tunnel || was->underlay != is->underlay))
            return false;
        for (const Attachment* const each : {was, is}) {
            if (each == nullptr) continue;
            if (each->underlay) underlays_.insert(each->id);
            change_.moves_taps_ = change_.moves_taps_ || !each->kernel_interface.empty();
        }
        const Attachment& told = is != nullptr ? *is : *was;
        const Numbers& numbers = is != nullptr ? numbers_ : basis_.numbers;
        const auto number = numbers.attachments.number_of(told.id);
        const auto owner = numbers.operators.number_of(told.operator_id);
        if (!number || !owner) return false;
        const AttachmentId id = AttachmentId(*number);
        const VrfId vrf(static_cast<VrfId::Value>(*owner));
        const auto before = was != nullptr ? connected_of(*was, id) : std::vector<ConnectedWay>();
        const auto now = is != nullptr ? connected_of(*is, id) : std::vector<ConnectedWay>();
        for (const auto& [prefix, nexthop] : before)
            if (!has(now, prefix)) change_.connected_.push_back({prefix, vrf, std::nullopt});
        for (const auto& [prefix, nexthop] : now)
            if (!has(before, prefix)) change_.connected_.push_back({prefix, vrf, nexthop});
        if (told.is_tunnel()) tunnels_.insert(told.tunnel);
        if (is == nullptr) {
            change_.placed_.push_back({id, std::nullopt});
            return true;
        }
        if (is->is_tunnel()) users_[is->tunnel].push_back(id);
        return place(id, *is);
    }

    bool take(const Tunnel* was, const Tunnel* is) {
        tunnels_.insert(was != nullptr ? was->id : is->id);
        // A port of its own stays its underlay's until everything is placed anew.
        const bool has_port = was != nullptr && was->udp && was->udp->local_port != dataplane::kEspUdpPort;
        return !has_port;
    }

    bool place(AttachmentId id, const Attachment& told) {
        auto placed = place_attachment(policy_, told.id, told, numbers_, force_, ports_);
        if (!placed) return false;
        change_.placed_.push_back({id, std::move(*placed)});
        change_.moves_taps_ = change_.moves_taps_ || !told.kernel_interface.empty();
        return true;
    }

    // Each tunnel that changed, or whose attachment did, with the one attachment that it is the path of.
    bool settle_tunnels() {
        for (const std::string& name : tunnels_) {
            const auto was = basis_.numbers.tunnels.number_of(name);
            const auto found = policy_.tunnels.find(name);
            const bool is_there = found != policy_.tunnels.end();
            const auto number = (is_there ? numbers_ : basis_.numbers).tunnels.number_of(name);
            if (!number) return false;
            const TunnelId id(*number + 1);
            auto& users = users_[name];
            if (was) add_user_before(basis_.tables.tunnels[*was + std::size_t{1}].attachment, users);
            if (users.size() != (is_there ? 1 : 0)) return false;
            change_.sealed_.push_back({id, is_there ? &found->second : nullptr, is_there ? users[0] : AttachmentId()});
        }
        return true;
    }

    // The attachment that had the tunnel and was not looked at, for it did not change: its MTU may.
    void add_user_before(AttachmentId user, std::vector<AttachmentId>& users) {
        const auto& placed = change_.placed_;
        if (std::any_of(placed.begin(), placed.end(), [&](const Placed& each) { return each.id == user; })) return;
        const Named* const named = names_.find(user.index());
        const auto found = named == nullptr ? policy_.attachments.end() : policy_.attachments.find(named->id);
        if (found == policy_.attachments.end() || !place(user, found->second)) return;
        users.push_back(user);
    }

    // Ports and VLANs: free, or left by another that changed.
    bool settle_places() {
        std::set<std::pair<PortId, VlanId>> left, taken;
        for (const Placed& each : change_.placed_) {
            if (each.id.index() >= basis_.tables.attachments.size()) continue;
            const dataplane::Attachment& was = basis_.tables.attachments[each.id.index()];
            if (was.tunnel == TunnelId() && basis_.tables.attachment_of[was.port.index()][was.vlan.index()] == each.id)
                left.emplace(was.port, was.vlan);
        }
        for (const auto& [id, is] : change_.placed_) {
            if (!is || is->tunnel != TunnelId()) continue;
            const auto& by_vlan = basis_.tables.attachment_of[is->port.index()];
            const bool is_free =
                by_vlan[is->vlan.index()] == dataplane::Tables::kNoAttachment || left.contains({is->port, is->vlan});
            if (!is_free || !taken.emplace(is->port, is->vlan).second) return false;
        }
        return true;
    }

    static bool has(const std::vector<ConnectedWay>& ways, const IpPrefix& prefix) {
        return std::any_of(ways.begin(), ways.end(), [&](const ConnectedWay& way) { return way.prefix == prefix; });
    }

    const Compiler::State::Basis& basis_;
    const Policy& policy_;
    const Numbers& numbers_;
    const NumberedNames& names_;  // of the basis
    const InForce& force_;
    const NodePorts& ports_;
    LineChange change_;
    std::set<std::string> tunnels_, underlays_;
    std::map<std::string, std::vector<AttachmentId>> users_;  // by tunnel
    bool can_ = true;
};

std::optional<LineChange> LineChange::of(const Compiler::State::Basis& basis, const Policy& policy,
                                         const Numbers& numbers, const NumberedNames& attachment_names,
                                         const InForce& force, const NodePorts& ports) {
    return Taking(basis, policy, numbers, attachment_names, force, ports).take();
}

void LineChange::place_attachments(dataplane::TableParts& tables) const {
    for (const Placed& each : placed_) {
        if (each.id.index() >= tables.attachments.size()) tables.attachments.resize(each.id.index() + 1);
        dataplane::Attachment& was = tables.attachments[each.id.index()];
        AttachmentId& place = tables.attachment_of[was.port.index()][was.vlan.index()];
        if (was.tunnel == TunnelId() && place == each.id) place = dataplane::Tables::kNoAttachment;
        was = dataplane::Attachment();
    }
    for (const auto& [id, is] : placed_) {
        if (!is) continue;
        tables.attachments[id.index()] = *is;
        if (is->tunnel == TunnelId()) tables.attachment_of[is->port.index()][is->vlan.index()] = id;
    }
}

bool LineChange::place_tunnels(const Policy& policy, const Numbers& numbers, const RoutesOfVrf<Ipv4Address>& ipv4,
                               const RoutesOfVrf<Ipv6Address>& ipv6, dataplane::TableParts& tables) const {
    for (const auto& [id, is, user] : sealed_) {
        if (id.index() >= tables.tunnels.size()) tables.tunnels.resize(id.index() + 1);
        dataplane::Tunnel& tunnel = tables.tunnels[id.index()];
        tunnel = dataplane::Tunnel();
        if (is == nullptr) continue;
        const auto placed = place_tunnel(policy, *is, numbers, tables);
        if (!placed) return false;
        tunnel = *placed;
        tunnel.exists = true;
        tunnel.attachment = user;
        const auto way = way_of_tunnel(tunnel, ipv4, ipv6, tables);
        if (!way) return false;
        tunnel.way = *way;
    }
    return true;
}

}  // namespace sekisho::control
