// What compile() refuses, each with the objects' names in its words, and that a refusal leaves everything as it was.
#include <functional>

#include <catch2/catch.hpp>

#include "tests/control/compile_support.hpp"

using namespace sekisho;
using namespace sekisho::control;
using namespace sekisho::control::test;

namespace {

// What compile() says of the policy of two operators after this change to it.
Error refusal(const std::function<void(Policy&)>& change, const CompileLimits& limits = {}) {
    Policy policy = two_operators();
    change(policy);
    Compiler compiler(ports(), limits);
    const auto compiled = compiler.compile(policy, 1, kNow);
    if (compiled) return {ErrorCode::invalid, "it compiles"};
    return compiled.error();
}

void check(const Error& error, ErrorCode code, const std::string& words) {
    CHECK(error.words == words);
    CHECK(error.code == code);
}

Question https_to_minami() {
    return {"kita-line", address("10.1.1.7"), address("100.65.1.9")};
}

}  // namespace

TEST_CASE("compile: references to nothing are refused by name", "[compile]") {
    const auto not_found = ErrorCode::not_found;
    check(refusal([](Policy& p) { p.attachments["kita-line"].operator_id = "nishi"; }), not_found,
          R"(attachments "kita-line": no operator "nishi")");
    check(refusal([](Policy& p) { p.attachments["kita-line"].port = "p9"; }), not_found,
          R"(attachments "kita-line": this node has no port "p9")");
    check(refusal([](Policy& p) { p.attachments["kita-line"].mtu = 8901; }), ErrorCode::limit,
          R"(attachments "kita-line": MTU 8901: its port "p0" carries 8900 bytes)");
    CHECK(refusal([](Policy& p) { p.attachments["kita-line"].mtu = 8900; }).words == "it compiles");
    check(refusal([](Policy& p) { p.institutions["kita-clinic"].operator_id = "nishi"; }), ErrorCode::invalid,
          R"(institutions "kita-clinic": attachment "kita-line" is not of operator "nishi")");
    check(refusal([](Policy& p) {
              p.institutions["kita-clinic"].operator_id = "nishi";
              p.institutions["kita-clinic"].links.clear();
          }),
          not_found, R"(institutions "kita-clinic": no operator "nishi")");
    check(refusal([](Policy& p) { p.institutions["kita-clinic"].links[0].attachments = {"none"}; }), not_found,
          R"(institutions "kita-clinic": no attachment "none")");
    check(refusal([](Policy& p) { p.translations["kita-4"].operator_id = "nishi"; }), not_found,
          R"(translations "kita-4": no operator "nishi")");
    check(refusal([](Policy& p) { p.agreements["records"].client_operators = {"nishi"}; }), not_found,
          R"(agreements "records": no operator "nishi")");
    check(refusal([](Policy& p) { p.agreements["records"].client_institutions = {"nobody"}; }), not_found,
          R"(agreements "records": no institution "nobody")");
    check(refusal([](Policy& p) { p.agreements["records"].service_institutions = {"nobody"}; }), not_found,
          R"(agreements "records": no institution "nobody")");
    check(refusal([](Policy& p) { p.routes["kita 10.0.0.0/8"].operator_id = "nishi"; }), not_found,
          R"(routes "kita 10.0.0.0/8": no operator "nishi")");
    check(refusal([](Policy& p) { p.routes["kita 10.0.0.0/8"].nexthops[0].attachment = "none"; }), not_found,
          R"(routes "kita 10.0.0.0/8": no attachment "none")");
    check(refusal([](Policy& p) { add_gate(p, "stop", GateTarget::agreement, "none"); }), not_found,
          R"(gates "stop": no agreement "none")");
    check(refusal([](Policy& p) { add_gate(p, "stop", GateTarget::institution, "none"); }), not_found,
          R"(gates "stop": no institution "none")");
}

