// The plan of hub numbers: overlaps with both sides named, rest before another operator, and what may leave the plan.
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "control/allocations.hpp"
#include "control/calendar.hpp"
#include "control/validate.hpp"
#include "tests/control/policy_draft.hpp"

using namespace sekisho;
using namespace sekisho::control;
using nlohmann::json;

namespace {

json allocation(const std::string& id, const std::string& of, const std::string& prefix, const std::string& from = "",
                const std::string& released = "") {
    json object = {{"id", id}, {"operator", of}, {"prefix", prefix}};
    if (!from.empty()) object["from"] = from;
    if (!released.empty()) object["released"] = released;
    return object;
}

// Each of the example's operators has what its translations use.
Draft planned() {
    Draft draft;
    draft.set("/allocations", json::array());
    int number = 0;
    for (const auto& [of, prefix] : std::vector<std::pair<const char*, const char*>>{{"kita", "100.64.0.0/16"},
                                                                                     {"kita", "2001:db8:8001::/48"},
                                                                                     {"minami", "100.65.0.0/16"},
                                                                                     {"minami", "2001:db8:8002::/48"},
                                                                                     {"chuo", "100.66.0.0/16"},
                                                                                     {"chuo", "2001:db8:8003::/48"}})
        draft.set("/allocations/-", allocation(std::string(of) + std::to_string(++number), of, prefix));
    return draft;
}
Words refused(const Draft& before, const Draft& after, const char* now) {
    Words words;
    for (const Error& error : check_releases(before.policy(), after.policy(), parse_time(now).value()))
        words.push_back(error.words);
    return words;
}

}  // namespace

TEST_CASE("allocations: a plan that fits is valid, and none is none", "[control]") {
    CHECK(Draft().errors().empty());
    CHECK(planned().errors().empty());
    CHECK(Draft().policy().hold_down_days == 90);
    CHECK(planned().set("/hub/hold_down_days", 30).policy().hold_down_days == 30);
    CHECK(planned().set("/hub/hold_down_days", 4000).errors().size() == 1);
}

TEST_CASE("allocations: overlap and ambiguity are refused with both culprits named", "[control]") {
    CHECK(planned().set("/allocations/-", allocation("x", "minami", "100.64.128.0/17")).errors() ==
          Words{"allocations \"x\" .prefix: 100.64.128.0/17 overlaps 100.64.0.0/16 of allocations \"kita1\" .prefix"});
    CHECK(planned().set("/allocations/-", allocation("x", "kita", "100.64.0.0/16")).errors().size() == 1);
    CHECK(planned().set("/allocations/-", allocation("x", "kita", "198.51.100.0/24")).errors() ==
          Words{"allocations \"x\" .prefix: 198.51.100.0/24 is not inside one of the hub's pools"});
    CHECK(planned().set("/allocations/-", allocation("x", "osaka", "100.70.0.0/16")).errors() ==
          Words{"allocations \"x\" .operator: there is no operator \"osaka\""});
    CHECK(planned().set("/allocations/-", allocation("x", "kita", "100.70.0.1/16")).errors().size() == 1);
    CHECK(planned()
              .set("/allocations/-", allocation("x", "kita", "100.70.0.0/16", "2026-04-02", "2026-04-01"))
              .errors() == Words{"allocations \"x\" .released: \"2026-04-01\" is not after from, \"2026-04-02\""});
}

TEST_CASE("allocations: with a plan, a translation is inside what its operator has", "[control]") {
    CHECK(
        planned().set("/allocations/0/operator", "minami").errors() ==
        Words{"translations \"kita-v4\" .hub_prefix: 100.64.0.0/16 is not inside one allocation of operator \"kita\": "
              "allocations \"kita1\" is 100.64.0.0/16, of operator \"minami\""});
    CHECK(
        planned().set("/allocations/0/prefix", "100.64.0.0/17").errors() ==
        Words{"translations \"kita-v4\" .hub_prefix: 100.64.0.0/16 is not inside one allocation of operator \"kita\": "
              "allocations \"kita1\" is 100.64.0.0/17, of operator \"kita\""});
    CHECK(
        planned().set("/allocations/0/released", "2026-11-01").errors() ==
        Words{"translations \"kita-v4\" .hub_prefix: 100.64.0.0/16 is not inside one allocation of operator \"kita\": "
              "allocations \"kita1\" was released on 2026-11-01"});
    CHECK(
        planned().remove("/allocations/0").errors() ==
        Words{"translations \"kita-v4\" .hub_prefix: 100.64.0.0/16 is not inside one allocation of operator \"kita\""});
}

