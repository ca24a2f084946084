#include "agent/fleet.hpp"

#include <map>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "agent/key.hpp"
#include "control/json.hpp"
#include "control/place.hpp"
#include "control/text_table.hpp"

namespace sekisho::agent {

using control::in_quotes;
using nlohmann::json;

namespace {

constexpr std::int64_t kPage = 1000;

Expected<std::map<std::string, std::string>> all_below(EtcdClient& etcd, const std::string& prefix) {
    std::map<std::string, std::string> all;
    std::string from = prefix;
    for (;;) {
        auto answer = etcd.range(from, end_of_prefix(prefix), 0, kPage);
        if (const auto* error = std::get_if<EtcdError>(&answer))
            return Error{error->fault == EtcdFault::refused ? ErrorCode::permission : ErrorCode::unavailable,
                         error->words};
        Page& page = std::get<Page>(answer);
        for (KeyValue& item : page.items) {
            from = item.key + '\0';
            all[item.key.substr(prefix.size())] = std::move(item.value);
        }
        if (!page.more) return all;
    }
}

// A state is what somebody wrote into the store: whatever it is, it is printed as text.
std::string shown(const json& state, const char* field) {
    const json value = state.is_object() ? state.value(field, json()) : json();
    if (value.is_null()) return "-";
    if (!value.is_string()) return value.dump(-1, ' ', false, json::error_handler_t::replace);
    const std::string quoted = in_quotes(value.get_ref<const std::string&>());
    return quoted.substr(1, quoted.size() - 2);
}

}  // namespace

Expected<json> fleet_of(const EtcdOptions& options, const std::string& cluster) {
    EtcdClient etcd(options);
    const auto nodes = all_below(etcd, policy_prefix(cluster) + "nodes/");
    if (!nodes) return nodes.error();
    const auto states = all_below(etcd, state_prefix(cluster));
    if (!states) return states.error();
    std::map<std::string, json> fleet;
    for (const auto& [name, object] : *nodes) fleet[name] = json();
    for (const auto& [name, text] : *states) {
        auto state = control::parse_json(text);
        fleet[name] = state && state->is_object() ? std::move(*state) : json{{"health", "unreadable"}};
    }
    json result = json::array();
    for (auto& [name, state] : fleet) result.push_back({{"node", name}, {"state", std::move(state)}});
    return result;
}

std::string fleet_text(const json& fleet) {
    using Align = control::TextTable::Align;
    control::TextTable table({{"node"},
                              {"health"},
                              {"generation", Align::right},
                              {"revision", Align::right},
                              {"pending", Align::right},
                              {"refused", Align::right},
                              {"told"}});
    std::string words;
    for (const json& one : fleet) {
        const std::string name = shown(one, "node");
        const json& state = one["state"];
        if (state.is_null()) {
            table.add({name, "gone", "-", "-", "-", "-", "-"});
            continue;
        }
        table.add({name, shown(state, "health"), shown(state, "generation"), shown(state, "revision"),
                   shown(state, "pending"), shown(state, "refused_total"), shown(state, "time")});
        const auto tell_refused = [&](const json& of) {
            if (const auto refused = of.find("refused"); refused != of.end() && refused->is_array())
                for (const json& each : *refused)
                    words += fmt::format("{}: refused: {}: {}\n", name, shown(each, "key"), shown(each, "words"));
        };
        for (const char* field : {"drift", "hold", "source", "trouble", "witness"})
            if (const std::string text = shown(state, field); text != "-")
                words += fmt::format("{}: {}: {}\n", name, field, text);
        tell_refused(state);
        const json keys = state.is_object() ? state.value("keys", json()) : json();
        if (!keys.is_object()) continue;
        if (const std::string text = shown(keys, "trouble"); text != "-")
            words += fmt::format("{}: keys: {}\n", name, text);
        tell_refused(keys);
    }
    return table.text() + words;
}

}  // namespace sekisho::agent