TEST_CASE("compile: overlaps and contradictions are refused, and both sides named", "[compile]") {
    const auto invalid = ErrorCode::invalid;
    check(refusal([](Policy& p) { p.institutions["minami-clinic"].prefixes = {prefix("100.64.1.128/25")}; }), invalid,
          R"(institutions "minami-clinic": no translation of operator "minami" covers 100.64.1.128/25)");
    check(refusal([](Policy& p) { add_institution(p, "pharmacy", "kita", {"100.64.1.128/25"}, {}); }), invalid,
          R"(institutions "kita-clinic" and "pharmacy" both have 100.64.1.128/25)");
    check(refusal([](Policy& p) { add_institution(p, "pharmacy", "kita", {"100.64.0.0/16"}, {}); }), invalid,
          R"(institutions "pharmacy" and "kita-clinic" both have 100.64.1.0/24)");
    check(refusal([](Policy& p) { add_institution(p, "pharmacy", "kita", {"2001:db8:64:1::/64"}, {}); }), invalid,
          R"(institutions "kita-clinic" and "pharmacy" both have 2001:db8:64:1::/64)");
    check(refusal([](Policy& p) {
              add_institution(p, "twice", "kita", {"100.64.2.0/24", "100.64.2.0/25"}, {});
          }),
          invalid, R"(institutions "twice" has 100.64.2.0/25 twice)");
    check(refusal([](Policy& p) { add_institution(p, "wide", "kita", {"100.64.0.0/15"}, {}); }), invalid,
          R"(institutions "wide": no translation of operator "kita" covers 100.64.0.0/15)");
    check(refusal([](Policy& p) { add_translation(p, "more", "kita", "10.9.0.0/24", "100.65.7.0/24"); }), invalid,
          R"(translations "minami-4" and "more" both have 100.65.7.0/24 in hub space)");
    check(refusal([](Policy& p) { add_translation(p, "more", "kita", "10.1.2.0/24", "100.70.0.0/24"); }), invalid,
          R"(translations "kita-4" and "more" of one operator both have 10.1.2.0/24 on its side)");
    check(refusal([](Policy& p) { add_translation(p, "more", "kita", "10.9.0.0/24", "100.70.0.0/25"); }), invalid,
          R"(translations "more": 10.9.0.0/24 and 100.70.0.0/25 are not of one family and length)");
    check(refusal([](Policy& p) { add_translation(p, "more", "kita", "10.9.0.0/24", "2001:d00::/24"); }), invalid,
          R"(translations "more": 10.9.0.0/24 and 2001:d00::/24 are not of one family and length)");
    check(refusal([](Policy& p) { p.attachments["minami-line"].vlan = p.attachments["kita-line"].vlan; }), invalid,
          R"(attachments "kita-line" and "minami-line" both have port "p0", VLAN 1)");
    check(refusal([](Policy& p) { p.attachments["kita-line"].vlan = 4095; }), invalid,
          R"(attachments "kita-line": VLAN 4095: must be 0 (untagged) to 4094)");
    check(refusal([](Policy& p) { p.attachments["kita-line"].ipv4.reset(); }), invalid,
          R"(attachments "kita-line": it serves IPv4 and has no IPv4 address)");
    check(refusal([](Policy& p) { p.attachments["kita-line"].link_local = {}; }), invalid,
          R"(attachments "kita-line": it serves IPv6 and has no link-local address)");
    check(refusal([](Policy& p) {
              p.agreements["records"].ports = {{443, 80}};
          }),
          invalid, R"(agreements "records": ports 443 to 80: ends before it begins)");
    check(refusal([](Policy& p) { p.agreements["records"].ports.clear(); }), invalid,
          R"(agreements "records": its protocol has ports, and it names none)");
    CHECK_THAT(refusal([](Policy& p) { p.agreements["records"].from = "tomorrow"; }).words,
               Catch::StartsWith(R"(agreements "records": from: )"));
    CHECK_THAT(refusal([](Policy& p) { add_gate(p, "stop", GateTarget::node, "").until = "soon"; }).words,
               Catch::StartsWith(R"(gates "stop": until: )"));
    check(refusal([](Policy& p) { add_route(p, "kita", "192.168.0.0/24", "kita-line", "192.168.0.2"); }), invalid,
          R"(routes "kita 192.168.0.0/24": 192.168.0.0/24 has a way already, by attachments "kita-line")");
    check(refusal([](Policy& p) { add_attachment(p, "spare", "kita", "192.168.0.0/24"); }), invalid,
          R"(attachments "spare": 192.168.0.0/24 has a way already, by attachments "kita-line")");
    check(refusal([](Policy& p) { p.routes["kita 10.0.0.0/8"].nexthops[0].attachment = "minami-line"; }), invalid,
          R"(routes "kita 10.0.0.0/8": attachment "minami-line" is not of operator "kita")");
    check(refusal([](Policy& p) { p.routes["kita 10.0.0.0/8"].nexthops[0].gateway = address("fe80::2"); }), invalid,
          R"(routes "kita 10.0.0.0/8": the gateway fe80::2 is not of the prefix's family)");
    check(refusal([](Policy& p) { p.routes["kita 10.0.0.0/8"].nexthops.clear(); }), invalid,
          R"(routes "kita 10.0.0.0/8": 0 nexthops; it must have 1 to 16)");
    check(refusal([](Policy& p) { add_route(p, "kita", "fe80::/64", "kita-line", "fe80::2"); }), invalid,
          R"(routes "kita fe80::/64": link-local addresses are not routed)");
}

