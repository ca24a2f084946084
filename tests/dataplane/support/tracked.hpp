// The standard policy with every agreement tracked, and what its sessions are tried with.
#pragma once

#include "tests/dataplane/support/ends.hpp"
#include "tests/dataplane/support/test_hub.hpp"

namespace sekisho::test {

inline Policy tracked_policy() {
    Policy policy = standard_policy();
    for (Agreement& agreement : policy.agreements) agreement.tracked();
    return policy;
}

class TrackedHub : public StandardHub {
  public:
    explicit TrackedHub(const Policy& policy = tracked_policy()) : StandardHub(policy) {}

    std::size_t sessions() { return worker().tracker.size(); }
    void passes(std::string_view line, const Frame& frame) {
        send(line, frame);
        CHECK(drops() == Drops{});
        CHECK(left().size() == 1);
    }
    // Dropped for this reason, and its sender told.
    void refuses(std::string_view line, const Frame& frame, DropReason reason) {
        send(line, frame);
        CHECK(drops() == Drops{{reason, 1}});
        CHECK(left().size() == 1);
    }
};

inline Frame ask(const Ends& ends, unsigned port = 4000) {
    return udp(at(ends.client, port), at(ends.portal_hub, 53));
}
inline Frame answer_to(const Ends& ends, unsigned port = 4000) {
    return udp(at(ends.portal, 53), at(ends.client_hub, port));
}
// TCP between kita's client and the portal.
inline Frame forth(const Ends& ends, unsigned port = 4000) {
    return tcp(at(ends.client, port), at(ends.portal_hub, 443));
}
inline Frame back(const Ends& ends, unsigned port = 4000) {
    return tcp(at(ends.portal, 443), at(ends.client_hub, port));
}
inline void shake_hands(TrackedHub& hub, const Ends& ends, unsigned port = 4000) {
    hub.passes("kita", forth(ends, port).syn());
    hub.passes("center", back(ends, port).syn().ack());
    hub.passes("kita", forth(ends, port).ack());
}

}  // namespace sekisho::test
