// What the agent knows of the policy in the store: which objects there are, which of them the node has, and what has
// changed since.
//
// Values are kept only of what is not on the node yet. An object that is not what its key says, or contradictions
// between the nodes' shares, make the whole policy one that cannot be pushed, until they are mended. One thread.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "agent/key.hpp"
#include "agent/node_share.hpp"
#include "agent/source.hpp"

namespace sekisho::agent {

class PolicyView {
  public:
    // A new reading of everything, of which only what differs from what is known becomes pending.
    void begin_comparing();
    void compare(Item item);
    // After all items were compared: what was not among them is deleted.
    void finish_comparing();

    // An item that the node has (`on_node`), or that is on its way there.
    void know(const Item& item, bool on_node);
    void forget();  // everything

    // A change that the source tells. Unless it is to be kept, only what it says of nodes, the hold, and keys that name
    // nothing.
    void change(Change change, bool keep);
    void drop_pending();

    // Objects to delete from the node, and to put there, in this order; nullopt is a delete.
    struct Todo {
        control::Kind kind;
        std::string id;
        std::optional<std::string> text;  // JSON, one line
    };
    // What is pending, as far as the node's share has it. Objects that are wrong become complaints instead.
    std::vector<Todo> todo(const Share& share);
    // All of it is on the node now.
    void settle();

    // An item as it is sent to the node: its text, or nullopt when the node has no share in it, or it is wrong (which
    // is then a complaint). The text is the canonical one; or as it was written, where that is one line and the whole
    // object is the node's: the node has it in canonical form then, too.
    enum class Form : std::uint8_t { canonical, as_written };
    std::optional<Todo> prepare(const Item& item, const Share& share, Form form = Form::as_written);

    // The nodes' objects and the hold, which never go to the node.
    const NodeShares& shares() const noexcept { return shares_; }
    const std::optional<std::string>& hold() const noexcept { return hold_; }
    // Of the document that this node is to have, as the store has it; "" if there is none.
    std::string signature(const std::string& node) const;

    // Everything that keeps the policy from being pushed, by key.
    std::vector<Complaint> complaints(const std::string& node, bool needs_node) const;
    std::size_t pending() const noexcept { return pending_.size(); }
    std::size_t pending_bytes() const noexcept { return pending_bytes_; }
    std::size_t objects() const noexcept { return known_.size(); }

  private:
    struct Known {
        std::int64_t version = 0;
        bool on_node = false;
        bool seen = false;  // while comparing
    };
    struct Pending {
        std::optional<std::string> value;
        std::int64_t version = 0;
        bool sent = false;  // by todo(): it is on the node when that is settled
    };
    bool take_apart(const std::string& key, const std::optional<std::string>& value);
    bool there_is(const std::string& key) const;
    void wrong(const std::string& key, const std::string& words) { broken_[key] = words; }
    void make_pending(const std::string& key, std::optional<std::string> value, std::int64_t version);

    std::unordered_map<std::string, Known> known_;
    std::map<std::string, Pending> pending_;
    std::size_t pending_bytes_ = 0;
    NodeShares shares_;
    std::map<std::string, std::string> signatures_;  // by node
    std::optional<std::string> hold_;
    std::map<std::string, std::string> broken_;  // key to words
};

}  // namespace sekisho::agent
