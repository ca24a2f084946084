#include "agent/node_share.hpp"

#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "control/place.hpp"

namespace sekisho::agent {

using control::in_quotes;
using control::Kind;
using nlohmann::json;

namespace {

std::string key_of_node(const std::string& name) {
    return "nodes/" + name;
}

// Leaves the elements of an array for which `keep` is true.
template <class Keep>
void filter(json& array, const Keep& keep) {
    if (!array.is_array()) return;  // the daemon says what is wrong with it
    std::erase_if(array.get_ref<json::array_t&>(), [&](const json& element) { return !keep(element); });
}

}  // namespace

Expected<NodeObject> read_node(const json& object) {
    NodeObject node;
    const auto texts = [](const json& array, const char* field) -> Expected<std::vector<std::string>> {
        if (!array.is_array()) return Error{ErrorCode::invalid, fmt::format(".{}: an array is expected", field)};
        std::vector<std::string> all;
        for (std::size_t i = 0; i < array.size(); ++i) {
            if (!array[i].is_string())
                return Error{ErrorCode::invalid, fmt::format(".{}[{}]: text is expected", field, i)};
            all.push_back(array[i].get<std::string>());
        }
        return all;
    };
    for (const auto& [name, value] : object.items()) {
        if (name == "id") continue;
        if (name != "attachments" && name != "pools")
            return Error{ErrorCode::invalid,
                         fmt::format(".{}: a node has \"id\", \"attachments\" and \"pools\"", name)};
        auto all = texts(value, name.c_str());
        if (!all) return all.error();
        if (name == "attachments") {
            node.attachments = std::move(*all);
            continue;
        }
        for (std::size_t i = 0; i < all->size(); ++i) {
            const auto prefix = IpPrefix::parse((*all)[i]);
            if (!prefix)
                return Error{ErrorCode::invalid,
                             fmt::format(".pools[{}]: {} is not a prefix", i, in_quotes((*all)[i]))};
            node.pools.push_back(*prefix);
        }
    }
    return node;
}

std::vector<Complaint> NodeShares::complaints(const std::string& name,
                                              const std::function<bool(const std::string&)>& attachment_exists) const {
    std::vector<Complaint> all;
    std::map<std::string_view, std::string_view> owners;
    std::vector<std::pair<IpPrefix, std::string_view>> pools;
    for (const auto& [node, told] : nodes_) {
        const auto wrong = [&, &node = node](const std::string& words) { all.push_back({key_of_node(node), words}); };
        if (!told.attachments && nodes_.size() > 1)
            wrong(".attachments: is missing: only a node that is alone has all of them");
        for (std::size_t i = 0; told.attachments && i < told.attachments->size(); ++i) {
            const std::string& attachment = (*told.attachments)[i];
            const auto [owner, is_first] = owners.try_emplace(attachment, node);
            if (!is_first)
                wrong(fmt::format(".attachments[{}]: {} is that of {} already", i, in_quotes(attachment),
                                  control::place_of("nodes", owner->second)));
            else if (!attachment_exists(attachment))
                wrong(fmt::format(".attachments[{}]: there is no attachment {}", i, in_quotes(attachment)));
        }
        for (std::size_t i = 0; i < told.pools.size(); ++i) {
            for (const auto& [pool, owner] : pools)
                if (pool.overlaps(told.pools[i]))
                    wrong(fmt::format(".pools[{}]: {} overlaps {} of {}", i, told.pools[i].text(), pool.text(),
                                      control::place_of("nodes", owner)));
            pools.emplace_back(told.pools[i], node);
        }
    }
    if (!nodes_.contains(name))
        all.push_back({key_of_node(name), "is missing: it says which attachments are this node's"});
    return all;
}

Share::Share(const NodeShares& shares, const std::string& name) {
    for (const auto& [node, told] : shares.nodes()) {
        if (node != name)
            others_pools_.insert(others_pools_.end(), told.pools.begin(), told.pools.end());
        else if (told.attachments)
            own_.emplace(told.attachments->begin(), told.attachments->end());
    }
}

bool Share::take(Kind kind, json& object) const {
    const auto own = [this](const json& name) {
        return !own_ || !name.is_string() || own_->contains(name.get_ref<const std::string&>());
    };
    const auto member = [](json& of, const char* name) -> json* {
        const auto found = of.is_object() ? of.find(name) : of.end();
        return of.is_object() && found != of.end() ? &*found : nullptr;
    };
    switch (kind) {
        case Kind::attachments: return own(object.value("id", json()));
        case Kind::tunnels: return own(object.value("underlay", json()));
        case Kind::institutions:
            if (json* links = member(object, "links"); links != nullptr && links->is_array())
                for (json& link : *links)
                    if (json* names = member(link, "attachments")) filter(*names, own);
            return true;
        case Kind::routes: {
            json* nexthops = member(object, "nexthops");
            if (nexthops == nullptr || !nexthops->is_array() || nexthops->empty()) return true;
            const auto name_of_way = [&](const json& way) {
                return way.is_object() ? way.value("attachment", json()) : json();
            };
            const std::size_t all = nexthops->size();
            filter(*nexthops, [&](const json& way) { return own(name_of_way(way)); });
            // What is left here is used, also if elsewhere it would only stand by.
            const auto stands_by = [](const json& way) {
                return way.is_object() && way.value("backup", json()) == true;
            };
            if (nexthops->size() < all && std::all_of(nexthops->begin(), nexthops->end(), stands_by))
                for (json& way : *nexthops) way.erase("backup");
            return !nexthops->empty();
        }
        case Kind::gates:
            return object.value("target", json()) != "attachment" || own(object.value("target_id", json()));
        case Kind::translations: {
            if (object.value("kind", json()) != "port_block") return true;
            const json written = object.value("hub_prefix", json());
            const auto prefix = IpPrefix::parse(written.is_string() ? written.get_ref<const std::string&>() : "");
            return !prefix || std::none_of(others_pools_.begin(), others_pools_.end(),
                                           [&](const IpPrefix& pool) { return pool.overlaps(*prefix); });
        }
        default: return true;
    }
}

}  // namespace sekisho::agent
