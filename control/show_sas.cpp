// What `show sa` and `show tunnels` tell of SAs: all but their keys.
#include <algorithm>
#include <chrono>

#include "control/calendar.hpp"
#include "control/place.hpp"
#include "control/sas.hpp"

namespace sekisho::control {

using nlohmann::json;

namespace {

constexpr std::size_t kPageTunnels = 1000;

json limits_of(std::uint64_t bytes, std::uint64_t packets, std::chrono::seconds time) {
    json limits = json::object();
    if (bytes != 0) limits["bytes"] = bytes;
    if (packets != 0) limits["packets"] = packets;
    if (time.count() != 0) limits["seconds"] = time.count();
    return limits;
}

// What is left of the hard limits.
json left_of(const dataplane::SaInfo& info, std::chrono::seconds age) {
    const auto less = [](auto limit, auto used) { return limit > used ? limit - used : decltype(limit - used)(0); };
    json left = json::object();
    if (info.limits.hard_bytes != 0) left["bytes"] = less(info.limits.hard_bytes, info.bytes);
    if (info.limits.hard_packets != 0) left["packets"] = less(info.limits.hard_packets, info.packets);
    if (info.limits.hard_time.count() != 0) left["seconds"] = less(info.limits.hard_time, age).count();
    return left;
}

std::chrono::seconds age_of(crypto::WallTime created) {
    return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now()) - created;
}

}  // namespace

json Sas::item(const std::string& tunnel, const Known& known, const dataplane::SaInfo& info) const {
    const auto inbound = known.inbound.find(info.spi);
    const Record* const record = info.outbound                    ? (known.current ? &*known.current : nullptr)
                                 : inbound == known.inbound.end() ? nullptr
                                                                  : &inbound->second;
    json failures = json::object();
    for (const auto& [reason, count] : info.failures)
        failures[std::string(kDropReasons[static_cast<std::size_t>(reason)].name)] = count;
    json item = {{"tunnel", tunnel},
                 {"direction", info.outbound ? "outbound" : "inbound"},
                 {"spi", info.spi.value()},
                 {"state", info.over       ? "over"
                           : info.outbound ? "current"
                                           : "open"},
                 {"suite", name_of(info.suite)},
                 {"esn", info.esn},
                 {"bytes", info.bytes},
                 {"packets", info.packets},
                 {"soft", limits_of(info.limits.soft_bytes, info.limits.soft_packets, info.limits.soft_time)},
                 {"hard", limits_of(info.limits.hard_bytes, info.limits.hard_packets, info.limits.hard_time)},
                 {"failures", std::move(failures)}};
    if (record != nullptr) {
        const std::chrono::seconds age = age_of(record->created);
        item["origin"] = record->origin == crypto::KeyOrigin::ike ? "ike" : "manual";
        item["created"] = time_text(record->created);
        item["age"] = age.count();
        item["key"] = record->key.text();
        item["label"] = record->label.empty() ? json() : json(record->label);
        item["left"] = left_of(info, age);
    }
    item["idle"] =
        info.last_used
            ? json(std::chrono::floor<std::chrono::seconds>(dataplane::SaInfo::Clock::now() - *info.last_used).count())
            : json();
    if (info.outbound) {
        item["next_sequence"] = info.next_sequence;
        item["reserved_to"] = info.reserved_to;
        item["last_sequence"] = info.last_sequence;
    } else {
        item["highest_sequence"] = info.highest_sequence;
        item["replay_window"] = info.replay_window;
    }
    return item;
}

json Sas::waiting_item(const std::string& tunnel, const Outbound& waiting) const {
    crypto::OutboundSa& sa = *waiting.sa;
    return {{"tunnel", tunnel},
            {"direction", "outbound"},
            {"spi", sa.spi().value()},
            {"state", "waiting"},
            {"suite", name_of(sa.suite())},
            {"esn", sa.esn()},
            {"bytes", 0},
            {"packets", 0},
            {"failures", json::object()},
            {"origin", waiting.origin == crypto::KeyOrigin::ike ? "ike" : "manual"},
            {"created", time_text(waiting.created)},
            {"age", age_of(waiting.created).count()},
            {"key", waiting.key.text()},
            {"label", waiting.label.empty() ? json() : json(waiting.label)},
            {"next_sequence", sa.sequence().next()},
            {"reserved_to", sa.sequence().end()},
            {"last_sequence", sa.last_sequence()}};
}

std::variant<json, RpcError> Sas::show(Params params) const {
    const auto one = params.text("tunnel");
    const auto after = params.text("after");
    const std::uint64_t limit = params.number("limit", kPageTunnels, kPageTunnels);
    if (limit == 0) params.refuse("limit", "must be at least 1");
    if (auto error = params.error()) return *error;
    json items = json::array();
    const auto add = [&](const std::string& tunnel, const Known& known) {
        auto all = parts_.associations.list(known.id);
        std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) {
            return std::pair(a.outbound, a.spi) < std::pair(b.outbound, b.spi);
        });
        for (const dataplane::SaInfo& info : all) items.push_back(item(tunnel, known, info));
        if (known.waiting) items.push_back(waiting_item(tunnel, *known.waiting));
    };
    if (one) {
        const auto found = tunnels_.find(*one);
        if (found == tunnels_.end())
            return rpc_error({ErrorCode::not_found, "the running policy has no tunnel " + in_quotes(*one)});
        add(found->first, found->second);
        return json{{"items", std::move(items)}, {"next", nullptr}, {"path_mtus_refused", path_mtus_refused_}};
    }
    auto at = after ? tunnels_.upper_bound(*after) : tunnels_.begin();
    json next;
    for (std::uint64_t count = 0; at != tunnels_.end() && count < limit; ++at, ++count) {
        add(at->first, at->second);
        if (count + 1 == limit && std::next(at) != tunnels_.end()) next = at->first;
    }
    return json{{"items", std::move(items)}, {"next", std::move(next)}, {"path_mtus_refused", path_mtus_refused_}};
}

std::string Sas::show_tunnel(const std::string& name) const {
    const auto found = tunnels_.find(name);
    if (found == tunnels_.end()) return {};
    const Known& known = found->second;
    json more = {{"attachment", known.attachment},
                 {"local", known.local.text()},
                 {"mtu", mtu_now(known)},
                 {"inbound", known.inbound.size()},
                 {"outbound", known.current ? json(known.current->sa->spi().value()) : json()},
                 {"waiting", known.waiting ? json(known.waiting->sa->spi().value()) : json()}};
    if (known.told.udp) more["peer_now"] = peer_now(known).text();
    if (known.path_mtu) {
        const auto left = std::chrono::floor<std::chrono::seconds>(known.path_mtu->until - parts_.clock());
        more["path_mtu"] = {{"outer", known.path_mtu->outer}, {"seconds", std::max<std::int64_t>(left.count(), 0)}};
    }
    const std::string text = more.dump();
    return "," + text.substr(1, text.size() - 2);
}

}  // namespace sekisho::control
