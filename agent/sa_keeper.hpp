// The SAs whose keys the store has for this node, from there to the node: installed, rekeyed, switched, removed.
//
// It follows the prefix of this node's keys, looks what the node has, and does what sa_plan says, many tunnels in a
// request. Keys are unwrapped for the moment of a request, and are nowhere else; what the store has stays wrapped in
// memory, so that a daemon that was restarted gets its SAs again also while the store is away. What the node refuses is
// told with its key, and tried again from time to time; the others go on. One thread; whoever calls round().
#pragma once

#include <chrono>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include <nlohmann/json_fwd.hpp>

#include "agent/back_off.hpp"
#include "agent/sa_plan.hpp"
#include "agent/source.hpp"
#include "agent/standing.hpp"
#include "control/client.hpp"

namespace sekisho::agent {

struct SaKeeperOptions {
    std::string node;
    std::string socket;
    UnwrapKeys keys;
    std::chrono::milliseconds look{1000};  // at whether the node lost SAs, this often
    std::chrono::seconds try_refused{30};  // what was refused
};

class SaKeeper {
  public:
    // `source` has the keys of this node, by TUNNEL/NAME.
    SaKeeper(SaKeeperOptions options, Source& source, StandingBoard& board);

    // Returns after `longest`, or sooner.
    void round(std::chrono::milliseconds longest);

  private:
    using Clock = std::chrono::steady_clock;
    struct Refused {
        std::string tunnel, name, words;
        bool until_policy = false;  // another policy may help; else only time
        Clock::time_point until;
    };
    struct Todo {
        std::string tunnel;
        SaStep step;
    };

    // The store.
    void load();
    void take_events(std::chrono::milliseconds longest);
    void store_failed(const std::string& words);
    void absorb(const std::string& name, std::optional<std::string> value, std::int64_t revision);
    // The node.
    void watch_node();
    Expected<nlohmann::json> ask(const std::string& method, const nlohmann::json& params);
    Expected<void> look();
    void drop_node(const std::string& words);
    // From the one to the other.
    void work();
    void plan(std::map<SaStep::What, std::deque<Todo>>& todo);
    bool send_orders(std::deque<Todo> orders, SaStep::What what);
    bool send_names(std::deque<Todo> names, SaStep::What what);
    bool refused(const control::RpcError& error, std::deque<Todo>& batch);
    bool ledger_stands();
    void refuse(const Todo& one, const std::string& words, bool until_policy);
    void done(const Todo& one);
    void try_refused(bool policy_changed);
    void wait(const std::string& trouble);
    void tell();

    SaKeeperOptions options_;
    Source& source_;
    StandingBoard& board_;
    std::map<std::string, TunnelSas> tunnels_;
    std::map<std::string, std::string> broken_;  // objects that are none: by name, words
    std::map<std::string, Refused> refused_;     // by label
    std::map<std::string, std::string> told_;    // what the log has: by name, words
    std::set<std::string> dirty_;                // tunnels
    std::set<std::pair<WallClock::time_point, std::string>> due_;
    std::optional<control::Client> node_;
    std::uint64_t generation_ = 0, withdrawn_ = 0;  // of the node
    std::size_t batch_ = 1;                         // orders in a request
    std::size_t installed_ = 0, removed_ = 0;       // since the log told
    bool loaded_ = false, looked_ = false, changed_ = true;
    std::string store_trouble_, node_trouble_;  // "" while they answer
    Clock::time_point next_load_{}, next_look_{}, next_try_{}, next_tell_{};
    BackOff load_back_off_{std::chrono::milliseconds(200), std::chrono::milliseconds(5000)};
    BackOff try_back_off_{std::chrono::milliseconds(200), std::chrono::milliseconds(5000)};
};

}  // namespace sekisho::agent
