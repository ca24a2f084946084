// What a compiled generation holds, fact by fact, for two operators with the same addresses.
#include <atomic>
#include <thread>

#include <catch2/catch.hpp>

#include "control/calendar.hpp"
#include "tests/control/compile_support.hpp"

using namespace sekisho;
using namespace sekisho::control;
using namespace sekisho::control::test;
using dataplane::Nexthop;

namespace {

Question from_kita(std::string_view destination, std::uint16_t port = 443) {
    return {"kita-line", address("10.1.1.7"), address(destination), 6, 40000, port};
}

const dataplane::HubRow<Ipv4Address>& hub_row(const dataplane::Tables& tables, std::string_view destination) {
    return tables.ipv4.hub_rows.at(tables.ipv4.hub.find(0, address(destination).ipv4()));
}

}  // namespace

TEST_CASE("compile: a kernel port has a number that no other ever gets", "[compile]") {
    Policy policy = two_operators();
    Compiler compiler(ports());
    CHECK(compile(compiler, policy).tables->taps.empty());
    policy.operators.at("kita").network_namespace = "routing-kita";
    policy.attachments.at("kita-line").kernel_interface = "hub0";
    const auto tap_of = [&] {
        const Compiled compiled = compile(compiler, policy);
        REQUIRE(compiled.tables->taps.size() == 1);
        const dataplane::TapSpec& tap = compiled.tables->taps[0];
        CHECK(compiled.tables->attachments.at(tap.attachment.index()).tap == tap.tap);
        CHECK(compiler.attachment_name(tap.attachment) == "kita-line");
        CHECK(tap.mac == policy.attachments.at("kita-line").mac);
        CHECK(tap.mtu == policy.attachments.at("kita-line").mtu);
        CHECK(tap.network_namespace == policy.operators.at("kita").network_namespace);
        CHECK(tap.interface == policy.attachments.at("kita-line").kernel_interface);
        return tap.tap;
    };
    const TapId first = tap_of();
    CHECK(first != TapId());
    policy.attachments.at("kita-line").mtu = 1400;
    CHECK(tap_of() == first);
    policy.attachments.at("kita-line").kernel_interface = "hub1";
    const TapId second = tap_of();
    CHECK(second != first);
    policy.operators.at("kita").network_namespace = "elsewhere";
    CHECK(tap_of() != second);
    policy.operators.at("kita").network_namespace = "routing-kita";
    policy.attachments.at("kita-line").kernel_interface = "hub0";
    CHECK(tap_of() == first);
}

TEST_CASE("compile: two operators with one address space reach each other as agreed and not otherwise", "[compile]") {
    const Policy policy = two_operators();
    Compiler compiler(ports());
    const Compiled compiled = compile(compiler, policy);
    const auto answer = [&](const Question& question) { return look_up(compiler, *compiled.tables, question); };

    CHECK_FALSE(answer(from_kita("100.65.1.9", 80)).passes);
    CHECK_FALSE(answer(from_kita("100.64.1.9")).passes);  // its own operator's, which nobody agreed to
    CHECK_FALSE(answer({"minami-line", address("10.1.1.9"), address("100.64.1.7")}).passes);
    // minami's answers need ACK or RST.
    Question reply{"minami-line", address("10.1.1.9"), address("100.64.1.7"), 6, 443, 40000};
    CHECK_FALSE(answer(reply).passes);
    reply.answers = true;
    CHECK(answer(reply).passes);

    const Answer https = answer(from_kita("100.65.1.9"));
    CHECK(https.passes);
    CHECK(https.source_in_hub == "100.64.1.7");
    CHECK(https.destination_inside == "10.1.1.9");
    CHECK(https.way == "gateway minami-line 192.168.0.2");
    const Answer https6 = answer({"kita-line", address("fd00:1:0:1::7"), address("2001:db8:65:1::9")});
    CHECK(https6.passes);
    CHECK(https6.source_in_hub == "2001:db8:64:1::7");
    CHECK(https6.destination_inside == "fd00:1:0:1::9");
    CHECK(https6.way == "gateway minami-line fe80::2");
}