TEST_CASE("allocations: what was released rests before another operator has it", "[control]") {
    const auto after = [](const char* of, const char* from) {
        return planned()
            .set("/allocations/-", allocation("old", "minami", "100.70.0.0/16", "2026-01-01", "2026-06-01"))
            .set("/allocations/-", allocation("new", of, "100.70.8.0/24", from))
            .errors();
    };
    CHECK(
        after("kita", "2026-08-29") ==
        Words{"allocations \"new\" .prefix: 100.70.8.0/24 overlaps 100.70.0.0/16 of allocations \"old\", which is held "
              "down until 2026-08-30; say from when on it is given"});
    CHECK(after("kita", "2026-08-30").empty());
    CHECK(after("kita", "").size() == 1);
    CHECK(after("minami", "2026-05-31").size() == 1);
    CHECK(after("minami", "2026-06-01").empty());  // its own again
    // The operator that had them may be gone.
    CHECK(planned()
              .set("/allocations/-", allocation("old", "osaka", "100.70.0.0/16", "2026-01-01", "2026-06-01"))
              .errors()
              .empty());
}

TEST_CASE("allocations: nothing leaves the plan before it was released and has rested", "[control]") {
    const Draft in_use = planned().set("/allocations/-", allocation("x", "kita", "100.70.0.0/16"));
    const Draft gone = planned();
    const Draft released = planned().set("/allocations/-", allocation("x", "kita", "100.70.0.0/16", "", "2026-06-01"));
    CHECK(refused(in_use, gone, "2026-06-01") ==
          Words{"allocations \"x\" .released: is missing: an allocation in use cannot go"});
    CHECK(refused(released, gone, "2026-08-29T23:59:59+09:00") ==
          Words{"allocations \"x\" .released: 100.70.0.0/16 of operator \"kita\" is held down until 2026-08-30, and "
                "cannot go before"});
    CHECK(refused(released, gone, "2026-08-30").empty());
    const auto changed = [&](const char* pointer, const char* value) {
        return Draft(in_use).set(std::string("/allocations/6/") + pointer, value);
    };
    CHECK(refused(in_use, changed("operator", "minami"), "2026-06-01") ==
          Words{"allocations \"x\" .released: is missing: an allocation in use cannot become another"});
    CHECK(refused(in_use, changed("prefix", "100.71.0.0/16"), "2026-06-01").size() == 1);
    CHECK(refused(in_use, changed("from", "2026-01-01"), "2026-06-01").empty());
    // As part of more, or under another name, the operator has it still; a part of it is less.
    CHECK(refused(in_use, changed("prefix", "100.70.0.0/15"), "2026-06-01").empty());
    CHECK(refused(in_use, changed("id", "y"), "2026-06-01").empty());
    CHECK(refused(in_use, changed("prefix", "100.70.0.0/17"), "2026-06-01").size() == 1);
    CHECK(refused(in_use, released, "2026-06-01T12:00:00+09:00").empty());
    CHECK(refused(in_use, released, "2026-06-02") ==
          Words{"allocations \"x\" .released: 2026-06-01 is over: it was in use, or released later, until now"});
    CHECK(refused(released, in_use, "2026-06-02").empty());  // taken back into use
    CHECK(refused(planned(), in_use, "2026-06-01").empty());
    CHECK(refused(Draft(), planned(), "2026-06-01").empty());
}

TEST_CASE("allocations: a small change beside a plan, and of it, is judged as the whole is", "[control]") {
    const Policy before = planned().policy();
    HubNumbers numbers;
    REQUIRE(validate(before, numbers).empty());
    const std::vector<Draft> drafts = {planned().set("/allocations/-", allocation("x", "kita", "100.70.0.0/16")),
                                       planned().set("/allocations/-", allocation("x", "kita", "100.64.1.0/24")),
                                       planned().set("/allocations/0/operator", "minami"),
                                       planned().set("/allocations/1/released", "2026-06-01"),
                                       planned().set("/institutions/0/prefixes/0", "100.64.2.0/24"),
                                       Draft()};
    for (const Draft& draft : drafts) {
        HubNumbers moved = numbers;
        const Policy policy = draft.policy();
        Words small, whole;
        for (const Error& error : validate_change(before, policy, moved)) small.push_back(error.words);
        for (const Error& error : validate(policy)) whole.push_back(error.words);
        CHECK(small == whole);
    }
}
