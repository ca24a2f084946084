// Port blocks compiled: rows that lead to one another, pools that outlive generations, and cells for who is behind.
#include <algorithm>

#include <catch2/catch.hpp>
#include <fmt/format.h>

#include "tests/control/compile_support.hpp"
#include "tests/support/random.hpp"

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

    // So is one about it: it loses its agreement, moves, goes, and comes back with more.
    policy.agreements["records"].client_operators.clear();
    policy.agreements["records"].client_institutions = {"kita-clinic"};
    const Compiled without = compile(compiler, policy);
    CHECK(without.report.from_last);
    CHECK_FALSE(may_open(*without.tables));
    CHECK(may_open(*before.tables));
    policy.institutions["pharmacy"].operator_prefixes = {prefix("10.9.2.0/24")};
    const Compiled other = compile(compiler, policy);
    CHECK(other.report.from_last);
    CHECK(other.tables->ipv4.who.find(vrf.value(), *Ipv4Address::parse("10.9.1.7")) == lpm::kNoRow);
    CHECK(other.report.who_rows == without.report.who_rows);
    CHECK(other.report.hub_rows == without.report.hub_rows);
    policy.institutions.erase("pharmacy");
    const Compiled gone = compile(compiler, policy);
    CHECK(gone.report.from_last);
    CHECK(gone.report.who_rows + 1 == other.report.who_rows);
    CHECK(gone.report.hub_rows == other.report.hub_rows);
    add_institution(policy, "pharmacy", "kita", {}, {"kita-line"}).operator_prefixes = {prefix("10.9.1.0/24"),
                                                                                        prefix("10.9.3.0/24")};
    policy.agreements["records"].client_institutions.push_back("pharmacy");
    const Compiled back = compile(compiler, policy);
    CHECK(back.report.from_last);
    CHECK(may_open(*back.tables));
    CHECK(back.report.who_rows == gone.report.who_rows + 2);
    // A block that covers it no more is an error, from here as from nothing.
    policy.institutions["pharmacy"].operator_prefixes = {prefix("10.8.0.0/24")};
    const auto refused = compiler.compile(policy, 2, kNow);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().words == "institutions \"pharmacy\": no port block of operator \"kita\" covers 10.8.0.0/24");
}

namespace {

// What the tables say of an address of kita's that may be behind a block.
struct Told {
    std::string institution;
    std::string hub_institution;
    std::string pool;
    bool named_by_link = false;
    std::vector<bool> may;  // by port of the clinic
    dataplane::Nexthop::Kind way = dataplane::Nexthop::Kind::blackhole;

    friend bool operator==(const Told&, const Told&) = default;
};

Told told(const Compiler& compiler, const Tables& tables, const std::string& source) {
    Told told;
    const auto& family = tables.ipv4;
    const VrfId vrf = compiler.vrf_id("kita").value();
    const lpm::Row who = family.who.find(vrf.value(), *Ipv4Address::parse(source));
    if (who == lpm::kNoRow) return told;
    const auto& row = family.who_rows[who];
    told.institution = compiler.institution_name(row.institution);
    told.named_by_link = tables.attachment_sets.has(row.attachments, compiler.attachment_id("kita-line").value());
    if (row.is_behind()) {
        const auto& hub = family.hub_rows.at(row.behind);
        told.hub_institution = compiler.institution_name(hub.institution);
        told.pool = tables.port_pools.at(hub.pool - 1U).shares->name();
        if (hub.nexthop != dataplane::kResolve) told.way = tables.nexthops[hub.nexthop.index()].kind;
    }
    const lpm::Row clinic = family.hub.find(0, *Ipv4Address::parse("100.65.1.7"));
    const auto cell = tables.matrices[vrf.index()].cell(row.matrix_row, family.hub_rows[clinic].group);
    for (std::uint16_t port = 440; port < 446; ++port)
        told.may.push_back(tables.permissions.tracked(cell, tables.tcp_classes.of(port)));
    return told;
}

// Whose pool a hub-space address is of, or "".
std::string pool_at(const Compiler& compiler, const Tables& tables, const std::string& address) {
    const auto& family = tables.ipv4;
    const lpm::Row hub = family.hub.find(0, *Ipv4Address::parse(address));
    if (hub == lpm::kNoRow || !family.hub_rows[hub].is_pool()) return "";
    const auto& row = family.hub_rows[hub];
    const auto& pool = tables.port_pools.at(row.pool - 1U);
    CHECK(row.nexthop == dataplane::kResolve);
    CHECK(row.vrf == pool.vrf);
    return fmt::format("{} of {}, {} blocks each", pool.shares->name(), compiler.vrf_name(row.vrf),
                       pool.rules.blocks_each);
}

Translation& add_block(Policy& policy, const std::string& id, const std::string& inside, const std::string& hub) {
    Translation& block = add_translation(policy, id, "kita", inside, hub);
    block.kind = TranslationKind::port_block;
    block.port_block.subscribers = 1;
    return block;
}

// 10.7.0.0/16 is behind one port block, or each half of what is used of it behind one; 10.9.0.0/16 behind another.
void add_blocks(Policy& policy, bool halves) {
    add_block(policy, "kita-shared", "10.9.0.0/16", "100.90.0.0/31");
    add_block(policy, "kita-more", halves ? "10.7.32.0/19" : "10.7.0.0/16", "100.91.0.0/31");
    policy.translations.erase("kita-halves");
    if (halves) add_block(policy, "kita-halves", "10.7.0.0/19", "100.92.0.0/31");
}

// Blocks that come, go and change; never such that somebody of kita's is behind none of them.
void edit_blocks(Policy& policy, std::uint32_t choice) {
    const auto more = policy.translations.find("kita-more");
    if (more == policy.translations.end()) return add_blocks(policy, choice % 2 == 0);
    switch (choice) {
        case 0:
            for (const char* const id : {"kita-shared", "kita-more", "kita-halves"}) policy.translations.erase(id);
            return;
        case 1: add_blocks(policy, !policy.translations.contains("kita-halves")); return;
        case 2:
            policy.translations["kita-more"].hub_prefix =
                prefix(more->second.hub_prefix == prefix("100.91.0.0/31") ? "100.91.0.2/31" : "100.91.0.0/31");
            return;
        case 3: policy.translations["kita-more"].port_block.blocks ^= 3; return;
        default: {
            auto& maps = policy.translations["kita-shared"].port_block.static_maps;
            if (maps.empty())
                maps.push_back(
                    {Protocol::tcp, *Ipv4Address::parse("100.90.0.1"), 8443, *Ipv4Address::parse("10.9.10.9"), 443});
            else
                maps.clear();
        }
    }
}

}  // namespace

