// What becomes of a frame that goes in by a line, as tests of every stage expect it; and stations beside the usual
// ones.
#pragma once

#include "tests/dataplane/support/test_hub.hpp"

namespace sekisho::test {

// On kita's line, and unknown to the hub.
inline constexpr std::string_view kStation = "02:00:00:00:0a:33";
inline constexpr std::string_view kOther = "02:00:00:00:0a:44";

// The hub's own MAC address there.
inline std::string mac_of(const TestHub& hub, std::string_view line) {
    return hub.policy().line(line).mac_address.text();
}
// The MAC address that the hub knows the neighbour by, on the first line; empty: it knows none.
inline std::string where(TestHub& hub, std::string_view neighbour) {
    const dataplane::Neighbours& neighbours = hub.worker().neighbours;
    const IpAddress at = address(neighbour);
    const auto number =
        at.is_ipv4() ? neighbours.find(AttachmentId(0), at.ipv4()) : neighbours.find(AttachmentId(0), at.ipv6());
    if (number == dataplane::Neighbours::kNone || !neighbours.is_known(number)) return "";
    return neighbours.link(number).mac().text();
}

// Dropped for exactly this reason; nothing leaves but `answered`.
inline void expect_drop(TestHub& hub, std::string_view line, const Frame& frame, DropReason reason,
                        const Frames& answered = {}) {
    hub.send(line, frame);
    CHECK(hub.left() == answered);
    CHECK(hub.drops() == Drops{{reason, 1}});
    CHECK(hub.made() == answered.size());
}
// Taken by the hub itself, and not answered.
inline void expect_taken(TestHub& hub, std::string_view line, const Frame& frame) {
    hub.send(line, frame);
    CHECK(hub.left() == Frames{});
    CHECK(hub.drops() == Drops{});
    CHECK(hub.consumed() == 1);
}
inline void expect_to_pass(TestHub& hub, std::string_view line, const Frame& frame) {
    hub.send(line, frame);
    CHECK(hub.left().size() == 1);
    CHECK(hub.drops() == Drops{});
}
inline void expect_to_pass(TestHub& hub, std::string_view line, const Frame& frame, const Sent& expected) {
    hub.send(line, frame);
    CHECK(hub.left() == Frames{expected});
    CHECK(hub.drops() == Drops{});
}

}  // namespace sekisho::test
