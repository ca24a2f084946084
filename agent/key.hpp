// How a policy object is named in the store: one object a key, below /sekisho/CLUSTER/policy/ (docs/store.md).
//
// Here a key is what follows that prefix: "hub", "institutions/sato-clinic", "routes/kita/10.1.0.0/16", "nodes/hub-1",
// "signatures/hub-1", "hold". Values only; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

#include "control/document.hpp"

namespace sekisho::agent {

struct PolicyKey {
    enum class Of : std::uint8_t {
        object,     // of the policy document: kind and id, as the control socket names it
        node,       // what is whose: id
        signature,  // of a node's document: the node's id
        hold,       // while it stands, no agent pushes
    };
    Of of = Of::object;
    control::Kind kind = control::Kind::hub;
    std::string id;
};

// Errors name what is wrong with the key: no such kind, no name.
Expected<PolicyKey> parse_key(std::string_view key);

std::string key_of(control::Kind kind, std::string_view id);

// "/sekisho/CLUSTER/policy/" and "/sekisho/CLUSTER/state/".
std::string policy_prefix(std::string_view cluster);
std::string state_prefix(std::string_view cluster);
// "/sekisho/CLUSTER/ledgers/NODE", and below "/sekisho/CLUSTER/claims/" the fingerprints of keys.
std::string ledger_key(std::string_view cluster, std::string_view node);
std::string claims_prefix(std::string_view cluster);
// "/sekisho/CLUSTER/keys/NODE/".
std::string keys_prefix(std::string_view cluster, std::string_view node);

// The value of a key as JSON, when it is the object that the key names. Errors name the field.
Expected<nlohmann::json> object_at(const PolicyKey& key, std::string_view value);

}  // namespace sekisho::agent
