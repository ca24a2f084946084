// Port blocks compiled: rows that lead to one another, pools that outlive generations, and cells for who is behind.
#include <catch2/catch.hpp>

#include "tests/control/compile_support.hpp"

using namespace sekisho;
using namespace sekisho::control;
using namespace sekisho::control::test;
using dataplane::Tables;

namespace {

// two_operators(), with a pharmacy of kita's behind two addresses that reaches minami's clinic.
Policy shared() {
    Policy policy = two_operators();
    policy.agreements["records"].state = AgreementState::tracked;
    policy.translations.erase("kita-4");
    add_translation(policy, "kita-4", "kita", "10.1.0.0/16", "100.64.0.0/16");
    Translation& block = add_translation(policy, "kita-shared", "kita", "10.9.0.0/16", "100.90.0.0/31");
    block.kind = TranslationKind::port_block;
    block.port_block.subscribers = 1;
    block.port_block.static_maps = {
        {Protocol::tcp, *Ipv4Address::parse("100.90.0.1"), 8443, *Ipv4Address::parse("10.9.1.9"), 443}};
    add_institution(policy, "pharmacy", "kita", {}, {"kita-line"}).operator_prefixes = {prefix("10.9.1.0/24")};
    policy.agreements["records"].client_institutions.push_back("pharmacy");
    return policy;
}

}  // namespace

TEST_CASE("compile: who is behind a port block has a row that leads to its own, and the pool one that says so",
          "[compile]") {
    Compiler compiler(ports());
    const Compiled compiled = compile(compiler, shared());
    const Tables& tables = *compiled.tables;
    const auto& family = tables.ipv4;
    REQUIRE(tables.port_pools.size() == 1);
    CHECK(tables.port_pools[0].shares->name() == "kita-shared");
    CHECK(compiler.vrf_name(tables.port_pools[0].vrf) == "kita");
    CHECK(tables.port_pools[0].rules == nat::PortRules{});

    const lpm::Row pool = family.hub.find(0, *Ipv4Address::parse("100.90.0.1"));
    REQUIRE(pool != lpm::kNoRow);
    CHECK(family.hub_rows[pool].is_pool());
    CHECK(compiler.vrf_name(family.hub_rows[pool].vrf) == "kita");

    const auto vrf = tables.port_pools[0].vrf;
    const lpm::Row who = family.who.find(vrf.value(), *Ipv4Address::parse("10.9.1.7"));
    REQUIRE(who != lpm::kNoRow);
    REQUIRE(family.who_rows[who].is_behind());
    CHECK(compiler.institution_name(family.who_rows[who].institution) == "pharmacy");
    const auto& behind = family.hub_rows.at(family.who_rows[who].behind);
    CHECK(behind.institution == family.who_rows[who].institution);
    CHECK(behind.vrf == vrf);
    CHECK(behind.pool == 1);
    // Beside it, nobody.
    CHECK(family.who.find(vrf.value(), *Ipv4Address::parse("10.9.2.7")) == lpm::kNoRow);
    // Its cell to the clinic lets it open, with the port of the agreement.
    const lpm::Row clinic = family.hub.find(0, *Ipv4Address::parse("100.65.1.7"));
    REQUIRE(clinic != lpm::kNoRow);
    CHECK_FALSE(family.hub_rows[clinic].is_pool());
    const auto cell = tables.matrices[vrf.index()].cell(family.who_rows[who].matrix_row, family.hub_rows[clinic].group);
    CHECK(tables.permissions.tracked(cell, tables.tcp_classes.of(443)));
    CHECK_FALSE(tables.permissions.tracked(cell, tables.tcp_classes.of(444)));

    const nat::StaticMap* const map =
        tables.static_maps.by_outside({*Ipv4Address::parse("100.90.0.1"), 8443}, nat::PortProtocol::tcp);
    REQUIRE(map != nullptr);
    CHECK(map->inside == nat::Endpoint{*Ipv4Address::parse("10.9.1.9"), 443});
    CHECK(map->space == dataplane::space_of(vrf));
}

