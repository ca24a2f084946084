// The commands that act and listen at once: gate, events, whoami.
#include <catch2/catch.hpp>

#include "tests/control/hub_support.hpp"
#include "tests/control/program_support.hpp"

using namespace sekisho::control;
using namespace sekisho::control::test;
using nlohmann::json;

namespace {

Ran asked(const TestHub& hub, std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"--socket", hub.socket()});
    return run(path_from("SEKISHOCTL"), arguments);
}

}  // namespace

TEST_CASE("sekishoctl gate: a wrong command line is exit code 2, a refused gate 1, and neither closes anything",
          "[control][sekishoctl]") {
    TestHub hub({}, as_document(a_document({"kita"})));
    for (const std::vector<std::string>& words :
         std::vector<std::vector<std::string>>{{"gate"},
                                               {"gate", "shut"},
                                               {"gate", "close"},
                                               {"gate", "close", "operator", "kita"},
                                               {"gate", "close", "planet", "x", "--reason", "emergency"},
                                               {"gate", "close", "node", "--reason", "anger"},
                                               {"gate", "open"},
                                               {"events", "--kind", "weather"}})
        CHECK(asked(hub, words).exit_code == 2);
    const Ran refused = asked(hub, {"gate", "close", "operator", "nobody", "--reason", "emergency"});
    CHECK(refused.exit_code == 1);
    CHECK(refused.err.find("nobody") != std::string::npos);
    CHECK(asked(hub, {"gate", "open", "operator-kita"}).exit_code == 1);
    CHECK(hub.on_loop([&] { return hub.generations->gates_by_hand().all().empty(); }));
}

TEST_CASE("sekishoctl gate: close, show, open; and events tell both as they happen", "[control][sekishoctl]") {
    TestHub hub({}, as_document(a_document({"kita"})));
    Program events(path_from("SEKISHOCTL"),
                   {"--socket", hub.socket(), "events", "--json", "--count", "2", "--kind", "gate"});
    REQUIRE(comes_true([&] { return hub.clients() == 1; }));
    Asker probe(hub);
    probe.result("version");  // it was taken after the other's request had been
    std::this_thread::sleep_for(std::chrono::milliseconds(200));

    const Ran closed = asked(hub, {"gate", "close", "operator", "kita", "--reason", "emergency"});
    CHECK(closed.out == "gate operator-kita is closed\n");
    CHECK(closed.exit_code == 0);
    const Ran shown = asked(hub, {"show", "gates"});
    CHECK(shown.out.find("operator-kita") != std::string::npos);
    CHECK(shown.out.find("in_force, by hand since ") != std::string::npos);
    CHECK(asked(hub, {"show", "operators"}).out.find("closed by operator-kita") != std::string::npos);
    CHECK(asked(hub, {"--json", "gate", "open", "operator-kita"}).out == "{\n  \"opened\": \"operator-kita\"\n}\n");

    CHECK(events.wait() == 0);
    std::istringstream stream(events.out());
    std::vector<std::string> changes;
    for (std::string line; std::getline(stream, line);) changes.push_back(json::parse(line)["change"]);
    CHECK(changes == std::vector<std::string>{"closed", "opened"});
}

TEST_CASE("sekishoctl gate: one that is closed and not recorded is exit code 1, with words", "[control][sekishoctl]") {
    TestHub hub({}, as_document(a_document({"kita"})));
    std::filesystem::create_directory(hub.state->gates_file() + ".new");
    const Ran closed = asked(hub, {"gate", "close", "node", "--reason", "emergency"});
    CHECK(closed.exit_code == 1);
    CHECK(closed.out == "gate node is closed\n");
    CHECK(closed.err.find("not recorded") != std::string::npos);
}

TEST_CASE("sekishoctl: whoami says the role, and events end with exit code 3 when the daemon goes",
          "[control][sekishoctl]") {
    auto hub = std::make_unique<TestHub>();
    CHECK(asked(*hub, {"whoami"}).out.starts_with("admin, uid "));
    Program events(path_from("SEKISHOCTL"), {"--socket", hub->socket(), "events"});
    REQUIRE(comes_true([&] { return hub->clients() == 1; }));
    hub.reset();
    CHECK(events.wait() == 3);
}

TEST_CASE("sekishoctl sessions: shown by filter, and ended by filter or all, never by accident",
          "[control][sekishoctl]") {
    TestHub hub({}, as_document(a_document({"kita"})));
    sekisho::dataplane::SessionInfo session;
    session.client.known = true;
    session.client.inside = *sekisho::IpAddress::parse("10.0.0.7");
    session.client.hub = session.service.hub = *sekisho::IpAddress::parse("2001:db8::7");
    session.client.inside_port = 4000;
    session.protocol = 17;
    hub.node.sessions = {{{session}, 3}};
    const Ran shown = asked(hub, {"show", "sessions", "--operator", "kita", "--port", "53"});
    CHECK(shown.out.find("10.0.0.7:4000 ([2001:db8::7]:0)") != std::string::npos);
    CHECK(shown.out.find("and 2 more\n") != std::string::npos);
    CHECK(hub.on_loop([&] { return hub.node.last_order.filter.port; }) == 53);
    CHECK(asked(hub, {"clear", "session"}).exit_code == 2);
    CHECK(asked(hub, {"show", "drops", "--port", "53"}).exit_code == 2);
    CHECK(asked(hub, {"clear", "session", "--operator", "nobody"}).exit_code == 1);
    CHECK(asked(hub, {"clear", "session", "--protocol", "udp"}).out == "3 sessions ended\n");
    CHECK(asked(hub, {"--json", "clear", "session", "--all"}).out == "{\n  \"cleared\": 3\n}\n");
}
