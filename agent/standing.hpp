// How things stand between store and node: written by the follower, read by the reporter. Safe from any thread.
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "agent/node_share.hpp"

namespace sekisho::agent {

// Of the SAs whose keys the store has.
struct KeysStanding {
    std::size_t objects = 0;  // in the store
    std::size_t sas = 0;      // of them on the node
    std::string trouble;      // "" while store and node answer
    std::vector<Complaint> refused;
    std::size_t refused_total = 0;
};

struct Standing {
    std::uint64_t generation = 0;  // that we made, or found to be ours; 0: none yet
    std::string label;             // of the source's position that it stands for
    std::string seen;              // the label of the newest position that the source told
    std::string source_trouble;    // "" while the source answers
    std::string node_trouble;      // "" while the daemon answers and takes what it is given
    std::string drift;             // "" unless the node runs something that is not the store's
    std::string hold;              // "" unless the store asks to wait: who, and why
    std::size_t pending = 0;       // changed objects that are not on the node yet
    std::vector<Complaint> refused;
    std::string witness_trouble;       // "" while the store remembers the node's nonce ledger, or need not
    std::optional<KeysStanding> keys;  // when the agent has a key to unwrap with
};

class StandingBoard {
  public:
    Standing get() const {
        const std::lock_guard lock(mutex_);
        return standing_;
    }
    template <class Change>
    void change(const Change& change) {
        const std::lock_guard lock(mutex_);
        change(standing_);
        ++changes_;
    }
    std::uint64_t changes() const {
        const std::lock_guard lock(mutex_);
        return changes_;
    }

  private:
    mutable std::mutex mutex_;
    Standing standing_;
    std::uint64_t changes_ = 0;
};

}  // namespace sekisho::agent
