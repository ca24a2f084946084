// A small change of a valid policy: what is said of it is what is said of the whole, and its set of prefixes beside a
// naive one.
#include <algorithm>
#include <iostream>
#include <map>
#include <set>

#include <catch2/catch.hpp>

#include "control/calendar.hpp"
#include "tests/control/policy_draft.hpp"
#include "tests/control/policy_edits.hpp"
#include "tests/support/random.hpp"
#include "tests/support/sanitizer.hpp"

using namespace sekisho;
using namespace sekisho::control;
using sekisho::test::Random;

namespace {

Words words_of(const std::vector<Error>& errors) {
    Words words;
    for (const Error& error : errors) words.push_back(error.words);
    return words;
}

std::map<std::string, std::vector<std::string>> members_of(const Behind& behind) {
    std::map<std::string, std::vector<std::string>> members;
    for (const auto& [of, prefixes] : behind)
        prefixes.ipv4.for_each_inside({}, [&, &all = members[of]](const Prefix4& each) {
            all.push_back(each.text());
            return true;
        });
    return members;
}

}  // namespace

TEST_CASE("validate: of a small change the same is said as of the whole, step by step", "[control]") {
    Random random("validate, step by step");
    PolicyEditor editor(random);
    int valid = 0, invalid = 0;
    for (int round = 0; round < 10; ++round) {
        Policy policy = Draft().policy();
        add_port_block(policy);
        HubNumbers numbers;
        REQUIRE(words_of(validate(policy, numbers)) == Words());
        for (int step = 0; step < 100; ++step) {
            Policy next = policy;
            for (std::uint64_t edits = 1 + random.below(2); edits > 0; --edits) editor.edit(next);
            HubNumbers of_whole, of_change = numbers;
            const Words whole = words_of(validate(next, of_whole));
            INFO("round " << round << ", step " << step);
            REQUIRE(words_of(validate_change(policy, next, of_change)) == whole);
            if (!whole.empty()) {
                ++invalid;
                continue;
            }
            ++valid;
            CHECK(of_change.ipv4.size() == of_whole.ipv4.size());
            CHECK(of_change.ipv6.size() == of_whole.ipv6.size());
            CHECK(members_of(of_change.behind) == members_of(of_whole.behind));
            policy = next;
            numbers = of_change;
        }
    }
    std::cout << "validate, step by step: " << valid << " valid, " << invalid << " invalid\n";
    CHECK(valid > 150);
    CHECK(invalid > 100);
}

