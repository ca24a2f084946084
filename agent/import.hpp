// A policy file into the store, object by object: only what differs is written.
//
// What fits in one transaction of etcd is one; more than that is written under a hold, which keeps every agent from
// pushing until all of it is there. Blocking.
#pragma once

#include <cstddef>
#include <string>

#include "agent/etcd_client.hpp"
#include "net/expected.hpp"

namespace sekisho::agent {

struct Imported {
    std::size_t written = 0, deleted = 0, same = 0;
    std::int64_t revision = 0;  // of the last change
};

// `node`: a node object that has everything is made for it, if the store has no node and it is not "". Errors:
// invalid, of the file; permission and unavailable, of the store.
Expected<Imported> import_policy(const std::string& file, const EtcdOptions& etcd, const std::string& cluster,
                                 const std::string& node);

}  // namespace sekisho::agent
