// Which bytes of a datagram have come: ranges against a map with one flag for each byte.
#include "dataplane/coverage.hpp"

#include <array>

#include <catch2/catch.hpp>

#include "tests/support/random.hpp"
#include "tests/support/sanitizer.hpp"

using namespace sekisho::dataplane;
using sekisho::test::Random;
using Outcome = Coverage::Outcome;

TEST_CASE("coverage: what overlaps, or contradicts the end, is found out and changes nothing", "[fragment]") {
    Coverage coverage;
    REQUIRE(coverage.add(64, 128, false) == Outcome::added);
    CHECK(coverage.add(64, 128, false) == Outcome::known);
    CHECK(coverage.add(72, 80, false) == Outcome::known);
    CHECK(coverage.add(56, 72, false) == Outcome::overlaps);
    CHECK(coverage.add(120, 136, false) == Outcome::overlaps);
    CHECK(coverage.add(0, 256, false) == Outcome::overlaps);
    CHECK(coverage.add(0, 64, true) == Outcome::overlaps);  // it ends behind that
    REQUIRE(coverage.add(128, 131, true) == Outcome::added);
    CHECK(coverage.add(136, 144, false) == Outcome::overlaps);  // behind the end
    CHECK(coverage.add(136, 139, true) == Outcome::overlaps);   // a second end
    CHECK_FALSE(coverage.complete());
    REQUIRE(coverage.add(0, 64, false) == Outcome::added);
    CHECK(coverage.complete());
    CHECK(coverage.add(0, 131, true) == Outcome::known);
}

TEST_CASE("coverage: a last byte before what is there already is a contradiction", "[fragment]") {
    Coverage coverage;
    REQUIRE(coverage.add(800, 808, false) == Outcome::added);
    CHECK(coverage.add(8, 16, true) == Outcome::overlaps);
    REQUIRE(coverage.add(808, 810, true) == Outcome::added);
    CHECK(coverage.add(8, 16, true) == Outcome::overlaps);
    CHECK(coverage.add(8, 16, false) == Outcome::added);
}

TEST_CASE("coverage: as many ranges as it has, and not one more", "[fragment]") {
    Coverage coverage;
    for (unsigned i = 0; i < Coverage::kRanges; ++i) {
        const auto begin = static_cast<std::uint16_t>(16 * i);
        REQUIRE(coverage.add(begin, static_cast<std::uint16_t>(begin + 8), false) == Outcome::added);
    }
    CHECK(coverage.add(1000, 1008, false) == Outcome::scattered);
    CHECK(coverage.add(8, 16, false) == Outcome::added);  // closes a gap
    CHECK(coverage.add(1000, 1008, false) == Outcome::added);
    CHECK(coverage.add(2000, 2008, false) == Outcome::scattered);
}

TEST_CASE("coverage: random fragments are judged as a map of bytes judges them", "[fragment]") {
    Random random("coverage");
    unsigned added = 0, complete = 0;
    const unsigned rounds = sekisho::test::kSanitized ? 750 : 3'000;
    for (unsigned round = 0; round < rounds; ++round) {
        const std::size_t units = 1 + random.below(40);
        Coverage coverage;
        std::array<bool, std::size_t{8} * 64> bytes{};
        std::size_t end_of_all = 0;  // 0: not known
        for (int i = 0; i < 120; ++i) {
            const std::size_t begin = 8 * random.below(units);
            const bool last = random.one_in(12);
            const std::size_t end = begin + (last ? 1 + random.below(16) : 8 * (1 + random.below(4)));
            std::size_t known = 0, highest = 0, ranges = 0;
            for (std::size_t at = 0; at < bytes.size(); ++at) {
                if (at >= begin && at < end && bytes[at]) ++known;
                if (bytes[at]) highest = at + 1;
                if (bytes[at] && (at == 0 || !bytes[at - 1])) ++ranges;
            }
            bool contradicts = last && (end_of_all != 0 || end < highest);
            contradicts = contradicts || (!last && end_of_all != 0 && end >= end_of_all);
            Outcome expected = Outcome::added;
            if (known == end - begin)
                expected = Outcome::known;
            else if (known != 0 || contradicts)
                expected = Outcome::overlaps;
            else if (ranges == Coverage::kRanges && !(begin != 0 && bytes[begin - 1]) && !bytes[end])
                expected = Outcome::scattered;
            INFO("SEKISHO_SEED=" << random.seed() << ", [" << begin << ", " << end << ") " << last);
            REQUIRE(coverage.add(static_cast<std::uint16_t>(begin), static_cast<std::uint16_t>(end), last) == expected);
            if (expected != Outcome::added) continue;
            ++added;
            for (std::size_t at = begin; at < end; ++at) bytes[at] = true;
            if (last) end_of_all = end;
            const auto gap = std::find(bytes.begin(), bytes.end(), false) - bytes.begin();
            const bool whole = end_of_all != 0 && static_cast<std::size_t>(gap) == end_of_all;
            REQUIRE(coverage.complete() == whole);
            complete += whole ? 1 : 0;
        }
    }
    CHECK(added > 10 * rounds / 3);
    CHECK(complete > rounds / 30);
}
