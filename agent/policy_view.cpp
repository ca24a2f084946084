#include "agent/policy_view.hpp"

#include <nlohmann/json.hpp>

namespace sekisho::agent {

using control::Kind;
using nlohmann::json;

namespace {

constexpr std::size_t kMostComplaints = 100;
constexpr std::size_t kMostSignature = 1024;

}  // namespace

bool PolicyView::there_is(const std::string& key) const {
    const auto pending = pending_.find(key);
    return pending != pending_.end() ? pending->second.value.has_value() : known_.contains(key);
}

// Nodes, the hold, and keys that name nothing are dealt with here; true: an object for the node.
bool PolicyView::take_apart(const std::string& key, const std::optional<std::string>& value) {
    broken_.erase(key);
    const auto named = parse_key(key);
    if (!named) {
        if (value) wrong(key, named.error().words);
        return false;
    }
    switch (named->of) {
        case PolicyKey::Of::object: return true;
        case PolicyKey::Of::hold: hold_ = value; return false;
        case PolicyKey::Of::signature:
            signatures_.erase(named->id);
            if (value && value->size() > kMostSignature)
                wrong(key, "is no signature: those have 88 letters");
            else if (value)
                signatures_[named->id] = value->substr(0, value->find_last_not_of(" \r\n") + 1);
            return false;
        case PolicyKey::Of::node: break;
    }
    if (!value) {
        shares_.erase(named->id);
        return false;
    }
    const auto object = object_at(*named, *value);
    auto node = object ? read_node(*object) : Expected<NodeObject>(object.error());
    if (node)
        shares_.put(named->id, std::move(*node));
    else
        wrong(key, node.error().words);
    return false;
}

void PolicyView::make_pending(const std::string& key, std::optional<std::string> value, std::int64_t version) {
    Pending& pending = pending_[key];
    pending_bytes_ -= pending.value ? pending.value->size() : 0;
    pending_bytes_ += value ? value->size() : 0;
    pending = {std::move(value), version, false};
}

void PolicyView::drop_pending() {
    pending_.clear();
    pending_bytes_ = 0;
}

std::string PolicyView::signature(const std::string& node) const {
    const auto found = signatures_.find(node);
    return found == signatures_.end() ? "" : found->second;
}

void PolicyView::begin_comparing() {
    drop_pending();
    shares_.clear();
    signatures_.clear();
    hold_.reset();
    broken_.clear();
}

void PolicyView::compare(Item item) {
    std::optional<std::string> value = std::move(item.value);
    if (!take_apart(item.key, value)) return;
    const auto known = known_.find(item.key);
    if (known != known_.end()) {
        known->second.seen = true;
        if (item.version != 0 && known->second.version == item.version) return;
    }
    make_pending(item.key, std::move(value), item.version);
}

void PolicyView::finish_comparing() {
    for (auto& [key, known] : known_)
        if (!std::exchange(known.seen, false)) make_pending(key, std::nullopt, 0);
}

void PolicyView::know(const Item& item, bool on_node) {
    known_[item.key] = {item.version, on_node, false};
}

void PolicyView::forget() {
    *this = PolicyView();
}

void PolicyView::change(Change change, bool keep) {
    if (!take_apart(change.key, change.value) || !keep) return;
    make_pending(change.key, std::move(change.value), change.version);
}

std::optional<PolicyView::Todo> PolicyView::prepare(const Item& item, const Share& share, Form form) {
    if (!take_apart(item.key, item.value)) return std::nullopt;
    PolicyKey named = *parse_key(item.key);
    auto object = object_at(named, item.value);
    if (!object) {
        wrong(item.key, object.error().words);
        return std::nullopt;
    }
    if (share.is_everything()) {
        if (form == Form::as_written && item.value.find_first_of("\n\r") == std::string::npos)
            return Todo{named.kind, std::move(named.id), item.value};
    } else if (!share.take(named.kind, *object)) {
        return std::nullopt;
    }
    return Todo{named.kind, std::move(named.id), object->dump(-1, ' ', false, json::error_handler_t::replace)};
}

std::vector<PolicyView::Todo> PolicyView::todo(const Share& share) {
    std::vector<Todo> deletes, puts;
    for (auto& [key, pending] : pending_) {
        const auto known = known_.find(key);
        const bool is_there = known != known_.end() && known->second.on_node;
        std::optional<Todo> put;
        if (pending.value) put = prepare({key, *pending.value, pending.version}, share);
        pending.sent = put.has_value();
        if (put)
            puts.push_back(std::move(*put));
        else if (is_there && !broken_.contains(key)) {
            PolicyKey named = *parse_key(key);
            deletes.push_back({named.kind, std::move(named.id), std::nullopt});
        }
    }
    deletes.insert(deletes.end(), std::make_move_iterator(puts.begin()), std::make_move_iterator(puts.end()));
    return deletes;
}

void PolicyView::settle() {
    for (const auto& [key, pending] : pending_) {
        if (pending.value)
            known_[key] = {pending.version, pending.sent, false};
        else
            known_.erase(key);
    }
    drop_pending();
}

std::vector<Complaint> PolicyView::complaints(const std::string& node, bool needs_node) const {
    std::vector<Complaint> all;
    for (const auto& [key, words] : broken_) all.push_back({key, words});
    if (!there_is("hub")) all.push_back({"hub", "is missing: there is no policy without it"});
    if (needs_node)
        for (Complaint& one : shares_.complaints(
                 node, [this](const std::string& attachment) { return there_is("attachments/" + attachment); }))
            all.push_back(std::move(one));
    if (all.size() > kMostComplaints) {
        const std::size_t more = all.size() - kMostComplaints;
        all.resize(kMostComplaints);
        all.push_back({"", "and " + std::to_string(more) + " more"});
    }
    return all;
}

}  // namespace sekisho::agent
