// What happens on the node, told to whoever listens: numbered, timed, of a kind.
//
// Any part of the control side posts by one function; the control socket listens and passes on what its clients have
// asked for (docs/control-socket.md, `events`). Nothing is kept: an event that nobody listens to has happened and is
// gone, and its number is missing from no one. Control thread only.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

namespace sekisho::control {

enum class EventKind : std::uint8_t {
    generation,
    date,
    gate,
    link,
    neighbour,
    worker,
    overload,
    nexthop,
    duplicate,
    tap,
    sa,
    ledger,
    confirm,
    schedule
};
struct EventText {
    std::string_view name;
    std::string_view sentence;
};
inline constexpr std::array<EventText, 14> kEventKinds = {{
    {"generation", "another generation of the policy runs"},
    {"date", "a date of the policy came, and its tables were compiled again"},
    {"gate", "a gate was closed or opened by hand, or its time came or ended"},
    {"link", "a port's link came up or went down"},
    {"neighbour", "a neighbour answers, or does not any more"},
    {"worker", "a worker stalled, or goes on again"},
    {"overload", "packets are dropped or missed at a high rate, or no longer"},
    {"nexthop", "a nexthop of a route that has several is withdrawn, or usable again"},
    {"duplicate", "another station claims an address of the hub"},
    {"tap", "the kernel port of an attachment is there, or waits for something"},
    {"sa",
     "a lifetime of an SA ended, its reserve of numbers ran out, it was removed, or its tunnel's peer or MTU changed"},
    {"ledger", "manual keys are taken, or not any more, or their reserves are not extended"},
    {"confirm", "a generation waits to be confirmed, was confirmed, or was rolled back"},
    {"schedule", "a change was staged for a time, was cancelled, or did not come into force"},
}};
constexpr std::string_view name_of(EventKind kind) noexcept {
    return kEventKinds[static_cast<std::size_t>(kind)].name;
}
std::optional<EventKind> event_kind_named(std::string_view name) noexcept;

struct Event {
    std::uint64_t sequence = 0;  // 1 for the first since the daemon started, then each one more
    EventKind kind = EventKind::generation;
    std::string time;        // Japan time
    nlohmann::json details;  // an object, by kind
};

class Events {
  public:
    void post(EventKind kind, nlohmann::json details);
    // One listener, called for each event as it is posted; an empty one ends that.
    void listen(std::function<void(const Event&)> listener) { listener_ = std::move(listener); }
    std::uint64_t posted() const noexcept { return posted_; }

  private:
    std::uint64_t posted_ = 0;
    std::function<void(const Event&)> listener_;
};

}  // namespace sekisho::control