TEST_CASE("compile: a tracked agreement fills its forward cell, marked tracked, and no other", "[compile]") {
    Policy policy = two_operators();
    Compiler compiler(ports());
    CHECK(!compile(compiler, policy).tables->tracks);
    policy.agreements.at("records").state = AgreementState::tracked;
    const Compiled compiled = compile(compiler, policy);
    CHECK(compiled.tables->tracks);
    CHECK(compiled.tables->permissions.count() == 2);  // nothing, and this one
    const Question forth{"kita-line", address("10.1.1.7"), address("100.65.1.9")};
    Answer answer = look_up(compiler, *compiled.tables, forth);
    CHECK(answer.tracked);
    CHECK(!answer.forward);
    CHECK(!answer.reverse);
    const Question back{"minami-line", address("10.1.1.9"), address("100.64.1.7"), 6, 443, 40000, true};
    answer = look_up(compiler, *compiled.tables, back);
    CHECK(!answer.tracked);
    CHECK(!answer.forward);
    CHECK(!answer.reverse);
    // Beside a stateless one of the same terms each keeps its own.
    policy.agreements["same"] = policy.agreements.at("records");
    policy.agreements.at("same").id = "same";
    policy.agreements.at("same").state = AgreementState::stateless;
    const Compiled both = compile(compiler, policy);
    answer = look_up(compiler, *both.tables, forth);
    CHECK(answer.tracked);
    CHECK(answer.forward);
    CHECK(look_up(compiler, *both.tables, back).reverse);
}

TEST_CASE("compile: a translation alone permits nothing, nor does a link that an institution does not have",
          "[compile]") {
    Policy policy = two_operators();
    add_attachment(policy, "kita-other", "kita", "192.168.1.0/24");
    Compiler compiler(ports());
    const Compiled compiled = compile(compiler, policy);
    Question question = from_kita("100.65.1.9");
    question.source = address("10.1.2.7");  // translated, and no institution's
    CHECK(look_up(compiler, *compiled.tables, question).source_institution.empty());
    question = from_kita("100.65.2.9");
    CHECK(look_up(compiler, *compiled.tables, question).destination_institution.empty());
    question = from_kita("100.65.1.9");
    question.attachment = "kita-other";
    CHECK_FALSE(look_up(compiler, *compiled.tables, question).may_use);
}

TEST_CASE("compile: an attachment is found by port and VLAN, with the hub's own addresses", "[compile]") {
    const Policy policy = two_operators();
    Compiler compiler(ports());
    const Compiled compiled = compile(compiler, policy);
    const AttachmentId kita = compiler.attachment_id("kita-line").value();
    CHECK(compiled.tables->attachment_on(PortId(0), 1) == kita);
    CHECK(compiled.tables->attachment_on(PortId(0), 0) == dataplane::Tables::kNoAttachment);
    CHECK(compiled.tables->attachment_on(PortId(1), 1) == dataplane::Tables::kNoAttachment);
    const dataplane::Attachment& attachment = compiled.tables->attachments.at(kita.index());
    CHECK(attachment.open);
    CHECK(attachment.mac == policy.attachments.at("kita-line").mac);
    CHECK(attachment.ipv4 == address("192.168.0.1").ipv4());
    CHECK(attachment.subnet4.text() == "192.168.0.0/24");
    CHECK(attachment.vrf.value() == attachment.owner.value());
    CHECK(compiler.vrf_name(attachment.vrf) == "kita");
    CHECK(compiler.operator_name(attachment.owner) == "kita");
    CHECK(compiler.operator_name(OperatorId(77)).empty());
}

TEST_CASE("compile: a service prefix finer than its institution's splits the row, in hub and in who", "[compile]") {
    Policy policy = two_operators();
    policy.agreements["records"].service_institutions.clear();
    policy.agreements["records"].service_prefixes = {prefix("100.65.1.8/30")};
    Compiler compiler(ports());
    const Compiled compiled = compile(compiler, policy);
    CHECK(compiled.report.hub_rows == 5);
    CHECK(compiled.report.who_rows == 5);
    CHECK(look_up(compiler, *compiled.tables, from_kita("100.65.1.8")).passes);
    CHECK(look_up(compiler, *compiled.tables, from_kita("100.65.1.11")).passes);
    CHECK_FALSE(look_up(compiler, *compiled.tables, from_kita("100.65.1.7")).passes);
    CHECK_FALSE(look_up(compiler, *compiled.tables, from_kita("100.65.1.12")).passes);
}

TEST_CASE("compile: a prefix that changes nothing costs no row", "[compile]") {
    Policy policy = two_operators();
    policy.agreements["records"].service_prefixes = {prefix("100.65.1.8/30"), prefix("100.64.0.0/10")};
    Compiler compiler(ports());
    CHECK(compile(compiler, policy).report.hub_rows == 4);
}

