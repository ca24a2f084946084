// The node's state in the store, under a lease: there while the agent lives, gone soon after it is not.
//
// On a thread of its own, with connections of its own, so that a long commit keeps nobody from knowing about it. What
// it says stands in docs/store.md.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

#include <nlohmann/json_fwd.hpp>

#include "agent/etcd_client.hpp"
#include "agent/node_link.hpp"
#include "agent/standing.hpp"

namespace sekisho::agent {

// The state as JSON. `node` may be connected or not; what it does not tell is null.
nlohmann::json state_of(const std::string& name, const Standing& standing, NodeLink& node);

class Reporter {
  public:
    struct Options {
        EtcdOptions etcd;
        std::string key;     // "/sekisho/hub/state/hub-1"
        std::string name;    // of the node
        std::string socket;  // of its daemon
        std::chrono::seconds lease{15};
        std::chrono::milliseconds every{5000};  // at least; sooner when something changed
    };
    Reporter(Options options, const StandingBoard& board);
    // Takes the state back.
    ~Reporter();

  private:
    void run();
    bool put(const std::string& state);

    Options options_;
    const StandingBoard& board_;
    EtcdClient etcd_;
    std::int64_t lease_ = 0;
    std::string trouble_;
    std::mutex mutex_;
    std::condition_variable wake_;
    bool stopping_ = false;
    std::thread thread_;
};

}  // namespace sekisho::agent
