// Validation of a small change: what changed, and what leans on it. Compiler thread.
//
// It only ever finds that all is well. Whenever something is wrong, or what changed has half a million others lean on
// it (a pool, a translation that gets smaller), everything is looked at, and every error told as it always is.
#include <algorithm>
#include <set>
#include <utility>

#include "control/findings.hpp"

namespace sekisho::control {

namespace {

constexpr std::size_t kMostChanges = 4096;  // institutions and agreements; beyond, the whole is looked at
constexpr std::size_t kMostRoutes = 16;

// Whether an institution's numbers in the one are in the other as well.
bool holds_all_of(const Translation& now, const Translation& before) {
    return now.kind == TranslationKind::prefix_map && now.operator_id == before.operator_id &&
           now.hub_prefix.contains(before.hub_prefix);
}

// Whether what institutions lean on is there as it was: they need not be looked at again.
bool same_ground(const Policy& before, const Policy& policy, const HubNumbers& numbers) {
    bool same = before.hub_pools == policy.hub_pools;
    decltype(policy.attachments)::differences(
        before.attachments, policy.attachments, [&](const Attachment* was, const Attachment* is) {
            if (was != nullptr && is != nullptr)
                same = same && is->operator_id == was->operator_id && is->underlay == was->underlay;
        });
    decltype(policy.translations)::differences(
        before.translations, policy.translations, [&](const Translation* was, const Translation* is) {
            for (const Translation* const each : {was, is})
                same = same && (each == nullptr || each->kind != TranslationKind::family);
            if (was == nullptr) return;
            // With equal sides a line may lean on it. Who is behind a port block is looked at with it.
            same = same && was->operator_prefix != was->hub_prefix &&
                   (was->kind == TranslationKind::port_block || (is != nullptr && holds_all_of(*is, *was)) ||
                    !numbers.meet(was->hub_prefix));
        });
    return same;
}

class Change {
  public:
    Change(const Policy& before, const Policy& policy, HubNumbers& numbers)
        : before_(before), policy_(policy), numbers_(numbers) {}

    bool is_fine() {
        if (!policy_.timers.check()) return false;
        gather();
        if (gone_.size() + institutions_.size() + agreements_.size() > kMostChanges) return false;
        if (names_gone_operator()) return false;
        const HubSpace hub = check_hub_space(policy_, findings_);
        check_lines(hub);
        move_numbers();
        for (const Institution* institution : institutions_) {
            ObjectFindings about(findings_, "institutions", institution->id);
            check_own_numbers(policy_, *institution, hub, about);
            check_institution(policy_, *institution, about);
        }
        check_blocks();
        for (const Agreement* agreement : agreements_) {
            ObjectFindings about(findings_, "agreements", agreement->id);
            check_agreement(policy_, *agreement, numbers_, about);
        }
        if (!gone_.empty() || shrinks_) check_other_agreements();
        check_gates(policy_, findings_);
        return fits_ && findings_.empty();
    }

  private:
    void gather() {
        decltype(policy_.institutions)::differences(
            before_.institutions, policy_.institutions, [&](const Institution* was, const Institution* is) {
                if (is == nullptr) gone_.insert(was->id);
                if (is != nullptr) institutions_.push_back(is);
                if (was != nullptr) was_.push_back(was);
                moves_behind_ = moves_behind_ || !same_behind(was, is);
                if (was != nullptr && was->operator_prefixes.empty() && is != nullptr && !is->operator_prefixes.empty())
                    newly_behind_.insert(is->id);
            });
        decltype(policy_.agreements)::differences(before_.agreements, policy_.agreements,
                                                  [&](const Agreement*, const Agreement* is) {
                                                      if (is != nullptr) agreements_.push_back(is);
                                                  });
    }

    // Whether it has the same behind port blocks.
    static bool same_behind(const Institution* was, const Institution* is) {
        if (was != nullptr && is != nullptr)
            return was->operator_prefixes == is->operator_prefixes && was->operator_id == is->operator_id;
        return (was != nullptr ? was : is)->operator_prefixes.empty();
    }