TEST_CASE("compile: the nexthop is fixed where one gateway or blackhole has the whole prefix", "[compile]") {
    Policy policy = two_operators();
    Compiler compiler(ports());
    const auto fixed = [&] {
        const Compiled compiled = compile(compiler, policy);
        const NexthopId id = hub_row(*compiled.tables, "100.65.1.9").nexthop;
        if (id == dataplane::kResolve) return std::string("resolve");
        const Nexthop& nexthop = compiled.tables->nexthops.at(id.index());
        return nexthop.kind == Nexthop::Kind::gateway ? nexthop.gateway4.text() : std::string("blackhole");
    };
    CHECK(fixed() == "192.168.0.2");
    add_route(policy, "minami", "10.1.1.0/24", "minami-line", "192.168.0.3");  // exactly the institution's
    CHECK(fixed() == "192.168.0.3");
    add_route(policy, "minami", "10.1.1.64/26", "minami-line", "192.168.0.3");  // finer
    CHECK(fixed() == "resolve");
    policy.routes.erase("minami 10.1.1.64/26");
    add_route(policy, "minami", "10.1.1.0/24", "", "");
    CHECK(fixed() == "blackhole");
    add_route(policy, "minami", "10.1.1.0/24", "minami-line", "");  // on the link itself
    CHECK(fixed() == "resolve");
    policy.routes.erase("minami 10.1.1.0/24");
    policy.routes.erase("minami 10.0.0.0/8");
    CHECK(fixed() == "resolve");
}

TEST_CASE("compile: link-local prefixes are never among the ways, other subnets are", "[compile]") {
    Policy policy = two_operators();
    policy.attachments["kita-line"].subnet6 = Prefix6::parse("fe80::/64").value();
    Compiler compiler(ports());
    const Compiled compiled = compile(compiler, policy);
    CHECK(compiled.tables->ipv6.where.find(0, address("fe80::7").ipv6()) == lpm::kNoRow);
    const lpm::Row subnet4 = compiled.tables->ipv4.where.find(0, address("192.168.0.7").ipv4());
    REQUIRE(subnet4 != lpm::kNoRow);
    const Nexthop& nexthop = compiled.tables->nexthops.at(subnet4);
    CHECK(nexthop.kind == Nexthop::Kind::connected);
    CHECK(nexthop.attachment == compiler.attachment_id("kita-line"));
    CHECK(compiled.tables->neighbour_hints[subnet4].load() == dataplane::Tables::kNoHint);
}

TEST_CASE("compile: several nexthops of a route are a group, which equal ones share", "[compile]") {
    Policy policy = two_operators();
    Route& route = policy.routes["kita 10.0.0.0/8"];
    REQUIRE(route.nexthops.size() == 1);
    route.nexthops.push_back(route.nexthops[0]);
    route.nexthops[1].gateway = IpAddress::parse("192.168.0.3");
    route.nexthops[1].backup = true;
    add_route(policy, "kita", "11.0.0.0/8", "kita-line", "192.168.0.2");
    policy.routes["kita 11.0.0.0/8"].nexthops = route.nexthops;
    Compiler compiler(ports());
    const Compiled compiled = compile(compiler, policy);
    REQUIRE(compiled.tables->groups.size() == 1);
    const dataplane::NexthopGroup& group = compiled.tables->groups[0];
    REQUIRE(group.size() == 2);
    CHECK(compiled.tables->nexthops[group.member(0).nexthop.index()].gateway4.text() == "192.168.0.2");
    CHECK(compiled.tables->nexthops[group.member(1).nexthop.index()].gateway4.text() == "192.168.0.3");
    CHECK(group.in_use(0b11) == 0b01);
    CHECK(group.in_use(0b10) == 0b10);
}

TEST_CASE("compile: equal nexthops share a number, and keep it", "[compile]") {
    Policy policy = two_operators();
    add_route(policy, "minami", "172.16.0.0/12", "minami-line", "192.168.0.2");
    Compiler compiler(ports());
    const Compiled first = compile(compiler, policy);
    const NexthopId before = hub_row(*first.tables, "100.65.1.9").nexthop;
    CHECK(first.tables->ipv4.where.find(1, address("172.16.0.1").ipv4()) == before.value());
    add_route(policy, "kita", "0.0.0.0/4", "kita-line", "192.168.0.1");  // sorts before all others
    policy.routes.erase("kita 10.0.0.0/8");
    const Compiled second = compile(compiler, policy);
    CHECK(hub_row(*second.tables, "100.65.1.9").nexthop == before);
}

