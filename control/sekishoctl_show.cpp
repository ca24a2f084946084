// show and explain: the daemon's answers as tables for people, or as they are with --json.
//
// One table of what can be shown: the method, and the columns with where each comes from. Nothing here decides
// anything.
#include <cstdio>
#include <functional>

#include <fmt/format.h>

#include "control/document.hpp"
#include "control/sekishoctl.hpp"
#include "control/text_table.hpp"

namespace sekisho::control::cli {

using nlohmann::json;

namespace {

// A value as a cell: strings bare, lists joined, null and absent as "-".
std::string cell(const json& value) {
    if (value.is_null()) return "-";
    if (value.is_string()) return value.get<std::string>();
    if (value.is_number_float()) return fmt::format("{:.1f}", value.get<double>());
    if (!value.is_array()) return value.dump();
    std::string text;
    for (const json& each : value) text += (text.empty() ? "" : ",") + cell(each);
    return text.empty() ? "-" : text;
}

// The value at a JSON pointer, or null.
json at(const json& item, const std::string& pointer) {
    const json::json_pointer where(pointer);
    return item.contains(where) ? item.at(where) : json();
}

struct Column {
    std::string title;
    std::function<std::string(const json& item)> cell;
    TextTable::Align align = TextTable::Align::left;
};

Column text(std::string title, std::string pointer) {
    return {std::move(title), [pointer](const json& item) { return cell(at(item, pointer)); }};
}
Column number(std::string title, std::string pointer) {
    return {std::move(title), [pointer](const json& item) { return cell(at(item, pointer)); }, TextTable::Align::right};
}

// A field of the object that may be left out, and what it means then.
Column with_default(std::string title, std::string pointer, std::string otherwise) {
    return {std::move(title),
            [pointer, otherwise](const json& item) {
                const json value = at(item, pointer);
                return value.is_null() ? otherwise : cell(value);
            },
            TextTable::Align::right};
}

std::string state_cell(const json& item) {
    const json closed_by = at(item, "/closed_by");
    const std::string state = cell(at(item, "/state"));
    return closed_by.is_array() && !closed_by.empty() ? state + " by " + cell(closed_by) : state;
}

// "operators kita; institutions a,b": one side of an agreement.
std::string parties_cell(const json& parties) {
    std::string text;
    for (const char* kind : {"operators", "institutions", "prefixes"})
        if (const json names = at(parties, std::string("/") + kind); !names.is_null())
            text += (text.empty() ? "" : "; ") + std::string(kind) + " " + cell(names);
    return text.empty() ? "-" : text;
}

std::string ports_cell(const json& ports) {
    std::string text;
    if (ports.is_array())
        for (const json& port : ports)
            text += (text.empty() ? "" : ",") +
                    (port.is_object() ? cell(at(port, "/first")) + "-" + cell(at(port, "/last")) : cell(port));
    return text.empty() ? "-" : text;
}

std::string nexthops_cell(const json& item) {
    const json route = at(item, "/object");
    if (at(route, "/blackhole") == true) return "blackhole";
    std::string text;
    std::size_t i = 0;
    for (const json& nexthop : route.value("nexthops", json::array())) {
        const json gateway = at(nexthop, "/gateway");
        text += (text.empty() ? "" : ", ") + (gateway.is_null() ? "connected" : "via " + cell(gateway)) + " on " +
                cell(at(nexthop, "/attachment"));
        const json state = at(item, "/nexthops/" + std::to_string(i++));
        if (state.is_object())
            text += fmt::format(" ({}{})", at(state, "/backup") == true ? "backup, " : "",
                                at(state, "/used") == true     ? "used"
                                : at(state, "/usable") == true ? "usable"
                                                               : "withdrawn");
    }
    return text.empty() ? "-" : text;
}

// "10.0.0.7:4000 (100.64.0.7:4000)": where an end is, and what it is in hub space.
std::string end_cell(const json& end) {
    const auto endpoint = [&](const char* address, const char* port) {
        const std::string text = cell(at(end, address));
        return (text.find(':') == std::string::npos ? text : "[" + text + "]") + ":" + cell(at(end, port));
    };
    return endpoint("/address", "/port") + " (" + endpoint("/hub_address", "/hub_port") + ")";
}

std::string spi_cell(const json& spi) {
    return spi.is_number_unsigned() ? fmt::format("0x{:08x}", spi.get<std::uint64_t>()) : "-";
}

// "icv_wrong 3, replay_stale 1".
std::string named_numbers(const json& object) {
    std::string text;
    if (object.is_object())
        for (const auto& [name, value] : object.items()) text += (text.empty() ? "" : ", ") + name + " " + cell(value);
    return text.empty() ? "-" : text;
}

struct View {
    std::string method;
    std::vector<Column> columns;
    std::string items = "items";  // the result's member that is the list
};

const std::map<std::string, View>& views() {
    static const Column state{"STATE", state_cell};
    static const Column clients{"CLIENTS", [](const json& item) { return parties_cell(at(item, "/object/clients")); }};
    static const Column services{"SERVICES",
                                 [](const json& item) { return parties_cell(at(item, "/object/services")); }};
    static const Column service_ports{"PORTS", [](const json& item) { return ports_cell(at(item, "/object/ports")); }};
    static const Column spi{"SPI", [](const json& item) { return spi_cell(at(item, "/spi")); },
                            TextTable::Align::right};
    static const Column outbound{"OUTBOUND", [](const json& item) { return spi_cell(at(item, "/outbound")); }};
    static const Column left{"LEFT", [](const json& item) { return named_numbers(at(item, "/left")); }};
    static const Column failures{"FAILURES", [](const json& item) { return named_numbers(at(item, "/failures")); }};
    static const Column sequence{"SEQUENCE", [](const json& item) {
                                     const json next = at(item, "/next_sequence");
                                     if (next.is_null()) return cell(at(item, "/highest_sequence"));
                                     return cell(next) + " of " + cell(at(item, "/reserved_to"));
                                 }};
    static const Column mtu{"MTU",
                            [](const json& item) {
                                const json told = at(item, "/object/mtu");
                                if (!told.is_null()) return cell(told);
                                return std::string(at(item, "/object/tunnel").is_null() ? "1500" : "underlay's");
                            },
                            TextTable::Align::right};
    static const Column path{"PORT", [](const json& item) {
                                 const json tunnel = at(item, "/object/tunnel");
                                 return tunnel.is_null() ? cell(at(item, "/object/port")) : "tunnel " + cell(tunnel);
                             }};
    static const Column client{"CLIENT", [](const json& item) { return end_cell(at(item, "/client")); }};
    static const Column service{"SERVICE", [](const json& item) { return end_cell(at(item, "/service")); }};
    static const Column nexthops{"NEXTHOPS", [](const json& item) { return nexthops_cell(item); }};
    static const Column peer = {"PEER", [](const json& item) {
                                    const json now = at(item, "/peer_now");
                                    return cell(now.is_null() ? at(item, "/object/peer") : now);
                                }};
    static const std::map<std::string, View> kViews = {
        {"operators",
         {"show.operators",
          {text("ID", "/id"), text("NAME", "/object/name"), text("CERTIFICATION", "/object/certification/number"),
           text("VALID UNTIL", "/object/certification/valid_until"), state}}},
        {"allocations",
         {"show.allocations",
          {text("ID", "/id"), text("PREFIX", "/object/prefix"), text("OPERATOR", "/object/operator"),
           text("FROM", "/object/from"), text("RELEASED", "/object/released"), text("FREE FROM", "/free_from"),
           state}}},
        {"attachments",
         {"show.attachments",
          {text("ID", "/id"), text("OPERATOR", "/object/operator"), path,
           with_default("VLAN", "/object/vlan", "untagged"), text("METHOD", "/object/method"),
           text("MAC", "/object/mac"), text("IPV4", "/object/ipv4"), text("IPV6", "/object/ipv6"), mtu, state}}},
        {"sa",
         {"show.sa",
          {text("TUNNEL", "/tunnel"), text("DIRECTION", "/direction"), spi, text("STATE", "/state"),
           text("SUITE", "/suite"), text("ORIGIN", "/origin"), number("AGE", "/age"), number("PACKETS", "/packets"),
           number("BYTES", "/bytes"), left, sequence, failures}}},
        {"tunnels",
         {"show.tunnels",
          {text("ID", "/id"), text("UNDERLAY", "/object/underlay"), peer, text("SUITE", "/object/suite"),
           with_default("ESN", "/object/esn", "true"), with_default("WINDOW", "/object/replay_window", "4096"),
           text("KEYS", "/object/keys"), number("MTU", "/mtu"), number("INBOUND", "/inbound"), outbound}}},
        {"institutions",
         {"show.institutions",
          {text("ID", "/id"), text("OPERATOR", "/object/operator"), text("KIND", "/object/kind"),
           text("HUB PREFIXES", "/object/prefixes"), state}}},
        {"translations",
         {"show.translations",
          {text("ID", "/id"), text("OPERATOR", "/object/operator"), text("KIND", "/object/kind"),
           text("OPERATOR PREFIX", "/object/operator_prefix"), text("HUB PREFIX", "/object/hub_prefix"),
           text("PER", "/object/port_block/per"), number("LENT BLOCKS", "/blocks")}}},
        {"blocks",
         {"show.blocks",
          {text("ADDRESS", "/address"), number("FROM", "/first_port"), number("TO", "/last_port"),
           text("PROTOCOL", "/protocol"), text("INSTITUTION", "/institution"), text("OPERATOR", "/operator"),
           text("HOST", "/host"), number("PORT", "/host_port"), text("TRANSLATION", "/translation"),
           text("SINCE", "/opened")}}},
        {"agreements",
         {"show.agreements",
          {text("ID", "/id"), clients, services, text("PROTOCOL", "/object/protocol"), service_ports,
           with_default("TRACKING", "/object/state", "tracked"), text("FROM", "/object/from"),
           text("UNTIL", "/object/until"), state}}},
        {"routes", {"show.routes", {text("OPERATOR", "/object/operator"), text("PREFIX", "/object/prefix"), nexthops}}},
        {"gates",
         {"show.gates",
          {text("ID", "/id"), text("TARGET", "/object/target"), text("OF", "/object/target_id"),
           text("REASON", "/object/reason"), text("FROM", "/object/from"), text("UNTIL", "/object/until"), state}}},
        {"ports",
         {"show.ports",
          {text("PORT", "/port"), text("DRIVER", "/driver"), text("DEVARGS", "/devargs"), text("MAC", "/mac"),
           number("MTU", "/mtu"), number("QUEUES", "/receive_queues"), text("FLOWS BY", "/flows_by"),
           text("LINK UP", "/link_up"), number("MBIT/S", "/link_mbps"), number("MISSED", "/missed"),
           number("RX ERRORS", "/receive_errors"), number("NO BUFFER", "/no_buffer"),
           number("TX ERRORS", "/transmit_errors"), number("TO KERNEL", "/xdp/to_kernel")}}},
        {"generations",
         {"show.generations",
          {number("GENERATION", "/generation"), text("COMMITTED", "/committed"), text("WHAT", "/what"),
           number("OF", "/of"), number("UID", "/uid"), text("RULES", "/rules_version"), number("OBJECTS", "/objects"),
           number("BYTES", "/bytes"), text("CONFIRMED", "/confirmed"), text("STATE", "/state"),
           text("UNTIL", "/confirm_by"), text("HASH", "/hash")}}},
        {"schedule",
         {"show.schedule",
          {number("CHANGE", "/id"), text("EFFECTIVE AT", "/effective_at"), text("STAGED", "/staged"),
           number("UID", "/uid"), number("ON GENERATION", "/base"), text("COUNTS", "/counts"), text("FITS", "/fits"),
           text("FAILED", "/failed"), text("WHY", "/words")}}},
        {"counters",
         {"show.counters",
          {text("PORT", "/port"), number("RECEIVED", "/received"), number("MADE", "/made"), number("SENT", "/sent"),
           number("DROPPED", "/dropped_total"), number("PUNTED", "/punted"), number("CONSUMED", "/consumed"),
           number("HELD", "/held"), number("UNACCOUNTED", "/unaccounted"), number("LEFT BY IT", "/transmitted")},
          "ports"}},
        {"drops",
         {"show.drops",
          {text("REASON", "/reason"), number("COUNT", "/count"), text("RULE", "/rule"),
           text("SENTENCE", "/sentence")}}},
        {"stages",
         {"show.stages",
          {text("STAGE", "/stage"), number("PACKETS", "/packets"), number("BURSTS", "/bursts"),
           number("PER BURST", "/packets_per_burst"), number("CYCLES EACH", "/cycles_per_packet"),
           text("WHAT IT DOES", "/sentence")}}},
        {"workers",
         {"show.workers",
          {text("WORKER", "/worker"), text("LCORE", "/lcore"), text("STATE", "/state"), text("SINCE", "/stalled_since"),
           number("POLLS", "/polls"), number("EMPTY", "/empty_polls"), number("WALKS", "/walks"),
           number("BUSY CYCLES", "/busy_cycles"), number("HANDED OVER", "/handed_over"),
           number("HANDED IN", "/handed_in"), number("NOT TAKEN", "/handover_full"), number("SESSIONS", "/sessions"),
           number("OPENED", "/sessions_opened")}}},
        {"sessions",
         {"show.sessions",
          {text("PROTOCOL", "/protocol"), client, text("INSTITUTION", "/client/institution"), service,
           text("OF", "/service/institution"), text("STATE", "/state"), number("PACKETS", "/packets"),
           number("BYTES", "/bytes"), number("IDLE", "/idle"), number("LEFT", "/left"), number("WORKER", "/worker")}}},
        {"taps",
         {"show.taps",
          {text("ATTACHMENT", "/attachment"), text("NAMESPACE", "/network_namespace"), text("INTERFACE", "/interface"),
           text("STATE", "/state"), number("TO KERNEL", "/to_kernel"), number("NOT TAKEN", "/not_taken"),
           number("FROM KERNEL", "/from_kernel"), text("WHY", "/words")}}},
        {"neighbours",
         {"show.neighbours",
          {text("ATTACHMENT", "/attachment"), text("ADDRESS", "/address"), text("MAC", "/mac"),
           text("STATE", "/state")}}},
    };
    return kViews;
}

void print_table(const View& view, const json& result) {
    std::vector<TextTable::Column> titles;
    for (const Column& column : view.columns) titles.push_back({column.title, column.align});
    TextTable table(std::move(titles));
    const auto add = [&](const json& item) {
        std::vector<std::string> cells;
        for (const Column& column : view.columns) cells.push_back(column.cell(item));
        table.add(std::move(cells));
    };
    for (const json& item : result.at(view.items)) add(item);
    if (json node = result.value("node", json()); node.is_object()) {
        node["port"] = "all";
        add(node);
    }
    fmt::print("{}", table.text());
}

// An object as "name: value" lines, nested names with dots.
void print_fields(const json& object, const std::string& before = "") {
    for (const auto& [name, value] : object.items()) {
        if (value.is_object())
            print_fields(value, before + name + ".");
        else
            fmt::print("{}: {}\n", before + name, cell(value));
    }
}

int show_policy(const Options& options) {
    Daemon daemon(options);
    // Read twice over if a commit comes between two kinds: the document must be one generation's.
    for (;;) {
        nlohmann::ordered_json document = nlohmann::ordered_json::object();
        std::optional<json> generation;
        bool torn = false;
        for (const std::string_view kind : kKindNames) {
            const auto part = daemon.call_pages("show.policy", {{"kind", kind}}, "objects");
            if (!part) return daemon.exit_code();
            if (!generation) generation = part->at("generation");
            torn = torn || part->at("generation") != *generation;
            const json& objects = part->at("objects");
            if (kind == name_of(Kind::hub) && !objects.empty())
                document[std::string(kind)] = objects.front();
            else if (!objects.empty())
                document[std::string(kind)] = objects;
        }
        if (torn) continue;
        fmt::print("{}\n", document.dump(2));
        return kOk;
    }
}

}  // namespace

int show(const Options& options, const std::string& what, const json& params) {
    if (what == "policy") return show_policy(options);
    Daemon daemon(options);
    const auto view = views().find(what);
    if (view == views().end()) {  // generation, tables
        const auto result = daemon.call("show." + what);
        if (!result) return daemon.exit_code();
        if (options.json)
            print(*result);
        else
            print_fields(*result);
        return kOk;
    }
    const auto result = daemon.call_pages(view->second.method, params, view->second.items);
    if (!result) return daemon.exit_code();
    if (options.json) {
        print(*result);
        return kOk;
    }
    // Gates by hand are rows like the document's, and say so.
    json rows = *result;
    for (json gate : rows.value("by_hand", json::array())) {
        gate["state"] = gate.value("state", "") + ", by hand since " + gate.value("since", "");
        rows["items"].push_back(std::move(gate));
    }
    print_table(view->second, rows);
    if (const std::uint64_t omitted = rows.value("omitted", std::uint64_t{0}); omitted != 0)
        fmt::print("and {} more\n", omitted);
    return kOk;
}

int explain(const Options& options, const json& packet) {
    Daemon daemon(options);
    const auto result = daemon.call("explain", packet);
    if (!result) return daemon.exit_code();
    if (options.json) {
        print(*result);
        return kOk;
    }
    TextTable steps({{"STAGE"}, {"DECISION"}});
    for (const json& step : result->at("steps")) steps.add({cell(at(step, "/stage")), cell(at(step, "/words"))});
    fmt::print("{}", steps.text());
    if (const json drop = result->at("drop"); drop.is_object())
        fmt::print("dropped: {}: {} ({})\n", cell(at(drop, "/reason")), cell(at(drop, "/sentence")),
                   cell(at(drop, "/rule")));
    if (const json leaves = result->at("leaves"); leaves.is_object())
        fmt::print("leaves by {}: {} -> {}, next hop {}\n", cell(at(leaves, "/attachment")),
                   cell(at(leaves, "/source")), cell(at(leaves, "/destination")), cell(at(leaves, "/next_hop")));
    if (const json error = result->at("error"); !error.is_null()) fmt::print("its sender gets: {}\n", cell(error));
    return kOk;
}

}  // namespace sekisho::control::cli
