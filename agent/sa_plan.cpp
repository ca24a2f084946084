// In four rounds, each of which needs the one before: room is made, SAs are installed, switched to, removed.
#include "agent/sa_plan.hpp"

#include <algorithm>
#include <tuple>

namespace sekisho::agent {

namespace {

bool comes_before(const WrappedSa& a, const WrappedSa& b) {
    return std::tie(a.from, a.revision, a.name) < std::tie(b.from, b.revision, b.name);
}

}  // namespace

TunnelSas::Targets TunnelSas::targets(WallClock::time_point now,
                                      const std::function<bool(const std::string&)>& blocked) const {
    Targets targets;
    for (const auto& [name, sa] : wanted) {
        const std::string label = sa.label;
        const auto found = there.find(label);
        const bool is_there = found != there.end() && found->second.outbound;
        if (!sa.outbound || (blocked(label) && !is_there)) continue;
        const WrappedSa*& target = sa.from <= now ? targets.current : targets.waiting;
        const bool is_later = target != nullptr && comes_before(*target, sa);
        if (target == nullptr || (sa.from <= now ? is_later : !is_later)) target = &sa;
    }
    return targets;
}

bool TunnelSas::is_wanted(const std::string& label, const SaThere& sa) const {
    if (gone.contains(label)) return false;
    const auto object = wanted.find(sa.name);
    return broken.contains(sa.name) || (object != wanted.end() && object->second.label == label);
}

std::vector<SaStep> TunnelSas::next(WallClock::time_point now,
                                    const std::function<bool(const std::string&)>& blocked) const {
    using What = SaStep::What;
    const Targets target = targets(now, blocked);
    const std::string current = target.current != nullptr ? target.current->label : "";
    const std::string waiting = target.waiting != nullptr ? target.waiting->label : "";
    const SaThere* has_current = nullptr;
    const SaThere* has_waiting = nullptr;
    std::string current_label, waiting_label;
    for (const auto& [label, sa] : there) {
        if (!sa.outbound) continue;
        (sa.waits ? has_waiting : has_current) = &sa;
        (sa.waits ? waiting_label : current_label) = label;
    }
    std::vector<SaStep> steps;

    // 1. An outbound SA that waits in the way of another, and what was deleted and has an SPI that comes again.
    const bool in_the_way = waiting_label != waiting || (!current.empty() && current_label != current);
    if (has_waiting != nullptr && waiting_label != current && in_the_way && !broken.contains(has_waiting->name))
        steps.push_back({What::remove, waiting_label, {}, {}, has_waiting->outbound});
    for (const std::string& label : gone) {
        const SaThere& sa = there.at(label);
        const bool comes_again = std::any_of(wanted.begin(), wanted.end(), [&](const auto& one) {
            return one.second.label != label && sa.inbound && one.second.inbound == sa.inbound;
        });
        if (comes_again && label != waiting_label) steps.push_back({What::remove, label, {}, sa.inbound, sa.outbound});
    }
    if (!steps.empty()) return steps;

    // 2. What is missing. An outbound SA waits where there is one already.
    const bool some_current = has_current != nullptr || others_current;
    const bool some_waiting = has_waiting != nullptr || others_waiting;
    for (const auto& [name, sa] : wanted) {
        const std::string label = sa.label;
        if (blocked(label)) continue;
        const auto found = there.find(label);
        const bool has_inbound = found != there.end() && found->second.inbound;
        const bool has_outbound = found != there.end() && found->second.outbound;
        const bool is_turn = label == current || (label == waiting && (current.empty() || current_label == current));
        const Halves halves{sa.inbound && !has_inbound, is_turn && !has_outbound && !some_waiting};
        if (!halves.inbound && !halves.outbound) continue;
        const bool at_once = label == current && !some_current;
        steps.push_back({halves.outbound && !at_once ? What::rekey : What::install, label, halves, {}, {}});
    }
    if (!steps.empty()) return steps;

    // 3. What waits and whose time has come.
    if (has_waiting != nullptr && waiting_label == current)
        return {{What::switch_over, waiting_label, {}, {}, has_waiting->outbound}};

    // 4. What the store has not, or has otherwise by now. What the node did not take leaves the old.
    for (const auto& [label, sa] : there) {
        if (is_wanted(label, sa)) continue;
        const auto object = wanted.find(sa.name);
        if (object != wanted.end() && blocked(object->second.label) && !there.contains(object->second.label)) continue;
        steps.push_back({What::remove, label, {}, sa.inbound, sa.outbound});
    }
    return steps;
}

void TunnelSas::done(const SaStep& step) {
    using What = SaStep::What;
    const auto clean = [this](const std::string& label) {
        const auto sa = there.find(label);
        if (sa == there.end() || sa->second.inbound || sa->second.outbound) return;
        there.erase(sa);
        gone.erase(label);
    };
    switch (step.what) {
        case What::install:
        case What::rekey: {
            const auto object = std::find_if(wanted.begin(), wanted.end(),
                                             [&](const auto& one) { return one.second.label == step.label; });
            if (object == wanted.end()) return;
            SaThere& sa = there[step.label];
            sa.name = object->first;
            if (step.halves.inbound) sa.inbound = object->second.inbound;
            if (!step.halves.outbound) return;
            sa.outbound = object->second.outbound;
            sa.waits = step.what == What::rekey;
            return;
        }
        case What::switch_over: {
            std::string before;
            for (auto& [label, sa] : there)
                if (sa.outbound && !sa.waits) before = label;
            if (!before.empty()) there[before].outbound.reset();
            there[step.label].waits = others_current = false;
            clean(before);
            return;
        }
        case What::remove: {
            SaThere& sa = there[step.label];
            if (step.inbound) sa.inbound.reset();
            if (step.outbound) sa.outbound.reset();
            clean(step.label);
            return;
        }
    }
}

std::string TunnelSas::conflict(const WrappedSa& sa) const {
    if (there.contains(sa.label)) return {};
    for (const auto& [label, other] : there)
        if (other.name == sa.name && !gone.contains(label) &&
            ((sa.inbound && other.inbound == sa.inbound) || (sa.outbound && other.outbound == sa.outbound)))
            return ".inbound.spi, .outbound.spi: an SA of this object has it: other keys come with other SPIs, or "
                   "after "
                   "this object was deleted";
    return {};
}

std::optional<WallClock::time_point> TunnelSas::due(WallClock::time_point now) const {
    std::optional<WallClock::time_point> due;
    for (const auto& [name, sa] : wanted)
        if (sa.outbound && sa.from > now && (!due || sa.from < *due)) due = sa.from;
    return due;
}

}  // namespace sekisho::agent
