// Validation of a few attachments, tunnels and translations that changed: they themselves, and what leans on them.
// Compiler thread.
//
// One look at all the others, none of which is checked again: that nothing of what changed gets in their way. Whatever
// could (an address that moves) is for the whole validation, which tells all that is wrong.
#include <algorithm>
#include <set>
#include <vector>

#include "control/findings.hpp"
#include "control/tunnels.hpp"

namespace sekisho::control {

namespace {

constexpr std::size_t kMostLines = 64;  // that change; beyond, the whole is looked at

// All by which others know it.
bool same_to_others(const Attachment& a, const Attachment& b) {
    return a.operator_id == b.operator_id && a.tunnel == b.tunnel && a.family == b.family && a.ipv4 == b.ipv4 &&
           a.ipv6 == b.ipv6 && a.subnet4 == b.subnet4 && a.subnet6 == b.subnet6 && a.link_local == b.link_local &&
           a.underlay == b.underlay;
}

bool in_the_way(const Attachment& a, const Attachment& b) {
    if (!a.is_tunnel() && !b.is_tunnel() && a.vlan == b.vlan && a.port == b.port) return true;
    return ((a.ipv4 && b.ipv4 && a.subnet4.overlaps(b.subnet4)) ||
            (a.ipv6 && b.ipv6 && a.subnet6.overlaps(b.subnet6))) &&
           a.operator_id == b.operator_id;
}

bool leads_to(const Attachment& attachment, const IpAddress& peer) {
    return peer.is_ipv4() ? attachment.ipv4 && attachment.subnet4.contains(peer.ipv4())
                          : attachment.ipv6 && attachment.subnet6.contains(peer.ipv6());
}

class LineChange {
  public:
    LineChange(const Policy& before, const Policy& policy, const HubSpace& hub, Findings& findings)
        : before_(before), policy_(policy), hub_(hub), findings_(findings) {}

    bool is_fine() {
        gather();
        if (!can_) return false;
        if (changed_.empty() && gone_.empty() && tunnels_.empty() && translations_.empty()) return true;
        look_at_attachments();
        look_at_tunnels();
        if (!can_ || is_named() || translates_behind_underlays()) return false;
        for (const Attachment* attachment : changed_) {
            ObjectFindings about(findings_, "attachments", attachment->id);
            check_attachment(policy_, *attachment, about);
            if (!attachment->kernel_interface.empty()) check_kernel_interface(policy_, *attachment, about);
            check_subnets(policy_, hub_, *attachment, findings_);
        }
        check_changed_tunnels();
        return can_ && findings_.empty();
    }

  private:
    void gather() {
        decltype(policy_.attachments)::differences(before_.attachments, policy_.attachments,
                                                   [&](const Attachment* was, const Attachment* is) {
                                                       can_ = can_ && changed_.size() + gone_.size() < kMostLines;
                                                       for (const Attachment* each : {was, is}) {
                                                           if (each == nullptr) continue;
                                                           if (each->is_tunnel()) tunnels_.insert(each->tunnel);
                                                           if (each->underlay) underlays_.insert(each->id);
                                                       }
                                                       if (is == nullptr) {
                                                           gone_.insert(was->id);
                                                           return;
                                                       }
                                                       can_ = can_ && (was == nullptr || same_to_others(*was, *is));
                                                       changed_.push_back(is);
                                                       if (was == nullptr) fresh_.push_back(is);
                                                   });
        decltype(policy_.translations)::differences(before_.translations, policy_.translations,
                                                    [&](const Translation*, const Translation* is) {
                                                        if (is != nullptr) translations_.push_back(is);
                                                    });
        decltype(policy_.tunnels)::differences(before_.tunnels, policy_.tunnels,
                                               [&](const Tunnel* was, const Tunnel* is) {
                                                   tunnels_.insert(is != nullptr ? is->id : was->id);
                                                   can_ = can_ && tunnels_.size() <= kFewTunnels;
                                               });
        if (underlays_.empty()) return;
        for (const auto& [id, tunnel] : policy_.tunnels)
            if (underlays_.contains(tunnel.underlay)) tunnels_.insert(id);
        can_ = can_ && tunnels_.size() <= kFewTunnels;
    }

