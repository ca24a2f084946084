// From the store to the node: follows a source and makes what it tells the node's next generation.
//
// All that the source told up to one position goes over in one transaction, whose generation bears that position's
// label; so the node itself says how far it is, and neither a restart of the agent nor an answer that was lost leaves a
// doubt. Changes go over as puts and deletes; everything goes over when it is not known what the node has. What the
// node refuses stays pending until the source changes. If somebody else changed the node's policy, that is drift: it is
// told, and undone by the next change of the store, or at once if so configured. One thread.
#pragma once

#include <chrono>
#include <string>

#include "agent/back_off.hpp"
#include "agent/node_link.hpp"
#include "agent/policy_view.hpp"
#include "agent/source.hpp"
#include "agent/standing.hpp"

namespace sekisho::agent {

struct FollowerOptions {
    std::string node;
    std::string socket;
    bool shared = false;                   // the source has `nodes` objects: they say what is this node's
    bool restore_drift = false;            // at once
    std::chrono::milliseconds gather{5};   // what comes within this after a change goes with it
    std::chrono::milliseconds look{1000};  // at what the node runs, this often
    std::size_t most_pending_bytes = std::size_t{64} << 20;  // beyond that, values are read again when they are needed
};

class Follower {
  public:
    Follower(FollowerOptions options, Source& source, StandingBoard& board);

    // One round: looks at the node, takes what the source tells, pushes what can be. Returns after `longest`, or
    // sooner.
    void round(std::chrono::milliseconds longest);

  private:
    using Clock = std::chrono::steady_clock;

    void look_at_node();
    void judge(const Running& running);
    void take_events(std::chrono::milliseconds longest);
    void absorb(Event event);
    Expected<void> load();
    Expected<void> read_shares();
    // What the source says that the node runs; whether that is so.
    Expected<bool> know_all();
    Expected<void> push_all(const std::string& label);
    std::string signature() const;  // of what is pushed
    bool may_push();
    void push();
    void push_changes();
    void ended(const Outcome& outcome, const std::string& label);
    void pushed(std::uint64_t generation, const std::string& label);
    void tell_refused(std::vector<Complaint> refused, const std::string& position);
    void later();
    std::string node_label(const std::string& label) const { return label + " " + options_.node; }

    FollowerOptions options_;
    Source& source_;
    StandingBoard& board_;
    NodeLink node_;
    PolicyView view_;
    Share share_;  // as what the node has was cut to

    bool loaded_ = false;   // view_ is of a position, and the source is followed from there
    bool whole_ = true;     // what the node has is not known, or not the store's: everything must go over
    bool touched_ = false;  // the source told something since the last try to push
    bool drifted_ = false;
    bool overflowed_ = false;       // more changed than is kept in memory: it is read again when it can go over
    bool known_node_ = false;       // generation_ is what we found or made
    std::uint64_t generation_ = 0;  // that the node runs as far as we know
    std::string judged_;            // the label that went with it
    std::string hash_;              // likewise, when it was looked at
    std::string found_;             // the same when it is ours, as the source calls it
    std::string attempted_;         // label of a commit whose answer was lost
    std::string position_;          // label of the newest that the source told
    std::vector<Complaint> told_;   // that are in the log already
    Clock::time_point next_look_{};
    Clock::time_point next_try_{};
    BackOff node_back_off_{std::chrono::milliseconds(200), std::chrono::milliseconds(5000)};
    BackOff try_back_off_{std::chrono::milliseconds(500), std::chrono::milliseconds(5000)};
};

}  // namespace sekisho::agent