    // Whether anything leans on an operator that is gone. Allocations and gates are looked at in any case.
    bool names_gone_operator() const {
        std::set<std::string_view> gone;
        decltype(policy_.operators)::differences(before_.operators, policy_.operators,
                                                 [&](const Operator* was, const Operator* is) {
                                                     if (is == nullptr) gone.insert(was->id);
                                                 });
        if (gone.empty()) return false;
        const auto is_owned = [&](const auto& objects) {
            for (const auto& [id, object] : objects)
                if (gone.contains(object.operator_id)) return true;
            return false;
        };
        for (const auto& [id, agreement] : policy_.agreements)
            for (const std::string& name : agreement.client_operators)
                if (gone.contains(name)) return true;
        return is_owned(policy_.attachments) || is_owned(policy_.translations) || is_owned(policy_.routes) ||
               is_owned(policy_.institutions);
    }

    // Routes that changed, where no tunnel leans on them. False: they must be looked at with all lines.
    bool check_routes_alone() {
        std::vector<const Route*> moved, fresh;
        decltype(policy_.routes)::differences(before_.routes, policy_.routes, [&](const Route* was, const Route* is) {
            moved.push_back(is != nullptr ? is : was);
            if (is != nullptr) fresh.push_back(is);
        });
        if (moved.size() > kMostRoutes) return false;
        const auto by_underlay = [&](const RouteNexthop& nexthop) {
            const auto attachment = policy_.attachments.find(nexthop.attachment);
            return attachment != policy_.attachments.end() && attachment->second.underlay;
        };
        for (const auto& [id, tunnel] : policy_.tunnels)
            for (const Route* route : moved)
                if (route->prefix.contains(tunnel.peer)) return false;
        for (const Route* route : fresh) {
            if (std::any_of(route->nexthops.begin(), route->nexthops.end(), by_underlay)) return false;
            const std::string id = route->id();
            ObjectFindings about(findings_, "routes", id);
            check_route(policy_, *route, subnets_of(policy_, route->operator_id), about);
        }
        return true;
    }

    // Whatever institutions and agreements have no part in.
    void check_lines(const HubSpace& hub) {
        check_operators(policy_, findings_);
        if (same_namespaces() && lines_are_fine(before_, policy_, hub, findings_) &&
            (before_.routes.same(policy_.routes) || check_routes_alone()))
            return;
        // Institutions that did not change may name a line that is gone.
        decltype(policy_.attachments)::differences(
            before_.attachments, policy_.attachments,
            [&](const Attachment*, const Attachment* is) { fits_ = fits_ && is != nullptr; });
        if (!fits_) return;
        check_attachments(policy_, hub, findings_);
        check_tunnels(policy_, findings_);
        check_routes(policy_, findings_);
        check_underlays(policy_, findings_);
    }

    bool same_namespaces() const {  // which TAPs lean on
        bool same = true;
        decltype(policy_.operators)::differences(
            before_.operators, policy_.operators, [&](const Operator* was, const Operator* is) {
                same = same && (was == nullptr || is == nullptr || was->network_namespace == is->network_namespace);
            });
        return same;
    }

    // First what leaves, then what comes: two institutions may change places.
    void move_numbers() {
        for (const Institution* was : was_)
            for (const IpPrefix& prefix : was->prefixes) fits_ = numbers_.erase(prefix) && fits_;
        for (const Institution* is : institutions_)
            for (const IpPrefix& prefix : is->prefixes) fits_ = numbers_.insert(prefix) && fits_;
        for (const Institution* was : was_)
            for (const IpPrefix& prefix : was->prefixes) shrinks_ = shrinks_ || !numbers_.cover(prefix);
    }