TEST_CASE("compile: what this version cannot do is refused by name", "[compile]") {
    const auto unsupported = ErrorCode::unsupported;
    check(refusal([](Policy& p) { p.translations["kita-4"].kind = TranslationKind::family; }), unsupported,
          R"(translations "kita-4": no translation between families in this version)");
    check(refusal([](Policy& p) {
              Route& route = p.routes["kita 10.0.0.0/8"];
              route.nexthops.push_back(route.nexthops[0]);
          }),
          ErrorCode::invalid, R"(routes "kita 10.0.0.0/8": nexthop 192.168.0.2 by attachment "kita-line" twice)");
    check(refusal([](Policy& p) { p.routes["kita 10.0.0.0/8"].nexthops[0].backup = true; }), ErrorCode::invalid,
          R"(routes "kita 10.0.0.0/8": all its nexthops are backup: at least one must not be)");
}

TEST_CASE("compile: tunnels that cannot be are refused with their names", "[compile]") {
    const auto broken = [](const std::function<void(Policy&)>& change) {
        return refusal([&](Policy& p) {
            add_tunnel(p, "t", "kita");
            change(p);
        });
    };
    const auto invalid = ErrorCode::invalid;
    check(refusal([](Policy& p) { p.attachments["kita-line"].protection = Protection::esp; }), invalid,
          R"(attachments "kita-line": protection esp goes with a tunnel, and a tunnel with it)");
    check(broken([](Policy& p) { p.attachments["t"].protection = Protection::none; }), invalid,
          R"(attachments "t": protection esp goes with a tunnel, and a tunnel with it)");
    check(broken([](Policy& p) { p.tunnels.clear(); }), ErrorCode::not_found, R"(attachments "t": no tunnel "t-esp")");
    check(broken([](Policy& p) { p.attachments["t-line"].underlay = false; }), invalid,
          R"(attachments "t": tunnels "t-esp": "t-line" is no underlay)");
    check(broken([](Policy& p) { p.tunnels["t-esp"].underlay = "t"; }), invalid,
          R"(attachments "t": tunnels "t-esp": "t" is no underlay)");
    check(broken([](Policy& p) { p.attachments["t-line"].port = "p9"; }), ErrorCode::not_found,
          R"(attachments "t": this node has no port "p9")");
    check(broken([](Policy& p) {
              p.attachments["t-line"].family = FamilyChoice::ipv6;
              p.attachments["t-line"].ipv4.reset();
          }),
          invalid, R"(tunnels "t-esp": its underlay has no address of its peer's family)");
    check(broken([](Policy& p) { (p.attachments["u"] = p.attachments["t"]).id = "u"; }), invalid,
          R"(attachments "u": 198.18.0.3/32 has a way already, by attachments "t")");
    check(broken([](Policy& p) {
              (p.attachments["u"] = p.attachments["t"]).id = "u";
              p.attachments["u"].subnet4 = prefix("198.18.9.9/32").ipv4();
              p.attachments["u"].subnet6 = prefix("fd00:9::/128").ipv6();
          }),
          invalid, R"(tunnels "t-esp": two attachments have it as their path)");
    check(broken([](Policy& p) { p.attachments.erase("t"); }), invalid,
          R"(tunnels "t-esp": no attachment has it as its path)");
    check(broken([](Policy& p) { add_route(p, "kita", "10.64.0.0/16", "t", "172.16.4.2"); }), invalid,
          R"(routes "kita 10.64.0.0/16": attachment "t" is a tunnel, which has no gateways)");
    check(broken([](Policy& p) { p.tunnels["t-esp"].peer = address("10.1.2.3"); }), invalid,
          R"(tunnels "t-esp": the way to its peer 10.1.2.3 leaves by an attachment that is no underlay)");
}