TEST_CASE("compile: edits of port blocks and those behind come to the same as compiling afresh", "[compile][steps]") {
    sekisho::test::Random random("behind port blocks, step by step");
    const auto below = [&](std::uint32_t limit) { return static_cast<std::uint32_t>(random.below(limit)); };
    int from_last = 0, steps = 0, behind = 0;
    for (int round = 0; round < 10; ++round) {
        Policy policy = shared();
        add_blocks(policy, false);
        Compiler compiler(ports());
        for (int step = 0; step < 40; ++step, ++steps) {
            const std::uint32_t number = below(6);
            const std::string name = "hidden-" + std::to_string(number);
            auto& agreed = policy.agreements["records"].client_institutions;
            switch (below(10)) {
                case 7:
                case 8:
                case 9: edit_blocks(policy, below(5)); break;
                case 0:
                    policy.institutions.erase(name);
                    std::erase(agreed, name);
                    break;
                case 1: std::erase(agreed, name); break;
                case 2:
                    if (policy.institutions.contains(name) && std::count(agreed.begin(), agreed.end(), name) == 0)
                        agreed.push_back(name);
                    break;
                case 3:
                    add_agreement(policy, "all", Protocol::tcp, {{445, 445}}).client_operators = {"kita"};
                    policy.agreements["all"].service_institutions = {"minami-clinic"};
                    policy.agreements["all"].state = AgreementState::tracked;
                    break;
                case 4: policy.agreements.erase("all"); break;
                default: {
                    Institution& hidden = add_institution(policy, name, "kita", {}, {});
                    hidden.operator_prefixes.clear();
                    hidden.links = {{LinkMethod::ip_vpn, "", {}}};
                    if (below(2) == 0) hidden.links[0].attachments = {"kita-line"};
                    for (std::uint32_t i = 0; i <= below(2); ++i)
                        hidden.operator_prefixes.push_back(
                            prefix(fmt::format("10.{}.{}.0/24", below(2) == 0 ? 7 : 9, 10 + 8 * number + 2 * i)));
                }
            }
            const Compiled stepped = compile(compiler, policy);
            from_last += stepped.report.from_last ? 1 : 0;
            Compiler other(ports());
            const Compiled afresh = compile(other, policy);
            INFO("round " << round << ", step " << step);
            CHECK(stepped.report.who_rows == afresh.report.who_rows);
            CHECK(stepped.report.hub_rows == afresh.report.hub_rows);
            for (int host = 0; host < 4; ++host)
                for (const int net : {90, 91, 92}) {
                    const std::string address = fmt::format("100.{}.0.{}", net, host);
                    CHECK(pool_at(compiler, *stepped.tables, address) == pool_at(other, *afresh.tables, address));
                }
            const nat::Endpoint door{*Ipv4Address::parse("100.90.0.1"), 8443};
            CHECK((stepped.tables->static_maps.by_outside(door, nat::PortProtocol::tcp) != nullptr) ==
                  (afresh.tables->static_maps.by_outside(door, nat::PortProtocol::tcp) != nullptr));
            for (const int net : {7, 9})
                for (int third = 0; third < 64; third += 2) {
                    const std::string source = fmt::format("10.{}.{}.77", net, third);
                    const Told now = told(compiler, *stepped.tables, source);
                    behind += now.pool.empty() ? 0 : 1;
                    if (!(now == told(other, *afresh.tables, source))) FAIL_CHECK(source);
                }
        }
    }
    CHECK(from_last == steps - 10);
    CHECK(behind > steps);
}
