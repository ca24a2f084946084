// From what a tunnel has to what it is to have: make before break, and nothing for what was refused.
#include "agent/sa_plan.hpp"

#include <array>

#include <catch2/catch.hpp>
#include <fmt/format.h>

using namespace sekisho;
using namespace sekisho::agent;

namespace {

const WallClock::time_point kNow{std::chrono::seconds(1'800'000'000)};

struct Plan {
    TunnelSas tunnel;
    std::set<std::string> refused;

    // An object with an inbound SA of this SPI and an outbound one of the next, whose time is `from` seconds from now.
    void want(std::uint32_t spi, int from = -1000, const std::string& content = "a") {
        WrappedSa sa;
        sa.name = "t/" + std::to_string(spi);
        sa.tunnel = "t";
        sa.from = kNow + std::chrono::seconds(from);
        sa.inbound = spi;
        sa.outbound = spi + 1;
        sa.label = fmt::format("{}#{}", spi, content);
        tunnel.wanted[sa.name] = sa;
    }
    void forget(std::uint32_t spi) {
        const std::string name = "t/" + std::to_string(spi);
        tunnel.wanted.erase(name);
        for (const auto& [label, sa] : tunnel.there)
            if (sa.name == name) tunnel.gone.insert(label);
    }
    // What is done until nothing is left, in words: "install 1 in out".
    std::string all(int seconds = 0) {
        std::string words;
        for (int i = 0; i < 20; ++i) {
            const auto steps = tunnel.next(kNow + std::chrono::seconds(seconds),
                                           [this](const std::string& label) { return refused.contains(label); });
            if (steps.empty()) return words;
            for (const SaStep& step : steps) {
                constexpr std::array<const char*, 4> kNames = {"install", "rekey", "switch", "remove"};
                const bool named = step.what == SaStep::What::switch_over || step.what == SaStep::What::remove;
                words +=
                    fmt::format("{}{} {}{}{}", words.empty() ? "" : ", ", kNames[static_cast<std::size_t>(step.what)],
                                step.label.substr(0, step.label.find('#')),
                                (named ? step.inbound.has_value() : step.halves.inbound) ? " in" : "",
                                (named ? step.outbound.has_value() : step.halves.outbound) ? " out" : "");
                tunnel.done(step);
            }
        }
        return words + " and so on";
    }
};

}  // namespace

TEST_CASE("plan: the first pair is installed at once", "[agent]") {
    Plan plan;
    CHECK(plan.all().empty());
    plan.want(1000);
    CHECK(plan.all() == "install 1000 in out");
    CHECK(plan.all().empty());
}

TEST_CASE("plan: another pair is opened, waited with, switched to, and only then the old one removed", "[agent]") {
    Plan plan;
    plan.want(1000, -200);
    plan.all();
    plan.want(2000, -100);
    CHECK(plan.all() == "rekey 2000 in out, switch 2000 out");
    plan.forget(1000);
    CHECK(plan.all() == "remove 1000 in");
    SECTION("in one change, too") {
        plan.want(3000, -50);
        plan.forget(2000);
        CHECK(plan.all() == "rekey 3000 in out, switch 3000 out, remove 2000 in");
    }
    SECTION("the last one goes when its object does") {
        plan.forget(2000);
        CHECK(plan.all() == "remove 2000 in out");
        CHECK(plan.tunnel.is_empty());
    }
}

TEST_CASE("plan: an outbound SA whose time is to come waits for it", "[agent]") {
    Plan plan;
    plan.want(1000);
    plan.want(2000, 60);
    CHECK(plan.all() == "install 1000 in out, install 2000 in, rekey 2000 out");
    CHECK(plan.tunnel.due(kNow) == kNow + std::chrono::seconds(60));
    plan.want(3000, 30);  // one that comes before it
    CHECK(plan.all() == "remove 2000 out, rekey 3000 in out");
    CHECK(plan.all(30) == "switch 3000 out, rekey 2000 out");
    CHECK(plan.all(60) == "switch 2000 out");
    CHECK_FALSE(plan.tunnel.due(kNow + std::chrono::seconds(60)));
    SECTION("one that is to come waits where nothing is sealed with yet, too") {
        Plan alone;
        alone.want(1000, 60);
        CHECK(alone.all() == "rekey 1000 in out");
        CHECK(alone.all(60) == "switch 1000 out");
    }
    SECTION("one whose time has come is not kept from its place by one that waits") {
        plan.want(4000, 600);
        CHECK(plan.all(60) == "rekey 4000 in out");
        plan.want(5000, 70);
        CHECK(plan.all(80) == "remove 4000 out, rekey 5000 in out, switch 5000 out, rekey 4000 out");
    }
    SECTION("the newest goes, and the one before it is sealed with again") {
        plan.forget(2000);
        CHECK(plan.all(60) == "rekey 3000 out, switch 3000 out, remove 2000 in");
    }
}

TEST_CASE("plan: what is refused or broken leaves what is there", "[agent]") {
    Plan plan;
    plan.want(1000);
    plan.all();
    SECTION("another pair that is refused") {
        plan.want(2000, -10);
        plan.refused.insert("2000#a");
        CHECK(plan.all().empty());
        plan.refused.clear();
        CHECK(plan.all() == "rekey 2000 in out, switch 2000 out");
    }
    SECTION("an object that is none any more, found after a restart of the agent") {
        plan.tunnel.wanted.clear();
        plan.tunnel.broken.insert("t/1000");
        CHECK(plan.all().empty());
    }
    SECTION("other keys under the same SPIs conflict, and are taken when the object was deleted before") {
        plan.want(1000, -1000, "b");
        CHECK(plan.tunnel.conflict(plan.tunnel.wanted["t/1000"]).starts_with(".inbound.spi, .outbound.spi: "));
        plan.refused.insert("1000#b");
        CHECK(plan.all().empty());
        plan.refused.clear();
        plan.forget(1000);
        plan.want(1000, -1000, "b");
        CHECK(plan.tunnel.conflict(plan.tunnel.wanted["t/1000"]).empty());
        CHECK(plan.all() == "remove 1000 in out, install 1000 in out");
    }
    SECTION("the last object goes though its successor is refused") {
        plan.forget(1000);
        plan.want(2000);
        plan.refused.insert("2000#a");
        CHECK(plan.all() == "remove 1000 in out");
    }
}

TEST_CASE("plan: an outbound SA that somebody else installed is replaced, not doubled", "[agent]") {
    Plan plan;
    plan.tunnel.others_current = true;
    plan.want(1000);
    CHECK(plan.all() == "rekey 1000 in out, switch 1000 out");
    CHECK(plan.all().empty());
    SECTION("and one of theirs that waits is not touched") {
        Plan other;
        other.tunnel.others_waiting = true;
        other.want(1000);
        CHECK(other.all() == "install 1000 in");
    }
}