TEST_CASE("compile: each kind of gate closes what it names", "[compile]") {
    const std::pair<GateTarget, const char*> gates[] = {{GateTarget::node, ""},
                                                        {GateTarget::operator_, "kita"},
                                                        {GateTarget::operator_, "minami"},
                                                        {GateTarget::institution, "kita-clinic"},
                                                        {GateTarget::institution, "minami-clinic"},
                                                        {GateTarget::attachment, "kita-line"},
                                                        {GateTarget::agreement, "records"}};
    Compiler compiler(ports());
    for (const auto& [target, name] : gates) {
        Policy policy = two_operators();
        add_gate(policy, "gate", target, name);
        CHECK_FALSE(look_up(compiler, *compile(compiler, policy).tables, from_kita("100.65.1.9")).passes);
        policy.gates["gate"].until = "2026-11-22T12:00:00+09:00";  // up to now
        CHECK(look_up(compiler, *compile(compiler, policy).tables, from_kita("100.65.1.9")).passes);
    }
    Policy policy = two_operators();
    add_gate(policy, "gate", GateTarget::attachment, "minami-line");  // egress is the path's business
    CHECK(look_up(compiler, *compile(compiler, policy).tables, from_kita("100.65.1.9")).passes);
}

TEST_CASE("compile: it says when an agreement or a gate next comes or goes", "[compile]") {
    Policy policy = two_operators();
    Compiler compiler(ports());
    CHECK_FALSE(compile(compiler, policy).report.next_change);
    policy.agreements["records"].from = "2026-11-22T12:00:00+09:00";  // now: no change to come
    policy.agreements["records"].until = "2027-04-01";
    CHECK(compile(compiler, policy).report.next_change == parse_time("2027-04-01").value());
    add_gate(policy, "gate", GateTarget::operator_, "kita").from = "2026-12-01";
    CHECK(compile(compiler, policy).report.next_change == parse_time("2026-12-01").value());
    const auto december = parse_time("2026-12-01").value();
    const Compiled closed = compile(compiler, policy, december);
    CHECK(closed.report.next_change == parse_time("2027-04-01").value());
    CHECK(look_up(compiler, *closed.tables, from_kita("100.65.1.9")).source_closed);
    const Compiled ended = compile(compiler, policy, parse_time("2027-04-01").value());
    CHECK_FALSE(look_up(compiler, *ended.tables, from_kita("100.65.1.9")).forward);
    CHECK_FALSE(ended.report.next_change);
}

TEST_CASE("compile: a published generation does not notice the next one", "[compile]") {
    Policy policy = two_operators();
    Compiler compiler(ports());
    const Compiled first = compile(compiler, policy);
    policy.institutions.erase("minami-clinic");
    policy.agreements.clear();
    policy.routes.clear();
    const Compiled second = compile(compiler, policy);
    CHECK(hub_row(*first.tables, "100.65.1.9").institution == InstitutionId(1));
    CHECK(first.tables->ipv4.where.find(1, address("10.1.1.9").ipv4()) != lpm::kNoRow);
    CHECK(second.tables->ipv4.hub.find(0, address("100.65.1.9").ipv4()) == lpm::kNoRow);
    CHECK(second.tables->ipv4.where.find(1, address("10.1.1.9").ipv4()) == lpm::kNoRow);
    CHECK(second.tables->is_closed(InstitutionId(0)) == false);
}

TEST_CASE("compile: names may be asked for from another thread while it runs", "[compile]") {
    Compiler compiler(ports());
    Policy policy = two_operators();
    compile(compiler, policy);
    std::atomic<bool> done = false;
    std::atomic<int> wrong = 0;
    std::thread asking([&] {
        while (!done) {
            const auto id = compiler.attachment_id("kita-line");
            if (!id || compiler.attachment_name(*id) != "kita-line") ++wrong;
            const std::string name = compiler.institution_name(InstitutionId(2));
            if (!name.empty() && name != "pharmacy") ++wrong;
        }
    });
    for (int i = 0; i < 50; ++i) {
        if (i % 2 == 0)
            add_institution(policy, "pharmacy", "kita", {"100.64.2.0/24"}, {"kita-line"});
        else
            policy.institutions.erase("pharmacy");
        compile(compiler, policy);
    }
    done = true;
    asking.join();
    CHECK(wrong == 0);
}
