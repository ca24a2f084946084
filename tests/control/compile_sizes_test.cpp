// The sizes that one node is made for, and what is refused beyond them. Times are printed, never asserted: machines
// differ, and scripts/bench is where they are compared. What has the tag [sizes] differs from the other tests in its
// size only, and under the sanitizers waits for scripts/test --long.
#include <chrono>
#include <iostream>
#include <random>

#include <catch2/catch.hpp>
#include <fmt/format.h>

#include "tests/control/compile_support.hpp"

using namespace sekisho;
using namespace sekisho::control;
using namespace sekisho::control::test;

namespace {

constexpr std::uint32_t kOperators = 256;
constexpr std::uint32_t kInstitutions = 50'000;  // a prefix of each family: 100,000 rows
constexpr std::uint32_t kAgreements = 10'000;

std::string op(std::uint64_t n) {
    return fmt::format("operator-{:03}", n % kOperators);
}
std::string institution(std::uint64_t n) {
    return fmt::format("institution-{:06}", n % kInstitutions);
}
// In hub space, by the institution's number: operator n has 4096 /24 in its own /12.
Prefix4 hub_prefix(std::uint64_t n) {
    return {Ipv4Address(static_cast<std::uint32_t>((n % kOperators) << 20 | (n / kOperators) << 8)), 24};
}

// All but the agreements.
Policy large() {
    Policy policy;
    for (std::uint32_t n = 0; n < kOperators; ++n) {
        add_operator(policy, op(n));
        for (std::uint32_t i = 0; i < 4; ++i) {
            Attachment& line = policy.attachments[fmt::format("line-{:03}-{}", n, i)];
            line.id = fmt::format("line-{:03}-{}", n, i);
            line.operator_id = op(n);
            line.port = fmt::format("p{}", i);
            line.vlan = static_cast<std::uint16_t>(1 + n);
            line.subnet4 = Prefix4(Ipv4Address(192U << 24 | 168U << 16 | i << 8), 24);
            line.ipv4 = Ipv4Address(line.subnet4.address().value() + 1);
            line.link_local = Ipv6Address(0xfe80'0000'0000'0000ULL, 1);
        }
        const Prefix4 inside4(Ipv4Address(10U << 24), 12);
        const Prefix6 inside6(Ipv6Address(0xfd00'0000'0000'0000ULL, 0), 40);
        policy.translations[fmt::format("4-{}", n)] = {"", op(n), TranslationKind::prefix_map, inside4,
                                                       Prefix4(Ipv4Address(n << 20), 12)};
        policy.translations[fmt::format("6-{}", n)] = {
            "", op(n), TranslationKind::prefix_map, inside6,
            Prefix6(Ipv6Address(0x2001'0d00'0000'0000ULL | std::uint64_t{n} << 24, 0), 40)};
        for (std::uint32_t i = 0; i < 80; ++i) {
            Route route{op(n), Prefix4(Ipv4Address(10U << 24 | i << 12), 20), false, {}};
            route.nexthops.push_back({fmt::format("line-{:03}-{}", n, i % 4),
                                      Ipv4Address(192U << 24 | 168U << 16 | (i % 4) << 8 | 2), false});
            policy.routes[route.id()] = route;
        }
    }
    for (std::uint32_t n = 0; n < kInstitutions; ++n) {
        Institution& added = policy.institutions[institution(n)];
        added.id = institution(n);
        added.operator_id = op(n);
        added.prefixes = {
            hub_prefix(n),
            Prefix6(Ipv6Address(0x2001'0d00'0000'0000ULL | std::uint64_t{n % kOperators} << 24 | n / kOperators, 0),
                    64)};
        added.links.emplace_back().attachments = {fmt::format("line-{:03}-{}", n % kOperators, n % 4)};
    }
    return policy;
}

void print(const char* what, const CompileReport& report) {
    std::cout << fmt::format(
        "{}: {} ms; {} who, {} hub, {} where rows; {} port classes, {} permissions; matrices {} KiB, tables {} KiB\n",
        what, report.time.count() / 1000, report.who_rows, report.hub_rows, report.where_rows, report.port_classes,
        report.permissions, report.matrix_bytes / 1024, report.table_bytes / 1024);
}

}  // namespace

TEST_CASE("compile: 256 operators, 1,024 attachments, 100,000 rows and 10,000 agreements", "[compile][sizes]") {
    Policy policy = large();
    std::mt19937 random(1);
    for (std::uint32_t n = 0; n < kAgreements; ++n) {
        const auto port = static_cast<std::uint16_t>(n % 3 == 0 ? 443 : 1 + random() % 100);
        Agreement& added = add_agreement(policy, fmt::format("agreement-{:05}", n), Protocol::tcp, {{port, port}});
        if (n % 2 == 0)
            added.client_operators = {op(random())};
        else
            added.client_institutions = {institution(random()), institution(random())};
        if (n % 5 == 0)
            added.service_prefixes = {Prefix4(hub_prefix(random() % kInstitutions).address(), 26)};
        else
            added.service_institutions = {institution(random())};
    }
    Compiler compiler(ports());
    const Compiled first = compile(compiler, policy);
    print("all of it", first.report);
    CHECK(first.report.who_rows >= 100'000);
    CHECK(first.report.where_rows == 256 * 84);
    CHECK(first.tables->attachments.size() == 1024);

    policy.agreements.at(policy.agreements.begin()->first).ports = {{8443, 8443}};
    const Compiled second = compile(compiler, policy);
    print("again, with one agreement changed", second.report);
    CHECK(second.report.who_rows == first.report.who_rows);

    for (std::uint32_t i = 0; i < 2000; ++i) {
        const std::uint64_t from = random() % kInstitutions;
        const Question question{fmt::format("line-{:03}-{}", from % kOperators, from % 4),
                                Ipv4Address(10U << 24 | (hub_prefix(from).address().value() & 0xfffff) | i % 256),
                                Ipv4Address(hub_prefix(random() % kInstitutions).address().value() | i % 256)};
        if (i % 100 == 0) {
            INFO(question);
            REQUIRE(look_up(compiler, *second.tables, question) == decide(policy, kNow, question));
        }
        REQUIRE(look_up(compiler, *second.tables, question).source_institution == institution(from));
    }
}

TEST_CASE("compile: 131,072 tunnels beside 1,024 lines", "[compile][sizes]") {
    constexpr std::uint32_t kTunnels = 131'072;
    Policy policy = large();
    const auto name_of = [](std::uint32_t n) { return fmt::format("tunnel-{:06}", n); };
    for (std::uint32_t n = 0; n < kTunnels; ++n) {
        const std::string name = name_of(n);
        if (n < kOperators) {
            Attachment& underlay = policy.attachments[fmt::format("underlay-{:03}", n)];
            underlay = policy.attachments.at(fmt::format("line-{:03}-0", n));
            underlay.id = fmt::format("underlay-{:03}", n);
            underlay.vlan = static_cast<std::uint16_t>(1000 + n);
            underlay.underlay = true;
            underlay.subnet4 = Prefix4(Ipv4Address(198U << 24 | 18U << 16), 16);
            underlay.ipv4 = Ipv4Address(underlay.subnet4.address().value() + 1);
        }
        Tunnel& tunnel = policy.tunnels[name];
        tunnel.id = name;
        tunnel.underlay = fmt::format("underlay-{:03}", n % kOperators);
        tunnel.peer = Ipv4Address(198U << 24 | 18U << 16 | (n / kOperators + 2));
        tunnel.selectors = {{Prefix4(), Prefix4()}};
        Attachment& path = policy.attachments[name];
        path.id = name;
        path.operator_id = op(n);
        path.tunnel = name;
        path.protection = Protection::esp;
        path.mtu = 0;
        path.subnet4 = Prefix4(Ipv4Address(198U << 24 | 19U << 16 | n / kOperators), 32);
        path.ipv4 = path.subnet4.address();
    }
    // Every second institution comes by two tunnels: as many different sets.
    for (std::uint32_t n = 0; n < kInstitutions; n += 2)
        policy.institutions.at(institution(n)).links[0].attachments = {
            name_of(n), name_of((n + kOperators * (n / kOperators % 7 + 1)) % kTunnels)};

    Compiler compiler(ports());
    const Compiled compiled = compile(compiler, policy);
    print("131,072 tunnels", compiled.report);
    REQUIRE(compiled.tables->attachments.size() == 1024 + kOperators + kTunnels);
    CHECK(compiled.tables->lines.size() == 1024 + kOperators);
    for (std::uint32_t n = 0; n < kTunnels; n += 997) {
        const AttachmentId id = compiler.attachment_id(name_of(n)).value();
        const TunnelId tunnel = compiled.tables->attachments[id.index()].tunnel;
        INFO(name_of(n));
        CHECK(compiler.tunnel_name(tunnel) == name_of(n));
        CHECK(compiled.tables->tunnels[tunnel.index()].attachment == id);
        CHECK(compiled.tables->tunnels[tunnel.index()].peer == policy.tunnels.at(name_of(n)).peer);
    }
    for (std::uint32_t n = 0; n < kInstitutions; n += 1000)
        for (const std::uint32_t by : {n, n + kOperators}) {
            const Question question{name_of(by), Ipv4Address(10U << 24 | (hub_prefix(n).address().value() & 0xfffff)),
                                    hub_prefix(n + 1).address()};
            INFO(question);
            CHECK(look_up(compiler, *compiled.tables, question) == decide(policy, kNow, question));
        }
}

TEST_CASE("compile: ten thousand agreements of one kind cost as much as one", "[compile][sizes]") {
    Policy policy = large();
    for (std::uint32_t n = 0; n < kAgreements; ++n) {
        Agreement& added = add_agreement(policy, fmt::format("agreement-{:05}", n), Protocol::tcp, {{443, 443}});
        for (std::uint32_t client = 0; client < kOperators; ++client) added.client_operators.push_back(op(client));
        added.service_institutions = {institution(n)};
    }
    Compiler compiler(ports());
    const Compiled compiled = compile(compiler, policy);
    print("everybody to 10,000 services", compiled.report);
    CHECK(compiled.report.permissions <= 4);
    // Of which 128 KiB are the way back: a group for each of 256 operators, in the column map of each.
    CHECK(compiled.report.matrix_bytes < 192 * 1024);
}

TEST_CASE("compile: a matrix that is too large is refused, and the agreements that cause it are named", "[compile]") {
    Policy policy = large();
    std::mt19937 random(2);
    // One agreement between everybody and everybody, where thousands of others tell most of them apart.
    for (std::uint32_t n = 0; n < kAgreements; ++n) {
        Agreement& added =
            add_agreement(policy, fmt::format("single-{:05}", n), Protocol::udp,
                          {{static_cast<std::uint16_t>(n), static_cast<std::uint16_t>(n + random() % 1000)}});
        added.client_institutions = {institution(random()), institution(random()), institution(random())};
        added.service_institutions = {institution(random()), institution(random())};
    }
    Agreement& everybody = add_agreement(policy, "everybody", Protocol::icmp_echo);
    for (std::uint32_t n = 0; n < kOperators; ++n) everybody.client_operators.push_back(op(n));
    for (std::uint32_t n = 0; n < kInstitutions; ++n) everybody.service_institutions.push_back(institution(n));

    Compiler compiler(ports());
    const auto begin = std::chrono::steady_clock::now();
    const auto compiled = compiler.compile(policy, 1, kNow);
    std::cout << "refused after "
              << std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - begin).count()
              << " ms\n";
    REQUIRE_FALSE(compiled);
    CHECK(compiled.error().code == ErrorCode::limit);
    CHECK_THAT(compiled.error().words, Catch::Contains("most is due to agreements \"everybody\", \"single-"));
}
