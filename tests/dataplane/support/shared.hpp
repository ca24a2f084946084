// The tracked standard policy with a port block, and the hub that its tests ask.
#pragma once

#include "tests/dataplane/support/oracle.hpp"
#include "tests/dataplane/support/tracked.hpp"

namespace sekisho::test {

inline constexpr const char* kShared = "100.64.9.1";  // the address that kita's houses behind it share

// Beside the tracked standard policy: two of kita's houses behind one address, that reach the portal; one has a server
// that minami's hospital, kita's other houses and the portal reach.
inline Policy shared_policy() {
    Policy policy = tracked_policy();
    policy.house("kita", "ward").behind("10.0.5.0/24").uses("kita");
    policy.house("kita", "office").behind("10.0.6.0/24").uses("kita");
    for (const char* client : {"ward", "office"}) {
        policy.agreement(client, "portal").udp(53).tracked();
        policy.agreement(client, "portal").tcp(443).tracked();
        policy.agreement(client, "portal").echo().tracked();
        policy.agreement(client, "ward").tcp(8443).tracked();
    }
    policy.agreement("minami-hospital", "ward").tcp(8443).tracked();
    policy.agreement("ward", "archive").any().tracked();
    policy.block("kita", "100.64.9.1/32").door(nat::PortProtocol::tcp, "100.64.9.1:8443", "10.0.5.9:443");
    return policy;
}

class SharedHub : public TrackedHub {
  public:
    explicit SharedHub(const Policy& policy = shared_policy()) : TrackedHub(policy) {}

    // The port that the frame, which left by center, has now; its address is the shared one.
    std::uint16_t port_of_left() const {
        REQUIRE(left().size() == 1);
        const auto reading = read(packet_in(left().front().frame));
        REQUIRE(reading);
        CHECK(reading->source == address(kShared));
        return static_cast<std::uint16_t>(reading->source_port);
    }
    nat::PortPool& ports() { return policy().blocks[0].shares->of(WorkerId(0)); }
    std::uint16_t port_for(const Frame& frame) {
        send("kita", frame);
        CHECK(drops() == Drops{});
        return port_of_left();
    }
};

inline Frame question_of(std::string_view host, unsigned port, unsigned to = 53) {
    return udp(at(host, port), at(kEnds4.portal_hub, to));
}

}  // namespace sekisho::test
