// Fixed bursts through the path, for callgrind to count the instructions of walk_path (perf/instructions.py). A test is
// a case; each walks kWalks bursts of 64 frames, after one that warms up.
#include "tests/dataplane/support/ends.hpp"
#include "tests/dataplane/support/test_hub.hpp"

using namespace sekisho;
using namespace sekisho::test;

namespace {

constexpr std::size_t kWalks = 20;
constexpr std::size_t kFrames = 64;

// Every frame must leave: how long the test's own buffers of dropped ones take to free is not the path's.
void walk(std::string_view line, const Frame& frame) {
    StandardHub hub;
    const std::vector<Frame> burst(kFrames, frame);
    for (std::size_t n = 0; n <= kWalks; ++n) {
        hub.wait(1);
        hub.send(line, burst);
        REQUIRE(hub.left().size() == kFrames);
    }
}

void walk_from_client(const Ends& ends) {
    walk("kita", udp(at(ends.client, 4000), at(ends.portal_hub, 53)).payload(22));
}
void walk_from_server(const Ends& ends) {
    walk("center", tcp(at(ends.portal, 443), at(ends.client_hub, 4000)).ack().payload(22));
}
void walk_echo(const Ends& ends) {
    walk("kita", echo_request(ends.client, ends.portal_hub));
}

}  // namespace

TEST_CASE("IPv4 UDP forwarded") {
    walk_from_client(kEnds4);
}
TEST_CASE("IPv6 UDP forwarded") {
    walk_from_client(kEnds6);
}
TEST_CASE("IPv4 TCP answer forwarded") {
    walk_from_server(kEnds4);
}
TEST_CASE("IPv6 TCP answer forwarded") {
    walk_from_server(kEnds6);
}
TEST_CASE("IPv4 echo forwarded") {
    walk_echo(kEnds4);
}
TEST_CASE("IPv6 echo forwarded") {
    walk_echo(kEnds6);
}
