#include "control/hand_gates.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "control/calendar.hpp"
#include "control/json.hpp"
#include "control/place.hpp"
#include "control/validate.hpp"

namespace sekisho::control {

namespace {

using nlohmann::json;

Expected<ObjectPtr> gate_of(const json& object) {
    Document document;
    if (auto put = document.put(name_of(Kind::gates), object); !put) return put.error();
    ObjectPtr gate;
    document.for_each(Kind::gates, [&](const ObjectPtr& each) { gate = each; });
    return gate;
}

}  // namespace

Expected<HandGates> HandGates::parse(const std::string& text) {
    const auto array = parse_json(text);
    if (!array) return array.error();
    HandGates gates;
    if (!array->is_array()) return Error{ErrorCode::invalid, "an array of gates is expected"};
    for (const json& each : *array) {
        if (!each.is_object() || !each.contains("gate") || !each.contains("since") || !each["since"].is_string() ||
            !each.contains("uid") || !each["uid"].is_number_unsigned())
            return Error{ErrorCode::invalid, "a gate with since and uid is expected"};
        auto object = gate_of(each["gate"]);
        if (!object) return object.error();
        gates.close({std::move(*object), each["since"], each["uid"]});
    }
    return gates;
}

std::string HandGates::text() const {
    json array = json::array();
    for (const auto& [id, gate] : gates_)
        array.push_back({{"gate", json::parse(gate.object->text)}, {"since", gate.since}, {"uid", gate.uid}});
    return array.dump() + "\n";
}

Expected<HandGate> HandGates::made(const json& object, const Policy& policy, const Peer& peer, Time now) const {
    auto gate = gate_of(object);
    if (!gate) return gate.error();
    if (gates_.contains((*gate)->id))
        return Error{ErrorCode::exists, fmt::format("gate {} is closed by hand already", in_quotes((*gate)->id))};
    if (gates_.size() >= kMost)
        return Error{ErrorCode::limit, fmt::format("{} gates are closed by hand, and no more may be", kMost)};
    if (auto errors = check_gate(policy, (*gate)->id, std::get<Gate>((*gate)->value)); !errors.empty())
        return errors.front();
    return HandGate{std::move(*gate), time_text(now), peer.uid};
}

const HandGate* HandGates::find(std::string_view id) const {
    const auto found = gates_.find(id);
    return found == gates_.end() ? nullptr : &found->second;
}

void HandGates::close(HandGate gate) {
    const std::string id = gate.object->id;
    gates_.insert_or_assign(id, std::move(gate));
}

void HandGates::open(std::string_view id) {
    if (const auto found = gates_.find(id); found != gates_.end()) gates_.erase(found);
}

std::vector<const Gate*> HandGates::in_force(Time now) const {
    std::vector<const Gate*> gates;
    for (const auto& [id, each] : gates_) {
        const auto from = parse_time(each.gate().from);  // the empty text, no bound, is no time either
        const auto until = parse_time(each.gate().until);
        if ((!from || *from <= now) && (!until || now < *until)) gates.push_back(&each.gate());
    }
    return gates;
}

NamesByHand HandGates::agreements_in_force(Time now) const {
    NamesByHand names;
    for (const Gate* gate : in_force(now))
        if (gate->target == GateTarget::agreement) names.insert(gate->target_id);
    return names;
}

bool HandGates::has_agreements() const {
    return std::any_of(gates_.begin(), gates_.end(),
                       [](const auto& each) { return each.second.gate().target == GateTarget::agreement; });
}

std::optional<HandGates::Time> HandGates::next_change(Time now) const {
    std::optional<Time> next;
    for (const auto& [id, each] : gates_)
        for (const std::string& text : {each.gate().from, each.gate().until})
            if (const auto time = parse_time(text); time && *time > now && (!next || *time < *next)) next = *time;
    return next;
}

}  // namespace sekisho::control