TEST_CASE("compile: a pool is the same in the next generation, with other rules too, and another with other addresses",
          "[compile]") {
    Compiler compiler(ports());
    Policy policy = shared();
    const Compiled first = compile(compiler, policy);
    policy.translations["kita-shared"].port_block.blocks = 7;
    policy.translations["kita-shared"].port_block.filtering = nat::Filtering::endpoint_independent;
    const Compiled second = compile(compiler, policy);
    CHECK(second.tables->port_pools[0].shares == first.tables->port_pools[0].shares);
    CHECK(second.tables->port_pools[0].rules.blocks_each == 7);
    policy.translations["kita-shared"].hub_prefix = prefix("100.90.0.0/30");
    const Compiled third = compile(compiler, policy);
    CHECK(third.tables->port_pools[0].shares != first.tables->port_pools[0].shares);
    // As long as tables hold it, an old one comes back; after that it is a new one, which has lent nothing.
    policy.translations["kita-shared"].hub_prefix = prefix("100.90.0.0/31");
    CHECK(compile(compiler, policy).tables->port_pools[0].shares == first.tables->port_pools[0].shares);
    CHECK(first.tables->port_pools[0].shares->lent_in(first.tables->epoch()));
    CHECK_FALSE(first.tables->port_pools[0].shares->lent_in(first.tables->epoch() - 1));
}

TEST_CASE("compile: each worker has a share of a pool", "[compile]") {
    NodePorts three = ports();
    three.workers = 3;
    Compiler compiler(three);
    CHECK(compile(compiler, shared()).tables->port_pools[0].shares->workers() == 3);
}

TEST_CASE("compile: an institution's prefix that no port block covers is refused, and so are maps that contradict",
          "[compile]") {
    Compiler compiler(ports());
    const auto refused = [&](auto change) {
        Policy policy = shared();
        change(policy);
        const auto compiled = compiler.compile(policy, 1, kNow);
        REQUIRE_FALSE(compiled);
        return compiled.error().words;
    };
    CHECK(refused([](Policy& p) { p.institutions["pharmacy"].operator_prefixes = {prefix("10.8.0.0/24")}; }) ==
          "institutions \"pharmacy\": no port block of operator \"kita\" covers 10.8.0.0/24");
    CHECK(refused([](Policy& p) {
              auto& maps = p.translations["kita-shared"].port_block.static_maps;
              maps.push_back(maps.front());
          }) == "translations: static map 100.90.0.1 port 8443 stands twice");
}

TEST_CASE("compile: the timers of the document are the tables'", "[compile]") {
    Compiler compiler(ports());
    Policy policy = two_operators();
    policy.timers.udp = 150;
    CHECK(compile(compiler, policy).tables->timeouts.udp == 150);
}

TEST_CASE("compile: where the operator has no port block, those behind one are nobody here", "[compile]") {
    Compiler compiler(ports());
    Policy policy = shared();
    policy.translations.erase("kita-shared");
    const Compiled compiled = compile(compiler, policy);
    CHECK(compiled.tables->port_pools.empty());
    CHECK(compiled.tables->ipv4.who.find(0, *Ipv4Address::parse("10.9.1.7")) == lpm::kNoRow);
}

TEST_CASE("compile: beside a port block a small change is small, and who is behind it goes on as before", "[compile]") {
    Compiler compiler(ports());
    Policy policy = shared();
    const Compiled before = compile(compiler, policy);
    const auto vrf = before.tables->port_pools[0].vrf;
    const auto may_open = [&](const Tables& tables) {
        const auto& family = tables.ipv4;
        const lpm::Row who = family.who.find(vrf.value(), *Ipv4Address::parse("10.9.1.7"));
        const lpm::Row clinic = family.hub.find(0, *Ipv4Address::parse("100.65.1.7"));
        REQUIRE(who != lpm::kNoRow);
        REQUIRE(family.who_rows[who].is_behind());
        CHECK(family.hub_rows.at(family.who_rows[who].behind).pool == 1);
        const auto cell =
            tables.matrices[vrf.index()].cell(family.who_rows[who].matrix_row, family.hub_rows[clinic].group);
        return tables.permissions.tracked(cell, tables.tcp_classes.of(443));
    };
    add_institution(policy, "office", "kita", {"100.64.3.0/24"}, {"kita-line"});
    const Compiled moved = compile(compiler, policy);
    CHECK(moved.report.from_last);
    CHECK(moved.tables->port_pools.size() == 1);
    CHECK(may_open(*moved.tables));
    add_agreement(policy, "portal", Protocol::tcp, {{80, 80}}).client_institutions = {"office"};
    policy.agreements["portal"].service_institutions = {"minami-clinic"};
    const Compiled agreed = compile(compiler, policy);
    CHECK(agreed.report.from_last);
    CHECK(may_open(*agreed.tables));

    // What is about it is compiled whole.
    policy.agreements["records"].client_institutions.clear();
    policy.agreements["records"].client_operators.clear();
    policy.agreements["records"].client_institutions = {"kita-clinic"};
    const Compiled without = compile(compiler, policy);
    CHECK_FALSE(without.report.from_last);
    CHECK_FALSE(may_open(*without.tables));
    policy.institutions["pharmacy"].operator_prefixes = {prefix("10.9.2.0/24")};
    CHECK_FALSE(compile(compiler, policy).report.from_last);
}
