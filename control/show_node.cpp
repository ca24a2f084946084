#include "control/show_node.hpp"

#include <fmt/format.h>

#include "control/calendar.hpp"
#include "control/explain_params.hpp"

namespace sekisho::control {

namespace {

using nlohmann::json;

constexpr std::size_t kPage = 1000;

RpcError no_counters() {
    return {RpcErrorCode::unavailable,
            "a worker did not answer in time: it is stuck, or starved of its core; show.workers says which"};
}

json to_json(const dataplane::PortCounters& counters) {
    json dropped = json::object();
    for (std::size_t reason = 0; reason < kDropReasonCount; ++reason)
        if (counters.dropped[reason] != 0) dropped[std::string(kDropReasons[reason].name)] = counters.dropped[reason];
    return {{"received", counters.received},
            {"received_bytes", counters.received_bytes},
            {"made", counters.made},
            {"sent", counters.sent},
            {"dropped", std::move(dropped)},
            {"dropped_total", counters.total_dropped()},
            {"punted", counters.punted},
            {"consumed", counters.consumed},
            {"held", counters.held},
            {"unaccounted", counters.unaccounted()},
            {"transmitted", counters.transmitted},
            {"transmitted_bytes", counters.transmitted_bytes},
            {"not_made_rate", counters.not_made_rate},
            {"not_made_buffer", counters.not_made_buffer}};
}

std::string port_name(const std::vector<dataplane::PortInfo>& ports, std::size_t index) {
    return index < ports.size() ? ports[index].name : fmt::format("port {}", index);
}

std::string_view name_of(dataplane::Neighbours::State state) {
    switch (state) {
        case dataplane::Neighbours::State::incomplete: return "incomplete";
        case dataplane::Neighbours::State::reachable: return "reachable";
        case dataplane::Neighbours::State::failed: return "failed";
        case dataplane::Neighbours::State::stale: return "stale";
        case dataplane::Neighbours::State::delay: return "delay";
        case dataplane::Neighbours::State::probe: return "probe";
    }
    return "unknown";
}

// What brings a flow to its worker.
std::string_view flows_by(const dataplane::PortPlan& plan) {
    if (plan.spreads) return "spreader";
    if (plan.rss_types != 0) return plan.rss_symmetric ? "symmetric rss" : "rss";
    return plan.receive_queues > 1 ? "device" : "one worker";
}

json ratio(std::uint64_t dividend, std::uint64_t divisor) {
    if (divisor == 0) return nullptr;
    return static_cast<double>(dividend) / static_cast<double>(divisor);
}

}  // namespace

Result show_ports(Node& node, Params params) {
    if (auto error = params.error()) return *error;
    json items = json::array();
    for (const dataplane::PortInfo& port : node.ports()) {
        json xdp;
        if (port.xdp)
            xdp = {
                {"to_port", port.xdp->to_port}, {"to_kernel", port.xdp->to_kernel}, {"no_socket", port.xdp->no_socket}};
        items.push_back({{"port", port.name},
                         {"devargs", port.devargs},
                         {"driver", port.driver},
                         {"mac", port.mac.text()},
                         {"mtu", port.mtu},
                         {"receive_queues", port.plan.receive_queues},
                         {"transmit_queues", port.plan.transmit_queues},
                         {"flows_by", flows_by(port.plan)},
                         {"link_up", port.link_up},
                         {"link_mbps", port.link_mbps},
                         {"missed", port.missed},
                         {"receive_errors", port.receive_errors},
                         {"no_buffer", port.no_buffer},
                         {"transmit_errors", port.transmit_errors},
                         {"xdp", std::move(xdp)}});
    }
    return json{{"items", std::move(items)}};
}

Result show_counters(Node& node, Params params) {
    if (auto error = params.error()) return *error;
    const auto counters = node.counters();
    if (!counters) return no_counters();
    const auto ports = node.ports();
    json by_port = json::array();
    for (std::size_t i = 0; i < counters->ports.size(); ++i) {
        json item = to_json(counters->ports[i]);
        item["port"] = port_name(ports, i);
        by_port.push_back(std::move(item));
    }
    return json{{"ports", std::move(by_port)}, {"node", to_json(counters->node())}};
}

Result show_drops(Node& node, Params params) {
    const bool all = params.flag("all");
    if (auto error = params.error()) return *error;
    const auto counters = node.counters();
    if (!counters) return no_counters();
    const auto ports = node.ports();
    json items = json::array();
    for (std::size_t reason = 0; reason < kDropReasonCount; ++reason) {
        std::uint64_t count = 0;
        json by_port = json::object();
        for (std::size_t i = 0; i < counters->ports.size(); ++i) {
            const std::uint64_t here = counters->ports[i].dropped[reason];
            if (here != 0) by_port[port_name(ports, i)] = here;
            count += here;
        }
        if (count == 0 && !all) continue;
        items.push_back({{"reason", kDropReasons[reason].name},
                         {"count", count},
                         {"sentence", kDropReasons[reason].sentence},
                         {"rule", kDropReasons[reason].rule},
                         {"ports", std::move(by_port)}});
    }
    return json{{"items", std::move(items)}};
}

Result show_stages(Node& node, Params params) {
    if (auto error = params.error()) return *error;
    const auto counters = node.counters();
    if (!counters) return no_counters();
    json items = json::array();
    for (std::size_t i = 0; i < dataplane::kStages.size(); ++i) {
        const dataplane::StageCounters& stage = counters->stages[i];
        items.push_back({{"stage", dataplane::kStages[i].name},
                         {"sentence", dataplane::kStages[i].sentence},
                         {"packets", stage.packets},
                         {"bursts", stage.bursts},
                         {"packets_per_burst", ratio(stage.packets, stage.bursts)},
                         {"timed_packets", stage.timed_packets},
                         {"timed_cycles", stage.timed_cycles},
                         {"cycles_per_packet", ratio(stage.timed_cycles, stage.timed_packets)}});
    }
    return json{{"items", std::move(items)},
                {"walks", counters->walks},
                {"polls", counters->polls},
                {"empty_polls", counters->empty_polls},
                {"busy_cycles", counters->busy_cycles},
                {"tsc_hz", counters->tsc_hz}};
}

Result show_workers(Node& node, Params params) {
    if (auto error = params.error()) return *error;
    json items = json::array();
    for (const dataplane::WorkerInfo& worker : node.workers()) {
        const dataplane::Counters& counters = worker.counters;
        items.push_back(
            {{"worker", worker.worker.value()},
             {"lcore", worker.lcore},
             {"state", worker.stalled_since ? "stalled" : "running"},
             {"stalled_since", worker.stalled_since ? json(time_text(*worker.stalled_since)) : json()},
             {"answered", worker.answered},
             {"polls", counters.polls},
             {"empty_polls", counters.empty_polls},
             {"walks", counters.walks},
             {"busy_cycles", counters.busy_cycles},
             {"handed_over", counters.handed_over},
             {"handed_in", counters.handed_in},
             {"sessions", counters.sessions},
             {"sessions_opened", counters.sessions_opened},
             {"handover_full", counters.node().dropped[static_cast<std::size_t>(DropReason::handover_full)]}});
    }
    return json{{"items", std::move(items)}};
}

Result show_taps(Node& node, Params params) {
    if (auto error = params.error()) return *error;
    json items = json::array();
    for (const dataplane::TapInfo& tap : node.taps())
        items.push_back({{"attachment", node.attachment_name(tap.spec.attachment)},
                         {"network_namespace", tap.spec.network_namespace},
                         {"interface", tap.spec.interface},
                         {"mac", tap.spec.mac.text()},
                         {"mtu", tap.spec.mtu},
                         {"state", tap.open ? "open" : "waiting"},
                         {"words", tap.open ? json() : json(tap.words)},
                         {"to_kernel", tap.to_kernel},
                         {"not_taken", tap.not_taken},
                         {"from_kernel", tap.from_kernel}});
    return json{{"items", std::move(items)}};
}

Result show_neighbours(Node& node, Params params) {
    const std::uint64_t after = params.number("after", 0, UINT32_MAX);
    const std::uint64_t limit = params.number("limit", kPage, kPage);
    if (auto error = params.error()) return *error;
    const auto neighbours = node.neighbours();
    json items = json::array();
    if (after == 0)
        for (const auto& conflict : node.conflicts())
            items.push_back({{"attachment", node.attachment_name(conflict.attachment)},
                             {"address", conflict.address.text()},
                             {"mac", conflict.mac.text()},
                             {"state", "duplicate"}});
    std::size_t at = after;
    for (; at < neighbours.size() && items.size() < limit; ++at) {
        const auto& neighbour = neighbours[at];
        const bool known = neighbour.link.is_known();
        items.push_back({{"attachment", node.attachment_name(neighbour.attachment)},
                         {"address", neighbour.address.text()},
                         {"mac", known ? json(neighbour.link.mac().text()) : json()},
                         {"state", name_of(neighbour.link.state())}});
    }
    return json{{"items", std::move(items)}, {"next", at < neighbours.size() ? json(at) : json()}};
}

UsableNexthops::UsableNexthops(Node& node) {
    for (const auto& each : node.nexthops())
        usable_[{node.attachment_name(each.attachment), each.family, each.gateway}] = each.usable;
}

json UsableNexthops::of(const Route& route) const {
    json result = json::array();
    if (route.nexthops.size() < 2) return result;
    bool primary = false;
    for (const RouteNexthop& told : route.nexthops) {
        const auto known = usable_.find({told.attachment, route.prefix.family(), told.gateway});
        const bool usable = known == usable_.end() || known->second;
        primary = primary || (usable && !told.backup);
        result.push_back({{"attachment", told.attachment},
                          {"gateway", told.gateway ? json(told.gateway->text()) : json()},
                          {"backup", told.backup},
                          {"usable", usable}});
    }
    for (json& each : result) each["used"] = each["usable"] == true && each["backup"] != primary;
    return result;
}

Result explain(Node& node, Params params) {
    auto packet = imagined_packet(params, [&node](const std::string& name) { return node.attachment_named(name); });
    if (auto error = params.error()) return *error;
    const auto explanation = node.explain(packet);
    if (!explanation) return rpc_error(explanation.error());

    json steps = json::array();
    for (const auto& step : explanation->steps) steps.push_back({{"stage", step.stage}, {"words", step.words}});
    json result = {{"steps", std::move(steps)},
                   {"passes", !explanation->dropped.has_value()},
                   {"drop", nullptr},
                   {"error", explanation->error.empty() ? json() : json(explanation->error)},
                   {"leaves", nullptr}};
    if (explanation->dropped) {
        const DropReasonText& text = text_of(*explanation->dropped);
        result["drop"] = {{"reason", text.name}, {"sentence", text.sentence}, {"rule", text.rule}};
    }
    if (explanation->egress)
        result["leaves"] = {{"attachment", node.attachment_name(*explanation->egress)},
                            {"source", explanation->source},
                            {"destination", explanation->destination},
                            {"next_hop", explanation->next_hop}};
    return result;
}

}  // namespace sekisho::control