TEST_CASE("validate: what a small change of lines does to tunnels that stay is found", "[control]") {
    Policy before = Draft().policy();
    const auto line = [&](Policy& policy, const std::string& id, const std::string& subnet) -> Attachment& {
        Attachment added = policy.attachments.at("kita-1");
        added.id = id;
        added.vlan = static_cast<std::uint16_t>(2000 + policy.attachments.size());
        added.family = FamilyChoice::ipv4;
        added.subnet4 = prefix_from(subnet).ipv4();
        added.ipv4 = Ipv4Address(added.subnet4.address().value() + (added.subnet4.length() < 31 ? 1 : 0));
        added.ipv6.reset();
        return policy.attachments[id] = added;
    };
    const auto tunnel = [&](Policy& policy, const std::string& id, const std::string& own, const std::string& peer) {
        Attachment& user = line(policy, id, own);
        user.tunnel = id;
        user.protection = Protection::esp;
        user.mtu = 0;
        Tunnel& added = policy.tunnels[id];
        added.id = id;
        added.underlay = "under";
        added.peer = Ipv4Address::parse(peer).value();
        added.selectors = {{Prefix4(), Prefix4()}};
        added.udp = UdpEncapsulation{4500, 4500, 0};
    };
    line(before, "under", "198.18.0.0/24").underlay = true;
    Route route{"kita", prefix_from("203.0.113.0/24"), false, {}};
    route.nexthops.push_back({"under", IpAddress(Ipv4Address::parse("198.18.0.9").value()), false});
    before.routes[route.id()] = route;
    route.prefix = prefix_from("203.0.114.0/24");
    before.routes[route.id()] = route;
    tunnel(before, "far", "198.19.0.1/32", "203.0.113.77");
    before.attachments["far"].mtu = 1280;
    before.operators["kita"].network_namespace = "of-kita";
    line(before, "with-tap", "198.18.2.0/24").kernel_interface = "tap";
    HubNumbers numbers;
    REQUIRE(words_of(validate(before, numbers)).empty());

    const auto said = [&](const auto& change) {
        Policy policy = before;
        change(policy);
        HubNumbers of_whole, of_change = numbers;
        const Words whole = words_of(validate(policy, of_whole));
        CHECK(words_of(validate_change(before, policy, of_change)) == whole);
        return whole.empty() ? "" : whole.front();
    };
    CHECK(said([&](Policy& policy) { tunnel(policy, "near", "198.19.0.2/32", "198.18.0.5"); }).empty());
    CHECK_THAT(said([&](Policy& policy) { line(policy, "between", "203.0.113.64/26"); }),
               Catch::Contains("leads to 203.0.113.77 by attachment \"between\""));
    CHECK_THAT(said([&](Policy& policy) {
                   tunnel(policy, "near", "198.19.0.2/32", "198.18.0.5");
                   policy.tunnels["near"].udp->local_port = 4501;
               }),
               Catch::Contains("on the same underlay"));
    CHECK_THAT(said([&](Policy& policy) { line(policy, "same-subnet", "203.0.114.0/24"); }),
               Catch::Contains("203.0.114.0/24 is the subnet of"));
    CHECK(said([&](Policy& policy) { line(policy, "more", "198.18.1.0/24").underlay = true; }).empty());
    CHECK(said([&](Policy& policy) { policy.attachments["under"].mtu = 1480; }).empty());
    CHECK_THAT(said([&](Policy& policy) { policy.attachments["under"].mtu = 1300; }),
               Catch::Contains("attachments \"far\" .mtu: 1280 is more than the"));
    CHECK_THAT(said([&](Policy& policy) {
                   policy.attachments.erase("under");
                   for (const char* const id : {"kita 203.0.113.0/24", "kita 203.0.114.0/24"}) policy.routes.erase(id);
               }),
               Catch::Contains("tunnels \"far\" .underlay: there is no attachment \"under\""));
    CHECK(said([&](Policy& policy) { line(policy, "other", "198.18.3.0/24").kernel_interface = "tap-2"; }).empty());
    CHECK_THAT(said([&](Policy& policy) { line(policy, "other", "198.18.3.0/24").kernel_interface = "tap"; }),
               Catch::Contains("\"tap\" is that of attachments \"other\" already"));
    CHECK_THAT(said([&](Policy& policy) { line(policy, "more", "10.1.9.0/24").underlay = true; }),
               Catch::Contains("by the underlay \"more\" overlaps 10.1.0.0/16"));
}

TEST_CASE("warnings: of a small change they are about what it changes", "[control]") {
    const Policy before = Draft().policy();
    const auto now = parse_time("2026-05-01").value();
    Policy policy = before;
    Agreement& ended = policy.agreements["ended"];
    ended = before.agreements.at("kita-tanaka");
    ended.id = "ended";
    ended.until = "2026-04-30";
    const Words told = warnings_of_change(before, policy, now);
    REQUIRE(told.size() == 1);
    CHECK(told[0].find("\"ended\"") != std::string::npos);
    CHECK(warnings_of_change(policy, policy, now).empty());
    CHECK(warnings(policy, now) == told);
}

TEST_CASE("prefix set: beside a naive one, copies keep what they had", "[control]") {
    Random random("prefix set");
    PrefixSet<Ipv4Address> set, copy;
    std::set<Prefix4> naive, naive_copy;
    for (int step = 0; step < (sekisho::test::kSanitized ? 5'000 : 20'000); ++step) {
        const int length = 20 + static_cast<int>(random.below(13));
        const Prefix4 one(Ipv4Address(static_cast<std::uint32_t>(10U << 24 | random.below(1 << 20))), length);
        const auto meets = [&](const Prefix4& other) { return other.overlaps(one); };
        const bool covered =
            std::any_of(naive.begin(), naive.end(), [&](const Prefix4& other) { return other.contains(one); });
        REQUIRE(set.covers(one) == covered);
        const bool met = std::any_of(naive.begin(), naive.end(), meets);
        REQUIRE(set.meets(one) == met);
        if (random.below(3) == 0) {
            REQUIRE(set.erase(one) == (naive.erase(one) == 1));
            if (!naive.empty() && random.below(2) == 0) {
                const auto gone = naive.lower_bound(one);
                if (gone != naive.end()) {
                    REQUIRE(set.erase(*gone));
                    naive.erase(gone);
                }
            }
        } else {
            REQUIRE(set.insert(one) == !met);
            if (!met) naive.insert(one);
        }
        REQUIRE(set.size() == naive.size());
        if (step % 4000 == 1000) {
            copy = set;
            naive_copy = naive;
        }
    }
    REQUIRE(copy.size() == naive_copy.size());
    for (const Prefix4& one : naive_copy) REQUIRE(copy.covers(one));
}
