// Which part of the policy is this node's: what the `nodes` objects say, and what is left of an object for one node.
//
// Attachments belong to one node each, and with an underlay the tunnels over it; everything that names another node's
// attachment loses that name. A pool of port blocks belongs to one node. What is not of one place (operators,
// institutions, translations by prefix, agreements) is every node's (docs/store.md). It knows no store. One thread.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "control/document.hpp"
#include "net/expected.hpp"
#include "net/prefix.hpp"

namespace sekisho::agent {

struct NodeObject {
    std::optional<std::vector<std::string>> attachments;  // nullopt: all that there are
    std::vector<IpPrefix> pools;                          // of hub-numbered addresses, for port blocks
};

// {"id": "hub-1", "attachments": ["kita-1"], "pools": ["100.127.0.0/20"]}. Errors name the field.
Expected<NodeObject> read_node(const nlohmann::json& object);

struct Complaint {  // about one key
    std::string key;
    std::string words;
};

class NodeShares {
  public:
    void put(const std::string& name, NodeObject node) { nodes_[name] = std::move(node); }
    void erase(const std::string& name) { nodes_.erase(name); }
    void clear() { nodes_.clear(); }
    const std::map<std::string, NodeObject>& nodes() const noexcept { return nodes_; }

    // What contradicts itself: an attachment or a pool of two nodes, an attachment that does not exist, no object for
    // `name`.
    std::vector<Complaint> complaints(const std::string& name,
                                      const std::function<bool(const std::string&)>& attachment_exists) const;

  private:
    std::map<std::string, NodeObject> nodes_;
};

class Share {
  public:
    Share() = default;  // everything
    Share(const NodeShares& shares, const std::string& name);

    // Changes the object to this node's part of it; false when it has none.
    bool take(control::Kind kind, nlohmann::json& object) const;
    // Whether take() may be left out, because it changes nothing.
    bool is_everything() const noexcept { return !own_; }
    friend bool operator==(const Share&, const Share&) = default;

  private:
    std::optional<std::set<std::string, std::less<>>> own_;  // attachments; nullopt: all
    std::vector<IpPrefix> others_pools_;
};

}  // namespace sekisho::agent
