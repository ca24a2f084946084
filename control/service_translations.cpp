// The methods of the control socket that are about translations: whose an address and port are or were, and which
// blocks of ports are lent.
#include "control/calendar.hpp"
#include "control/place.hpp"
#include "control/policy_reader.hpp"
#include "control/service.hpp"

namespace sekisho::control {

using nlohmann::json;

namespace {

constexpr std::size_t kPageOfBlocks = 1000;

// By which lines the institution reaches the hub: its method, and its attachments of this node.
json links_of(const Policy& policy, const std::string& institution) {
    json links = json::array();
    const auto found = policy.institutions.find(institution);
    if (found == policy.institutions.end()) return links;
    for (const Link& link : found->second.links)
        links.push_back({{"method", name_of(link.method)}, {"attachments", link.attachments}});
    return links;
}

// The translation of that operator that maps this hub-space address, or "".
std::string map_that_covers(const Policy& policy, const std::string& of, const IpAddress& address) {
    for (const auto& [name, translation] : policy.translations) {
        const IpPrefix& hub = translation.hub_prefix;
        if (translation.operator_id != of || hub.family() != address.family()) continue;
        if (address.is_ipv4() ? hub.ipv4().contains(address.ipv4()) : hub.ipv6().contains(address.ipv6())) return name;
    }
    return {};
}

}  // namespace

void Service::add_translation_methods() {
    methods_["who"] = [this](Call call) { who(std::move(call)); };
    methods_["show.blocks"] = [this](Call call) {
        const auto after = call.params.text("after");
        const std::uint64_t limit = call.params.number("limit", kPageOfBlocks, kPageOfBlocks);
        if (limit == 0) call.params.refuse("limit", "must be at least 1");
        if (auto error = call.params.error()) return answer(call.client, call.id, *error);
        auto page = security_.translations.blocks(after.value_or(""), limit);
        answer(call.client, call.id, json{{"items", std::move(page.items)}, {"next", std::move(page.next)}});
    };
}

void Service::who(Call call) {
    const std::string text = call.params.required_text("address");
    const auto address = IpAddress::parse(text);
    if (!address) call.params.refuse("address", in_quotes(text) + " is no IPv4 or IPv6 address");
    const auto port = static_cast<std::uint16_t>(call.params.number("port", 0, UINT16_MAX));
    const auto at_text = call.params.text("at");
    const auto at = at_text ? parse_time(*at_text) : Expected<WallTime>(WallTime());
    if (!at) call.params.refuse("at", at.error().words);
    if (auto error = call.params.error()) return answer(call.client, call.id, *error);

    // Links are those of the running policy: where the institution's line is now.
    const auto with_links = [this](json items) {
        for (json& item : items)
            item["links"] = links_of(*generations_.running()->policy, item.value("institution", ""));
        return json{{"items", std::move(items)}};
    };
    const auto owner = node_.owner_of(*address);
    if (owner && !owner->shared) {
        const std::string of = node_.operator_name(owner->vrf);
        const json item = {{"by", "prefix_map"},
                           {"translation", map_that_covers(*generations_.running()->policy, of, *address)},
                           {"operator", of},
                           {"institution", node_.institution_name(owner->institution)},
                           {"host", owner->inside.text()},
                           {"generation", generations_.running()->number},
                           {"since", generations_.running()->committed}};
        return answer(call.client, call.id, with_links(json::array({item})));
    }
    const auto by = [with_links](json items) {
        for (json& item : items) item["by"] = item.contains("protocol") ? "static_map" : "port_block";
        return with_links(std::move(items));
    };
    if (!address->is_ipv4()) return answer(call.client, call.id, with_links(json::array()));
    if (!at_text) {
        security_.translations.look();  // what a worker lent a moment ago
        return answer(call.client, call.id, by(security_.translations.who(address->ipv4(), port)));
    }
    security_.translations.who(address->ipv4(), port, *at,
                               later<Outcome<json>>(call, [by](const json& items) -> Result { return by(items); }));
}

}  // namespace sekisho::control