    // Nobody else has a place or a subnet of theirs; and whose paths the tunnels are.
    void look_at_attachments() {
        for (const auto& [id, other] : policy_.attachments) {
            for (const Attachment* attachment : changed_)
                can_ = can_ && (attachment->id == id || !in_the_way(*attachment, other));
            for (const Attachment* attachment : changed_)
                can_ = can_ && (attachment->id == id || other.kernel_interface.empty() ||
                                other.kernel_interface != attachment->kernel_interface ||
                                other.operator_id != attachment->operator_id);
            for (const Translation* translation : translations_)
                can_ = can_ && !(other.underlay && lies_in(other, *translation));
            if (other.is_tunnel() && tunnels_.contains(other.tunnel)) users_[other.tunnel].push_back(&other);
        }
        for (const Attachment* attachment : fresh_) {
            for (const IpPrefix& subnet : {IpPrefix(attachment->subnet4), IpPrefix(attachment->subnet6)})
                can_ = can_ && !policy_.routes.contains(Route{attachment->operator_id, subnet, false, {}}.id());
            if (attachment->underlay)
                for (const auto& [id, translation] : policy_.translations)
                    can_ = can_ && !lies_in(*attachment, translation);
        }
    }

    // What institutions are reached by never lies behind an underlay.
    static bool lies_in(const Attachment& underlay, const Translation& translation) {
        const IpPrefix& inside = translation.operator_prefix;
        return underlay.operator_id == translation.operator_id &&
               ((underlay.ipv4 && inside.overlaps(underlay.subnet4)) ||
                (underlay.ipv6 && inside.overlaps(underlay.subnet6)));
    }
    bool is_translated(const Route& route) const {
        return std::any_of(translations_.begin(), translations_.end(), [&](const Translation* each) {
            return each->operator_id == route.operator_id && each->operator_prefix.overlaps(route.prefix);
        });
    }
    bool translates_behind_underlays() const {
        if (translations_.empty()) return false;
        for (const auto& [id, route] : policy_.routes)
            for (const RouteNexthop& nexthop : route.nexthops) {
                const auto by = policy_.attachments.find(nexthop.attachment);
                if (by != policy_.attachments.end() && by->second.underlay && is_translated(route)) return true;
            }
        return false;
    }

    // Whether a route or an institution names a line that is gone; gates are looked at in any case.
    bool is_named() const {
        if (gone_.empty()) return false;
        for (const auto& [id, route] : policy_.routes)
            for (const RouteNexthop& nexthop : route.nexthops)
                if (gone_.contains(nexthop.attachment)) return true;
        for (const auto& [id, institution] : policy_.institutions)
            for (const Link& link : institution.links)
                for (const std::string& attachment : link.attachments)
                    if (gone_.contains(attachment)) return true;
        return false;
    }

    // No other tunnel's peer is reached by a subnet that is new, and none has another UDP port on an underlay of
    // theirs.
    void look_at_tunnels() {
        std::map<std::string_view, const Tunnel*> first_in_udp;
        for (const std::string_view name : tunnels_)
            if (const auto found = policy_.tunnels.find(name); found != policy_.tunnels.end() && found->second.udp)
                first_in_udp.emplace(found->second.underlay, &found->second);
        for (const auto& [id, tunnel] : policy_.tunnels) {
            for (const Attachment* attachment : fresh_)
                if (leads_to(*attachment, tunnel.peer) && !tunnels_.contains(id)) can_ = false;
            if (!tunnel.udp || first_in_udp.empty()) continue;
            const auto first = first_in_udp.find(tunnel.underlay);
            can_ = can_ && (first == first_in_udp.end() || first->second->udp->local_port == tunnel.udp->local_port);
        }
    }

    void check_changed_tunnels() {
        std::vector<const Tunnel*> all;
        for (const std::string_view name : tunnels_)
            if (const auto found = policy_.tunnels.find(name); found != policy_.tunnels.end())
                all.push_back(&found->second);
        const PeerWays ways(policy_, all);
        for (const Tunnel* tunnel : all) {
            ObjectFindings about(findings_, "tunnels", tunnel->id);
            check_tunnel(policy_, *tunnel, users_[tunnel->id], ways, about);
            for (const Attachment* user : users_[tunnel->id]) {  // of which only the tunnel may have changed
                ObjectFindings about_user(findings_, "attachments", user->id);
                check_attachment(policy_, *user, about_user);
            }
        }
        for (const auto& [name, users] : users_) can_ = can_ && (users.empty() || policy_.tunnels.contains(name));
    }

    const Policy& before_;
    const Policy& policy_;
    const HubSpace& hub_;
    Findings& findings_;
    std::vector<const Attachment*> changed_, fresh_;
    std::vector<const Translation*> translations_;  // that changed or came
    std::set<std::string, std::less<>> gone_;
    std::set<std::string, std::less<>> tunnels_;    // those that are gone too
    std::set<std::string, std::less<>> underlays_;  // likewise
    TunnelUsers users_;
    bool can_ = true;
};

}  // namespace

bool lines_are_fine(const Policy& before, const Policy& policy, const HubSpace& hub, Findings& findings) {
    return LineChange(before, policy, hub, findings).is_fine();
}

}  // namespace sekisho::control
