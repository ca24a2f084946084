// What is to be done so that a tunnel has the SAs that the store has for it, make before break.
//
// All inbound SAs of the store's objects open. Of the outbound ones that is sealed with whose time (`from`) came last,
// and the next one waits. A new SA is in use before the old one goes, where it can be; what the node refused leaves
// what is there as it was, as long as its object stands. SAs that somebody else installed stay as they are, but that
// another outbound one takes the place of theirs. Values only: it knows neither store nor node. One thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/wrapped_sa.hpp"

namespace sekisho::agent {

using WallClock = std::chrono::system_clock;

// One object's SAs, as the node has them.
struct SaThere {
    std::string name;  // the object's
    std::optional<std::uint32_t> inbound, outbound;
    bool waits = false;  // the outbound one does
};

struct SaStep {
    enum class What : std::uint8_t {
        install,  // of an object; its outbound SA, if there is one, is sealed with at once
        rekey,    // likewise; its outbound SA waits
        switch_over,
        remove,
    };
    What what = What::install;
    std::string label;  // of the object, or of what is there
    Halves halves;
    std::optional<std::uint32_t> inbound, outbound;  // SPIs, of the other two
};

class TunnelSas {
  public:
    // What the store has: by name. What the store has otherwise than can be taken is only named: it leaves what is
    // there of it.
    std::map<std::string, WrappedSa> wanted;
    std::set<std::string> broken;
    // What the node has: by label.
    std::map<std::string, SaThere> there;
    std::set<std::string> gone;  // labels of what is there and whose object was deleted, whatever came since
    bool others_current = false, others_waiting = false;  // outbound SAs that are not the store's

    // What can be done now, all at once and in any order; empty: nothing. Ask again when it is done. `blocked`: the
    // node refused this label.
    std::vector<SaStep> next(WallClock::time_point now, const std::function<bool(const std::string&)>& blocked) const;
    // Whether an object would change an SA's keys under the SPI that it has: words, or "".
    std::string conflict(const WrappedSa& sa) const;
    // Afterwards.
    void done(const SaStep& step);
    // When the next outbound SA's time comes.
    std::optional<WallClock::time_point> due(WallClock::time_point now) const;
    bool is_empty() const { return wanted.empty() && broken.empty() && there.empty(); }

  private:
    struct Targets {
        const WrappedSa* current = nullptr;
        const WrappedSa* waiting = nullptr;
    };
    Targets targets(WallClock::time_point now, const std::function<bool(const std::string&)>& blocked) const;
    bool is_wanted(const std::string& label, const SaThere& sa) const;
};

}  // namespace sekisho::agent
