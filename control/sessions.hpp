// Sessions on the control socket: shown by filter, and ended by hand.
//
// Workers are asked by orders on their desks (dataplane/session_desk.hpp), one order at a time; others wait their turn,
// a bounded number of them. A timer looks for the answer, so nobody waits; a worker that gives none for a while is
// told of, and until it has given it no other order goes out. Control thread only.
#pragma once

#include <chrono>
#include <deque>
#include <memory>
#include <string>

#include <nlohmann/json.hpp>

#include "control/event_loop.hpp"
#include "control/generations.hpp"
#include "control/node.hpp"
#include "control/params.hpp"
#include "control/recorder.hpp"

namespace sekisho::control {

// What a request wants of sessions: the order, and its filter as it was written, for the record.
struct SessionRequest {
    dataplane::SessionOrder order;
    nlohmann::json filter = nlohmann::json::object();
};
// Parameters: operator, attachment, address, port, protocol, state; limit for those that are shown. What is wrong with
// them, names that the running generation has not included, `params` tells.
SessionRequest read_session_request(Params& params, const Node& node, bool ends);

class Sessions {
  public:
    // The others outlive this.
    static Expected<std::unique_ptr<Sessions>> make(EventLoop& loop, Node& node, Recorder& recorder);

    // {"items": [...], "matching", "omitted"}. Errors: limit (too many wait), unavailable (a worker does not answer).
    void show(const SessionRequest& request, Answer<nlohmann::json> answer);
    // Recorded, then ended: {"cleared": how many}. The same errors, and those of the record.
    void clear(const Peer& peer, const SessionRequest& request, Answer<nlohmann::json> answer);

  private:
    using Clock = std::chrono::steady_clock;
    struct Waiting {
        dataplane::SessionOrder order;
        Answer<nlohmann::json> answer;
    };

    Sessions(Node& node, Recorder& recorder) : node_(node), recorder_(recorder) {}
    void ask(const dataplane::SessionOrder& order, Answer<nlohmann::json> answer);
    void look();
    void give_up();

    Node& node_;
    Recorder& recorder_;
    std::unique_ptr<Timer> timer_;
    std::deque<Waiting> waiting_;
    bool ordered_ = false;  // the first that waits is with the workers
    Clock::time_point until_;
};

}  // namespace sekisho::control
