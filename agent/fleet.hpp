// Every node of a cluster, as the store knows it: those that it should have, and the states that they tell.
#pragma once

#include <string>

#include <nlohmann/json_fwd.hpp>

#include "agent/etcd_client.hpp"
#include "net/expected.hpp"

namespace sekisho::agent {

// [{"node": "hub-1", "state": {...}}, ...] by name; state null: the node should be there, and tells nothing.
Expected<nlohmann::json> fleet_of(const EtcdOptions& etcd, const std::string& cluster);

// As a table for people, with a line for each thing that is wrong.
std::string fleet_text(const nlohmann::json& fleet);

}  // namespace sekisho::agent
