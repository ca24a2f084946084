// How a collector is named.
#include "ipfix/link.hpp"

#include <catch2/catch.hpp>

using namespace sekisho::ipfix;

TEST_CASE("ipfix: a collector is a transport, a host and a port", "[ipfix]") {
    const auto read = [](const char* text) {
        const auto collector = Collector::parse(text);
        return collector ? collector->text() : "refused: " + collector.error().words;
    };
    CHECK(read("tcp:collector.example:4739") == "tcp:collector.example:4739");
    CHECK(read("udp:192.0.2.7") == "udp:192.0.2.7:4739");
    CHECK(read("tcp:[2001:db8::7]:99") == "tcp:[2001:db8::7]:99");
    CHECK(read("udp:[2001:db8::7]") == "udp:[2001:db8::7]:4739");
    for (const char* wrong :
         {"", "tcp:", "sctp:host:1", "host:1", "tcp::1", "tcp:host:", "tcp:host:x", "tcp:[::1", "udp:host:123456"})
        CHECK(read(wrong) == "refused: \"" + std::string(wrong) + "\" is not tcp:HOST:PORT or udp:HOST:PORT");
}