    // Port blocks, and who is behind them.
    void check_blocks() {
        std::set<std::string_view> moved;  // whose blocks those are that came, went or changed
        decltype(policy_.translations)::differences(
            before_.translations, policy_.translations, [&](const Translation* was, const Translation* is) {
                for (const Translation* const each : {was, is})
                    if (each != nullptr && each->kind == TranslationKind::port_block) moved.insert(each->operator_id);
            });
        if (moved.empty() && !moves_behind_) return;
        const BlocksOf blocks = blocks_of(policy_);
        move_behind();
        for (const Institution* institution : institutions_) {
            ObjectFindings about(findings_, "institutions", institution->id);
            check_own_behind(blocks, *institution, about);
        }
        for (const std::string_view of : moved) {
            const auto behind = numbers_.behind.find(of);
            const auto its = blocks.find(of);
            fits_ = fits_ &&
                    (behind == numbers_.behind.end() || its == blocks.end() || behind->second.are_inside(its->second));
        }
        check_port_blocks(policy_, numbers_.behind, findings_);
        if (!newly_behind_.empty()) check_tracked_agreements();
    }

    // As move_numbers(), in the operators' spaces.
    void move_behind() {
        const Behind before = numbers_.behind;
        for (const Institution* was : was_)
            for (const IpPrefix& prefix : was->operator_prefixes)
                fits_ = numbers_.behind[was->operator_id].erase(prefix) && fits_;
        for (const Institution* is : institutions_)
            for (const IpPrefix& prefix : is->operator_prefixes) {
                fits_ = numbers_.behind[is->operator_id].insert(prefix) && fits_;
                if (!before.contains(is->operator_id)) newly_behind_.insert(is->operator_id);
            }
        std::erase_if(numbers_.behind, [](const auto& each) { return each.second.empty(); });
    }

    // Those that stayed, and may name as stateless who comes behind a port block.
    void check_tracked_agreements() {
        const auto names = [&](const std::vector<std::string>& all) {
            return std::any_of(all.begin(), all.end(),
                               [&](const std::string& name) { return newly_behind_.contains(name); });
        };
        for (const auto& [id, agreement] : policy_.agreements)
            fits_ = fits_ && (agreement.state != AgreementState::stateless ||
                              !(names(agreement.client_operators) || names(agreement.client_institutions) ||
                                names(agreement.service_institutions)));
    }

    // Agreements that stayed, and may name what is gone.
    void check_other_agreements() {
        const auto names_gone = [&](const std::vector<std::string>& names) {
            for (const std::string& name : names)
                if (gone_.contains(name)) return true;
            return false;
        };
        const auto covered = [&](const std::vector<IpPrefix>& prefixes) {
            for (const IpPrefix& prefix : prefixes)
                if (!numbers_.cover(prefix)) return false;
            return true;
        };
        for (const auto& [id, agreement] : policy_.agreements)
            fits_ = fits_ && !names_gone(agreement.client_institutions) &&
                    !names_gone(agreement.service_institutions) && covered(agreement.client_prefixes) &&
                    covered(agreement.service_prefixes);
    }

    const Policy& before_;
    const Policy& policy_;
    HubNumbers& numbers_;
    Findings findings_;
    std::vector<const Institution*> was_, institutions_;  // of those that changed
    std::vector<const Agreement*> agreements_;
    std::set<std::string_view> gone_;
    std::set<std::string_view> newly_behind_;  // institutions that were there before, and operators of the first
    bool moves_behind_ = false;  // somebody comes behind a port block, goes, or is there with other prefixes
    bool shrinks_ = false;       // some prefix is no institution's any more
    bool fits_ = true;
};

}  // namespace

std::vector<Error> validate_change(const Policy& before, const Policy& policy, HubNumbers& numbers) {
    // What no validation has seen, such as the empty policy, has no rules_version.
    if (!before.rules_version.empty() && !policy.rules_version.empty() && same_ground(before, policy, numbers)) {
        HubNumbers moved = numbers;
        if (Change(before, policy, moved).is_fine()) {
            numbers = std::move(moved);
            return {};
        }
    }
    return validate(policy, numbers);
}

}  // namespace sekisho::control
