// What the store remembers of a node's nonce ledger, and of all nodes' keys (crypto/witness.hpp has what for).
//
// ledgers/NODE is the node's one ledger and the last epoch that was recorded for it, with its mark: {"ledger": ID,
// "epoch": 12, "mark": 32 hexadecimal digits}. A new ledger takes its place, and the one before is never heard of
// again. claims/FINGERPRINT is the id of the ledger that used a manual key first. Each change is a transaction that is
// done only if what was read still holds. An answer that takes too long is none. One thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "agent/etcd_client.hpp"

namespace sekisho::agent {

class LedgerMemory {
  public:
    LedgerMemory(const EtcdOptions& etcd, const std::string& cluster, const std::string& node);

    struct Epoch {
        std::uint64_t number = 0;
        std::string mark;
        friend bool operator==(const Epoch&, const Epoch&) = default;
    };
    // As crypto::Witness has them. Errors: unavailable, permission (the store's); invalid; exists.
    Expected<std::optional<Epoch>> epoch_of(const std::string& ledger);
    Expected<void> record(const std::string& ledger, const Epoch& epoch);
    Expected<void> claim(const std::string& ledger, const std::vector<std::string>& keys);

  private:
    struct Known {
        std::string ledger;  // "" when there is none
        Epoch epoch;
        std::int64_t revision = 0;
    };
    Expected<Known> read();
    Expected<void> claim_some(const std::string& ledger, const std::vector<std::string>& keys,
                              std::vector<std::string>& made);

    EtcdClient etcd_;
    std::string key_, claims_;
    std::optional<Known> known_;  // of the last answer: a try with it needs no reading
};

}  // namespace sekisho::agent
