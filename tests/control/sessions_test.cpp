// Sessions on the control socket: what a client may ask and gets, and what a worker that does not answer means.
#include "tests/control/hub_support.hpp"

using namespace sekisho;
using namespace sekisho::control;
using namespace sekisho::control::test;
using nlohmann::json;

namespace {

dataplane::SessionInfo a_session() {
    dataplane::SessionInfo session;
    session.client.known = true;
    session.client.inside = *IpAddress::parse("10.0.0.7");
    session.client.hub = *IpAddress::parse("100.64.0.7");
    session.client.inside_port = session.client.hub_port = 4000;
    session.service.hub = session.service.inside = *IpAddress::parse("100.64.2.9");
    session.service.inside_port = session.service.hub_port = 443;
    session.protocol = 6;
    session.state = nat::TcpState::forward_closed;
    session.packets = 12;
    session.idle = 3;
    session.left = 7437;
    return session;
}

}  // namespace

TEST_CASE("sessions: they are shown with names and words, and those left out are counted", "[control][sessions]") {
    control::test::TestHub hub;
    hub.node.sessions = {{{a_session()}, 1}, {{a_session(), a_session()}, 2000}};
    Asker asker(hub);
    const json result = asker.result("show.sessions", {{"limit", 2}});
    REQUIRE(result["items"].size() == 2);
    CHECK(result["matching"] == 2001);
    CHECK(result["omitted"] == 1999);
    const json& first = result["items"][0];
    CHECK(first["protocol"] == "tcp");
    CHECK(first["state"] == "forward_closed");
    CHECK(first["client"] == json{{"operator", "kita"},
                                  {"institution", "sato-hospital"},
                                  {"address", "10.0.0.7"},
                                  {"port", 4000},
                                  {"hub_address", "100.64.0.7"},
                                  {"hub_port", 4000}});
    CHECK(first["service"]["operator"].is_null());
    CHECK(first["service"]["address"].is_null());
    CHECK(first["service"]["hub_address"] == "100.64.2.9");
    CHECK(first["packets"] == 12);
    CHECK(first["left"] == 7437);
    CHECK(first["worker"] == 0);
    CHECK(result["items"][1]["worker"] == 1);
}

TEST_CASE("sessions: filters become what the workers are asked, and wrong ones are refused with their name",
          "[control][sessions]") {
    control::test::TestHub hub;
    Asker asker(hub);
    asker.result("show.sessions", {{"operator", "kita"},
                                   {"attachment", "kita-1"},
                                   {"address", "fd00::1"},
                                   {"port", 443},
                                   {"protocol", "icmpv6"},
                                   {"state", "reverse_closed"}});
    const dataplane::SessionOrder order = hub.on_loop([&] { return hub.node.last_order; });
    CHECK(order.filter.vrf == VrfId(0));
    CHECK(order.filter.attachment == AttachmentId(0));
    CHECK(order.filter.address == *IpAddress::parse("fd00::1"));
    CHECK(order.filter.port == 443);
    CHECK(order.filter.protocol == 58);
    CHECK(order.filter.state == nat::TcpState::reverse_closed);
    CHECK_FALSE(order.ends);
    CHECK(order.most == 100);
    const auto wrong = [&](const json& params) {
        const json error = asker.error("show.sessions", params);
        CHECK(error["code"] == -32602);
        return error["message"].get<std::string>();
    };
    CHECK(wrong({{"operator", "nobody"}}).find("no operator of the running policy") != std::string::npos);
    CHECK(wrong({{"attachment", "x"}}).find("no attachment") != std::string::npos);
    CHECK(wrong({{"address", "10.0.0"}}).find("address") != std::string::npos);
    CHECK(wrong({{"protocol", "ip"}}).find("protocol") != std::string::npos);
    CHECK(wrong({{"state", "open"}}).find("no state of TCP") != std::string::npos);
    CHECK(wrong({{"port", 65536}}).find("port") != std::string::npos);
    CHECK(wrong({{"limit", 0}}).find("limit") != std::string::npos);
    CHECK(wrong({{"limit", 1001}}).find("limit") != std::string::npos);
    CHECK(wrong({{"opperator", "kita"}}).find("opperator") != std::string::npos);
}

TEST_CASE("sessions: they are ended by an operator only, with a filter or all, and the audit log has it first",
          "[control][sessions]") {
    Roles roles;
    REQUIRE(roles.add("operator=*"));
    control::test::TestHub hub({}, {}, false, roles);
    hub.node.sessions = {{{}, 5}, {{}, 2}};
    Asker asker(hub);
    CHECK(asker.error("session.clear")["message"].get<std::string>().find("all") != std::string::npos);
    CHECK(asker.error("session.clear", {{"all", true}, {"port", 1}})["code"] == -32602);
    CHECK(asker.result("session.clear", {{"port", 443}}) == json{{"cleared", 7}});
    CHECK(hub.on_loop([&] { return hub.node.last_order.ends; }));
    const json line = hub.audit_lines().back();
    CHECK(line["what"] == "session.clear");
    CHECK(line["filter"] == json{{"port", 443}});
    CHECK(asker.result("session.clear", {{"all", true}})["cleared"] == 7);
    CHECK(method_named("session.clear")->least == Role::operator_);
    CHECK(method_named("show.sessions")->least == Role::viewer);
}

TEST_CASE("sessions: requests wait their turn; when a worker does not answer all are told, and others are served",
          "[control][sessions][clock]") {
    control::test::TestHub hub;
    hub.node.desks_busy = true;
    Asker first(hub), second(hub);
    first.send("show.sessions");
    for (int i = 0; i < 20; ++i) second.send("show.sessions");
    int too_many = 0;
    for (int i = 0; i < 5; ++i) too_many += second.answer()["error"]["code"] == 5 ? 1 : 0;  // fifteen wait
    CHECK(too_many == 5);
    CHECK(Asker(hub).result("version")["version"] == "test");
    CHECK(first.answer()["error"]["code"] == 7);
    CHECK(second.answer()["error"]["code"] == 7);
    for (int i = 0; i < 14; ++i) second.answer();
    hub.node.desks_busy = false;
    CHECK(first.result("show.sessions")["matching"] == 0);
}
