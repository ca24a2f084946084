// The gates that engineers close by hand: standing beside the document, so that no commit opens what they closed.
//
// A gate by hand is closed and opened one at a time, with the document's words and rules for a gate; its target may
// leave the policy and come back, and finds it still closed. The map is the control thread's; what it was last is kept
// in the state directory. Nothing here folds, records or compiles: control/generations does.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "control/compile.hpp"
#include "control/document.hpp"
#include "control/peer.hpp"
#include "control/policy.hpp"
#include "net/expected.hpp"

namespace sekisho::control {

struct HandGate {
    ObjectPtr object;   // a gate, as it was written and as it was understood
    std::string since;  // Japan time
    uid_t uid = 0;      // who closed it

    const Gate& gate() const { return std::get<Gate>(object->value); }
};

class HandGates {
  public:
    static constexpr std::size_t kMost = 4096;
    using Time = std::chrono::system_clock::time_point;

    // From what text() wrote. Error invalid: it is something else.
    static Expected<HandGates> parse(const std::string& text);
    std::string text() const;

    // The gate that `object` describes, if it may be closed now: as a document's would be judged in this policy. Errors
    // name the field; exists: one of that id is closed by hand already.
    Expected<HandGate> made(const nlohmann::json& object, const Policy& policy, const Peer& peer, Time now) const;

    const HandGate* find(std::string_view id) const;
    void close(HandGate gate);
    void open(std::string_view id);
    const std::map<std::string, HandGate, std::less<>>& all() const noexcept { return gates_; }

    // Those that hold at this time; pointers into this map.
    std::vector<const Gate*> in_force(Time now) const;
    NamesByHand agreements_in_force(Time now) const;
    bool has_agreements() const;  // in force or not
    // When the answers of the two may change next.
    std::optional<Time> next_change(Time now) const;

  private:
    std::map<std::string, HandGate, std::less<>> gates_;
};

}  // namespace sekisho::control