TEST_CASE("compile: limits are refused with what they are", "[compile]") {
    const auto nothing = [](Policy&) {};
    CHECK(refusal(nothing, {.operators = 1}).words == "2 operators: this node has numbers for 1");
    CHECK(refusal(nothing, {.attachments = 1}).words == "2 attachments: this node has numbers for 1");
    CHECK(refusal(nothing, {.institutions = 1}).words == "2 institutions: this node has numbers for 1");
    CHECK(refusal(nothing, {.institutions = 1}).code == ErrorCode::limit);
    CHECK(refusal(nothing, {.matrix_bytes = 84}).words ==
          R"(the matrix would have more than 84 bytes; most is due to agreements "records")");
}

TEST_CASE("compile: an empty policy compiles, and everything is unknown to it", "[compile]") {
    Compiler compiler(ports());
    const Compiled compiled = compile(compiler, Policy{});
    CHECK(compiled.tables->attachment_of.size() == 4);
    CHECK(compiled.tables->attachment_on(PortId(0), 0) == dataplane::Tables::kNoAttachment);
    CHECK(compiled.tables->ipv4.hub.find(0, address("100.64.1.1").ipv4()) == lpm::kNoRow);
    CHECK(compiled.report.who_rows == 0);
}

TEST_CASE("compile: a refused policy changes neither names nor numbers nor tables", "[compile]") {
    Policy policy = two_operators();
    Compiler compiler(ports());
    const Compiled before = compile(compiler, policy);
    Policy broken = policy;
    add_operator(broken, "aaa");
    add_attachment(broken, "aaa-line", "aaa", "192.168.9.0/24");
    add_institution(broken, "nowhere", "aaa", {"203.0.113.0/24"}, {"aaa-line"});
    REQUIRE_FALSE(compiler.compile(broken, 2, kNow));
    CHECK_FALSE(compiler.attachment_id("aaa-line"));
    CHECK(compiler.attachment_name(compiler.attachment_id("kita-line").value()) == "kita-line");

    const Compiled after = compile(compiler, policy);
    CHECK(look_up(compiler, *before.tables, https_to_minami()).passes);
    CHECK(look_up(compiler, *after.tables, https_to_minami()).passes);
    add_attachment(policy, "spare", "kita", "192.168.9.0/24");
    const Compiled grown = compile(compiler, policy);
    CHECK(compiler.attachment_id("spare") == AttachmentId(2));
}
