// Tunnels and underlays in the document: each refusal alone, with both that disagree; what the others make of them.
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "control/calendar.hpp"
#include "control/diff.hpp"
#include "control/tunnels.hpp"
#include "control/validate.hpp"
#include "tests/control/policy_draft.hpp"

using namespace sekisho;
using namespace sekisho::control;
using Catch::Matchers::Contains;
using nlohmann::json;

namespace {

// kita's attachment, /attachments/1, is the tunnel /tunnels/0 over the underlay /attachments/0.
Draft draft() {
    return Draft("protected.json");
}

Words warnings_of(const Draft& draft) {
    return warnings(draft.policy(), parse_time("2026-05-01").value());
}

// A second tunnel to another peer, with an attachment, in place of nothing.
Draft with_second() {
    Draft two = draft();
    json tunnel = two.at("/tunnels/0");
    tunnel["id"] = "kita-esp-2";
    json attachment = two.at("/attachments/1");
    attachment["id"] = "kita-2";
    attachment["tunnel"] = "kita-esp-2";
    attachment["ipv4"] = "198.51.100.2/32";
    attachment["ipv6"] = "2001:db8:0:1ff::2/128";
    return two.set("/tunnels/-", tunnel).set("/attachments/-", attachment);
}

}  // namespace

TEST_CASE("tunnel: the example's is read as it is written", "[control]") {
    CHECK(draft().errors().empty());
    const Policy policy = draft().policy();
    const Tunnel& tunnel = policy.tunnels.at("kita-esp");
    CHECK(tunnel.underlay == "kita-line");
    CHECK(tunnel.peer.text() == "192.0.2.2");
    CHECK(tunnel.suite == crypto::Suite::aes_gcm_256);
    CHECK(tunnel.esn);
    CHECK(tunnel.replay_window == 4096);
    CHECK(tunnel.keys == TunnelKeys::manual);
    CHECK_FALSE(tunnel.marks.dscp);
    CHECK(tunnel.marks.df == crypto::DfMode::copy);
    CHECK(tunnel.lifetimes.soft_bytes == 60'000'000'000);
    CHECK(tunnel.lifetimes.hard_bytes == 68'000'000'000);
    CHECK(tunnel.lifetimes.soft_packets == 0);
    CHECK(tunnel.lifetimes.hard_time == std::chrono::hours(24));
    REQUIRE(tunnel.selectors.size() == 4);
    CHECK(tunnel.selectors[0].local.text() == "100.64.0.0/10");
    CHECK(tunnel.selectors[0].remote.text() == "10.1.0.0/16");
    CHECK_FALSE(tunnel.selectors[0].protocol);
    CHECK(tunnel.selectors[0].local_ports.is_any());
    CHECK(policy.attachments.at("kita-1").is_tunnel());
    CHECK(policy.attachments.at("kita-line").underlay);
    CHECK(local_end_of(policy, tunnel)->text() == "192.0.2.1");
}

TEST_CASE("tunnel: what is left out has its default, and what is said is taken", "[control]") {
    Draft changed = draft();
    for (const char* field : {"esn", "replay_window", "marks", "lifetimes"})
        changed.remove(std::string("/tunnels/0/") + field);
    const Tunnel bare = changed.policy().tunnels.at("kita-esp");
    CHECK(bare.esn);
    CHECK(bare.replay_window == 4096);
    CHECK(bare.marks.ecn == crypto::EcnMode::normal);
    CHECK(bare.lifetimes.hard_bytes == 0);
    changed.set("/tunnels/0/esn", false).set("/tunnels/0/suite", "aes_gcm_128").set("/tunnels/0/keys", "ike");
    changed.set("/tunnels/0/marks", {{"dscp", 46}, {"df", "clear"}, {"ecn", "compatibility"}});
    changed.set("/tunnels/0/selectors/0", {{"local", "100.64.0.0/10"},
                                           {"remote", "10.1.0.0/16"},
                                           {"protocol", 6},
                                           {"local_ports", {{"first", 443}, {"last", 443}}}});
    const Tunnel told = changed.policy().tunnels.at("kita-esp");
    CHECK_FALSE(told.esn);
    CHECK(told.suite == crypto::Suite::aes_gcm_128);
    CHECK(told.keys == TunnelKeys::ike);
    CHECK(told.marks.dscp == std::uint8_t{46});
    CHECK(told.marks.df == crypto::DfMode::clear);
    CHECK(told.marks.ecn == crypto::EcnMode::compatibility);
    CHECK(told.selectors[0].protocol == std::uint8_t{6});
    CHECK(told.selectors[0].local_ports == crypto::PortRange{443, 443});
    CHECK(told.selectors[0].remote_ports.is_any());
    CHECK(changed.errors().empty());
}

TEST_CASE("tunnel: an attachment has a port and a MAC address, or a tunnel, and never something of both", "[control]") {
    CHECK(draft().remove("/attachments/0/port").errors() ==
          Words{R"(attachments[0] "kita-line" .port: is missing: an attachment has port and mac, or a tunnel)"});
    CHECK(draft().remove("/attachments/0/mac").errors() ==
          Words{R"(attachments[0] "kita-line" .mac: is missing: an attachment has port and mac, or a tunnel)"});
    const std::vector<std::pair<const char*, json>> fields = {
        {"port", "kita0"},      {"vlan", 7},        {"mac", "02:00:00:00:00:09"}, {"link_local", "fe80::1"},
        {"reachable_time", 30}, {"underlay", true}, {"kernel_interface", "hub0"}};
    for (const auto& [field, value] : fields)
        CHECK(draft().set(std::string("/attachments/1/") + field, value).errors() ==
              Words{std::string(R"(attachments[1] "kita-1" .)") + field +
                    ": is of no use with a tunnel: that has no link of its own"});
}

TEST_CASE("tunnel: protection esp and a tunnel go together", "[control]") {
    CHECK(draft().set("/attachments/1/protection", "none").errors() ==
          Words{R"(attachments "kita-1" .protection: is none, and the path a tunnel: say "esp")"});
    CHECK(draft().set("/attachments/2/protection", "esp").errors() ==
          Words{R"(attachments "minami-1" .protection: is esp, and there is no tunnel that would do it)"});
    CHECK(draft().set("/attachments/2/session_management", "hub").errors() ==
          Words{"attachments \"minami-1\": session_management hub without a tunnel is not supported by this version; "
                "say \"operator\" or \"none\""});
}

TEST_CASE("tunnel: it is the path of one attachment, no more and no fewer", "[control]") {
    CHECK(with_second().errors().empty());
    CHECK(with_second().set("/attachments/4/tunnel", "kita-esp").errors() ==
          Words{R"(tunnels "kita-esp" .id: is the path of attachments "kita-2" and of attachments "kita-1": )"
                "each tunnel is that of one",
                R"(tunnels "kita-esp-2" .id: no attachment has it as its path: each tunnel is that of one)"});
    CHECK(draft().set("/attachments/1/tunnel", "osaka").errors() ==
          Words{R"(attachments "kita-1" .tunnel: there is no tunnel "osaka")",
                R"(tunnels "kita-esp" .id: no attachment has it as its path: each tunnel is that of one)"});
}

TEST_CASE("tunnel: its underlay must be there, and be one", "[control]") {
    CHECK(draft().set("/tunnels/0/underlay", "osaka").errors() ==
          Words{R"(tunnels "kita-esp" .underlay: there is no attachment "osaka")"});
    CHECK(draft().set("/tunnels/0/underlay", "chuo-1").errors() ==
          Words{R"(tunnels "kita-esp" .underlay: attachments "chuo-1" is none: it says no "underlay": true)"});
    CHECK(draft().set("/tunnels/0/underlay", "kita-1").errors().size() == 1);  // nor a tunnel inside a tunnel
}

TEST_CASE("tunnel: a peer that cannot be one is refused", "[control]") {
    const auto error = [](const char* peer) {
        const Words errors = draft().set("/tunnels/0/peer", peer).errors();
        return errors.size() == 1 ? errors[0] : std::to_string(errors.size());
    };
    CHECK(error("192.0.2.1") ==
          R"(tunnels "kita-esp" .peer: 192.0.2.1 is the hub's own address on attachments "kita-line")");
    CHECK_THAT(error("224.0.0.5"), Contains("has multicast addresses"));
    CHECK_THAT(error("fe80::1"), Contains("has link-local addresses"));
    CHECK(error("203.0.113.9") == R"(tunnels "kita-esp" .peer: no route of operator "kita" leads to 203.0.113.9)");
    CHECK(error("10.1.2.3") ==
          "tunnels \"kita-esp\" .peer: routes \"kita 10.1.0.0/16\" leads to 10.1.2.3 by "
          "attachment \"kita-1\", not by the underlay \"kita-line\"");
    CHECK_THAT(error("peer"), Contains("\"peer\" is not an IPv4 or IPv6 address"));
    CHECK(error("2001:db8:0:101::2").empty() == false);
    Draft four = draft();
    four.set("/attachments/0/family", "ipv4").remove("/attachments/0/ipv6");
    CHECK(four.set("/tunnels/0/peer", "2001:db8:0:101::2").errors() ==
          Words{"tunnels \"kita-esp\" .peer: 2001:db8:0:101::2: the underlay, attachments \"kita-line\", has no "
                "address of its family"});
}

TEST_CASE("tunnel: a peer behind routers is reached by a route over the underlay, and over nothing else", "[control]") {
    Draft far = draft();
    far.set("/tunnels/0/peer", "203.0.113.9")
        .set("/routes/-", {{"operator", "kita"},
                           {"prefix", "203.0.113.0/24"},
                           {"nexthops", {{{"attachment", "kita-line"}, {"gateway", "192.0.2.2"}}}}});
    CHECK(far.errors().empty());
    CHECK(Draft(far).set("/routes/4/nexthops/-", {{"attachment", "kita-1"}}).errors() ==
          Words{"tunnels \"kita-esp\" .peer: routes \"kita 203.0.113.0/24\" leads to 203.0.113.9 by attachment "
                "\"kita-1\", not by the underlay \"kita-line\""});
    CHECK(Draft(far).remove("/routes/4/nexthops").set("/routes/4/blackhole", true).errors() ==
          Words{"tunnels \"kita-esp\" .peer: routes \"kita 203.0.113.0/24\" discards what goes to 203.0.113.9"});
    // Of two routes the longer one counts.
    far.set("/routes/-", {{"operator", "kita"}, {"prefix", "203.0.113.9/32"}, {"blackhole", true}});
    CHECK(far.errors().size() == 1);
}

TEST_CASE("tunnel: selectors are of one family each, of a family that is served, and ports need a protocol",
          "[control]") {
    const auto error = [](const char* field, json value) {
        const Words errors = draft().set(std::string("/tunnels/0/selectors/0/") + field, std::move(value)).errors();
        return errors.size() == 1 ? errors[0] : std::to_string(errors.size());
    };
    const json https = {{"first", 443}, {"last", 443}};
    CHECK(error("local", "fd00::/8") ==
          R"(tunnels "kita-esp" .selectors[0].remote: 10.1.0.0/16 and local fd00::/8 differ in family)");
    CHECK(error("local_ports", https) ==
          R"(tunnels "kita-esp" .selectors[0].local_ports: there is no protocol that they are ports of)");
    Draft icmp = draft();
    icmp.set("/tunnels/0/selectors/0/protocol", 1).set("/tunnels/0/selectors/0/remote_ports", https);
    CHECK(icmp.errors() == Words{R"(tunnels "kita-esp" .selectors[0].remote_ports: protocol 1 has no ports)"});
    Draft backwards = draft();
    backwards.set("/tunnels/0/selectors/0/protocol", 6)
        .set("/tunnels/0/selectors/0/remote_ports", {{"first", 9}, {"last", 8}});
    CHECK(backwards.errors() == Words{R"(tunnels "kita-esp" .selectors[0].remote_ports: 9 to 8 runs backwards)"});
    Draft four = draft();
    four.set("/attachments/1/family", "ipv4").remove("/attachments/1/ipv6").remove("/routes/1");
    const Words errors = four.errors();
    REQUIRE(errors.size() == 2);
    CHECK(errors[0] ==
          "tunnels \"kita-esp\" .selectors[2].local: 2001:db8:8000::/33 is not of family ipv4, which is "
          "that of attachments \"kita-1\"");
}

TEST_CASE("tunnel: a window that is no power of two, and a soft lifetime that is no shorter, are refused",
          "[control]") {
    CHECK(draft().set("/tunnels/0/replay_window", 1000).errors() ==
          Words{R"(tunnels "kita-esp" .replay_window: 1000 is not a power of two)"});
    CHECK(draft().set("/tunnels/0/replay_window", 32).errors() ==
          Words{R"(tunnels[0] "kita-esp" .replay_window: 32 is not 64 to 1048576)"});
    CHECK(draft().set("/tunnels/0/lifetimes/soft/seconds", 86400).errors() ==
          Words{R"(tunnels "kita-esp" .lifetimes.soft.seconds: is not less than the hard limit)"});
    CHECK(draft().set("/tunnels/0/lifetimes/soft/bytes", 68'000'000'001).errors().size() == 1);
    CHECK(draft().remove("/tunnels/0/lifetimes/hard").errors().empty());
    CHECK(draft().set("/tunnels/0/suite", "null").errors() ==
          Words{R"(tunnels[0] "kita-esp" .suite: "null" is not one of aes_gcm_128, aes_gcm_256)"});
}

TEST_CASE("underlay: no institution uses it, and nothing of an institution's lies behind it", "[control]") {
    CHECK(draft().set("/institutions/0/links/0/attachments", {"kita-line"}).errors() ==
          Words{"institutions \"kita-clinic\" .links[0].attachments[0]: attachment \"kita-line\" is an underlay, which "
                "carries tunnels only"});
    CHECK(draft().set("/routes/0/nexthops", {{{"attachment", "kita-line"}, {"gateway", "192.0.2.2"}}}).errors() ==
          Words{"routes \"kita 10.1.0.0/16\" .nexthops[0].attachment: 10.1.0.0/16 by the underlay \"kita-line\" "
                "overlaps 10.1.0.0/16 of translations \"kita-v4\" .operator_prefix: nothing of an institution's may "
                "leave by an underlay"});
    const Words subnet =
        draft().set("/attachments/0/ipv4", "10.1.255.1/30").set("/tunnels/0/peer", "10.1.255.2").errors();
    CHECK(subnet == Words{"attachments \"kita-line\" .ipv4: 10.1.255.0/30 by the underlay \"kita-line\" overlaps "
                          "10.1.0.0/16 of translations \"kita-v4\" .operator_prefix: nothing of an institution's may "
                          "leave by an underlay"});
}

TEST_CASE("tunnel: a route through it has no gateway", "[control]") {
    CHECK(draft().set("/routes/0/nexthops/0/gateway", "192.0.2.2").errors() ==
          Words{"routes \"kita 10.1.0.0/16\" .nexthops[0].gateway: 192.0.2.2 is of no use: attachment \"kita-1\" is a "
                "tunnel, whose peer is the next hop"});
}

TEST_CASE("tunnel: what fits inside is reckoned with the padding that it takes", "[control]") {
    // 20 + 8 + 8 + 1446 + 0 + 2 + 16 = 1500; a byte more would take three of padding.
    CHECK(mtu_inside(1500, Family::ipv4) == 1446);
    CHECK(mtu_inside(1501, Family::ipv4) == 1446);
    CHECK(mtu_inside(1503, Family::ipv4) == 1446);
    CHECK(mtu_inside(1504, Family::ipv4) == 1450);
    CHECK(mtu_inside(1500, Family::ipv6) == 1426);
    CHECK(mtu_inside(20, Family::ipv4) == 0);
    CHECK(mtu_inside(1500, Family::ipv4, true) == 1438);  // UDP's eight bytes more
    CHECK(mtu_inside(1500, Family::ipv6, true) == 1418);
    // What the sums of RFC 4303 give for every length, as an oracle.
    for (const auto& [outer, in_udp] : {std::pair(Family::ipv4, false), std::pair(Family::ipv6, false),
                                        std::pair(Family::ipv4, true), std::pair(Family::ipv6, true)})
        for (unsigned mtu = 576; mtu <= 9000; ++mtu) {
            const unsigned around = (outer == Family::ipv4 ? 20U : 40U) + (in_udp ? 8U : 0U);
            const auto sealed = [&](unsigned inner) {
                unsigned padding = 0;
                while ((inner + padding + 2) % 4 != 0) ++padding;
                return around + 8 + 8 + inner + padding + 2 + 16;
            };
            const unsigned inside = mtu_inside(static_cast<std::uint16_t>(mtu), outer, in_udp);
            for (unsigned inner = inside > 8 ? inside - 8 : 0; inner <= inside; ++inner) REQUIRE(sealed(inner) <= mtu);
            REQUIRE(sealed(inside + 1) > mtu);
        }
}

TEST_CASE("tunnel: in UDP it has ports and keepalives, or their defaults; its SAs were agreed upon that", "[control]") {
    Draft changed = draft();
    CHECK_FALSE(changed.policy().tunnels.at("kita-esp").udp);
    const std::string plain = agreed_of(changed.policy().tunnels.at("kita-esp"));
    changed.set("/tunnels/0/udp", json::object());
    CHECK(changed.errors().empty());
    const Tunnel bare = changed.policy().tunnels.at("kita-esp");
    REQUIRE(bare.udp);
    CHECK(bare.udp->peer_port == 4500);
    CHECK(bare.udp->local_port == 4500);
    CHECK(bare.udp->keepalive == 0);
    CHECK(agreed_of(bare) != plain);
    CHECK(mtu_of(changed.policy(), changed.policy().attachments.at("kita-1")) == 1438);
    changed.set("/tunnels/0/udp", {{"peer_port", 40001}, {"local_port", 4501}, {"keepalive", 20}});
    CHECK(changed.errors().empty());
    const Tunnel told = changed.policy().tunnels.at("kita-esp");
    CHECK(told.udp->peer_port == 40001);
    CHECK(told.udp->local_port == 4501);
    CHECK(told.udp->keepalive == 20);
    CHECK(agreed_of(told) != agreed_of(bare));
    Tunnel quieter = told;
    quieter.udp->keepalive = 30;
    CHECK(agreed_of(quieter) == agreed_of(told));
}

TEST_CASE("tunnel: an underlay has one UDP port for ESP, and not IKE's", "[control]") {
    Draft changed = draft();
    changed.set("/tunnels/0/udp", {{"local_port", 500}});
    CHECK(changed.errors() ==
          Words{"tunnels \"kita-esp\" .udp.local_port: 500 is IKE's: ESP in UDP has another, 4500"});
    changed.set("/tunnels/0/udp", {{"peer_port", 0}});
    CHECK(changed.errors().size() == 1);
    Draft two = with_second();
    two.set("/tunnels/0/udp", json::object());
    CHECK(two.errors().empty());  // the other is plain
    two.set("/tunnels/1/udp", {{"local_port", 4501}});
    CHECK(two.errors() == Words{"tunnels \"kita-esp-2\" .udp.local_port: 4501: tunnels \"kita-esp\" has 4500 on the "
                                "same underlay \"kita-line\""});
    two.set("/tunnels/1/udp", {{"peer_port", 4502}});
    CHECK(two.errors().empty());
}

TEST_CASE("tunnel: the document's MTU is at most what the underlay leaves, and IPv6 with less is warned of",
          "[control]") {
    CHECK(mtu_of(draft().policy(), draft().policy().attachments.at("kita-1")) == 1446);
    CHECK(draft().set("/attachments/1/mtu", 1446).errors().empty());
    CHECK(draft().set("/attachments/1/mtu", 1447).errors() ==
          Words{"attachments \"kita-1\" .mtu: 1447 is more than the 1446 bytes that attachments \"kita-line\" leaves "
                "tunnels \"kita-esp\""});
    CHECK(draft().set("/attachments/1/mtu", 1279).errors().size() == 1);
    CHECK(warnings_of(draft()).empty());
    Draft narrow = draft();
    narrow.set("/attachments/0/mtu", 1300);
    CHECK(narrow.errors().empty());
    CHECK(warnings_of(narrow) ==
          Words{"attachments \"kita-1\": its tunnel \"kita-esp\" leaves packets of 1246 bytes, and IPv6 needs 1280 "
                "(RFC 8200 section 5)"});
    narrow.set("/attachments/1/family", "ipv4").remove("/attachments/1/ipv6").remove("/routes/1");
    narrow.remove("/tunnels/0/selectors/3").remove("/tunnels/0/selectors/2");
    CHECK(narrow.errors().empty());
    const Words left = warnings_of(narrow);  // the clinic has IPv6 prefixes; that is no matter of tunnels
    CHECK(std::none_of(left.begin(), left.end(), [](const auto& words) { return words.starts_with("attachments"); }));
}

TEST_CASE("tunnel: a family that no selector is for is warned of", "[control]") {
    CHECK(warnings_of(draft().remove("/tunnels/0/selectors/3").remove("/tunnels/0/selectors/2")) ==
          Words{R"(attachments "kita-1": no selector of its tunnel "kita-esp" is for IPv6, which it serves)"});
}

TEST_CASE("diff: a change that ends a tunnel's SAs is said, and another one is not", "[control]") {
    const auto notes = [](const char* pointer, json value) {
        return diff(draft().document(), draft().set(pointer, std::move(value)).document()).notes;
    };
    const Words ended = {R"(tunnels "kita-esp": its SAs end with this change; new ones must be installed)"};
    CHECK(notes("/tunnels/0/peer", "192.0.2.3") == ended);
    CHECK(notes("/tunnels/0/suite", "aes_gcm_128") == ended);
    CHECK(notes("/tunnels/0/esn", false) == ended);
    CHECK(notes("/tunnels/0/keys", "ike") == ended);
    CHECK(notes("/tunnels/0/selectors/0/remote", "10.1.0.0/17") == ended);
    CHECK(notes("/tunnels/0/replay_window", 64).empty());
    CHECK(notes("/tunnels/0/marks/dscp", 46).empty());
    CHECK(notes("/tunnels/0/lifetimes/soft/seconds", 60).empty());
    Draft without = draft();
    without.remove("/tunnels/0");
    CHECK(diff(draft().document(), without.document()).notes == Words{R"(tunnels "kita-esp": its SAs end with it)"});
    CHECK(diff(without.document(), draft().document()).notes.empty());
}

TEST_CASE("tunnel: what its SAs rest on changes with its ends and its user, and with nothing else", "[control]") {
    const auto basis = [](const Draft& of) {
        const Policy policy = of.policy();
        return basis_of_sas(policy, policy.tunnels.at("kita-esp"), policy.attachments.at("kita-1"));
    };
    const std::string before = basis(draft());
    CHECK_FALSE(before.empty());
    CHECK(basis(draft().set("/attachments/0/ipv4", "192.0.2.3/29")) != before);
    CHECK(basis(draft().set("/attachments/1/operator", "minami")) != before);
    CHECK(basis(draft().set("/tunnels/0/peer", "192.0.2.3")) != before);
    CHECK(basis(draft().set("/attachments/0/mtu", 1400)) == before);
    CHECK(basis(draft().set("/attachments/0/ipv6", "2001:db8:0:101::9/64")) == before);
    CHECK(basis(draft().set("/tunnels/0/marks/dscp", 1)) == before);
    CHECK(basis(draft().set("/agreements/0/ports", {8443})) == before);
}
