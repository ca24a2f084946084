// `sekisho-agent wrap`: SAs with their keys become objects of the store that only one node can read.
//
// The file is as sa.install takes it, {"sas": [...]}. Its text is wiped, and nothing is said of it but where it is
// wrong.
#pragma once

#include <string>
#include <vector>

#include "agent/etcd_client.hpp"
#include "agent/wrapped_sa.hpp"

namespace sekisho::agent {

// Errors name the place. "-": standard input.
Expected<std::vector<StoreObject>> wrap_file(const std::string& file, const std::string& node, const HpkeKey& own,
                                             const HpkeKey& to);
// Into the store, below `prefix`; the revision of the last.
Expected<std::int64_t> put_objects(const std::vector<StoreObject>& objects, const EtcdOptions& options,
                                   const std::string& prefix);

}  // namespace sekisho::agent
