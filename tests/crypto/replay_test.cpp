// The replay window and the inference of ESN, case by case and against the rule written out plainly.
#include <algorithm>
#include <set>
#include <vector>

#include <catch2/catch.hpp>

#include "crypto/replay_window.hpp"
#include "tests/support/random.hpp"

using namespace sekisho;
using namespace sekisho::crypto;
using Verdict = ReplayWindow::Verdict;

namespace {

std::unique_ptr<ReplayWindow> window_of(std::uint32_t size) {
    auto made = ReplayWindow::make(size);
    REQUIRE(made);
    return std::move(*made);
}

Verdict accept(ReplayWindow& window, std::uint64_t sequence) {
    Verdict verdict;
    window.accept({&sequence, 1}, &verdict);
    return verdict;
}

// RFC 4303 §3.4.3 in as few words as possible.
class Rule {
  public:
    explicit Rule(std::uint64_t size) : size_(size) {}
    Verdict accept(std::uint64_t sequence) {
        if (sequence == 0 || sequence + size_ <= top_) return Verdict::stale;
        if (!seen_.insert(sequence).second) return Verdict::duplicate;
        top_ = std::max(top_, sequence);
        return Verdict::fresh;
    }

  private:
    std::uint64_t size_;
    std::uint64_t top_ = 0;
    std::set<std::uint64_t> seen_;
};

}  // namespace

TEST_CASE("replay window: a size that is no power of two, or too small or large, is refused",
          "[crypto][conformance-21]") {
    for (const std::uint32_t size : {0U, 1U, 32U, 63U, 65U, 96U, 4095U, 1U << 21, 0x8000'0000U}) {
        const auto made = ReplayWindow::make(size);
        REQUIRE_FALSE(made);
        CHECK(made.error().code == ErrorCode::invalid);
        CHECK(made.error().words.find(std::to_string(size)) != std::string::npos);
    }
    for (std::uint32_t size = ReplayWindow::kSmallest; size <= ReplayWindow::kLargest; size *= 2)
        CHECK(window_of(size)->size() == size);
}

TEST_CASE("replay window: number 0 never passes", "[crypto]") {
    const auto window = window_of(64);
    CHECK(window->look(0) == Verdict::stale);
    CHECK(accept(*window, 0) == Verdict::stale);
    CHECK(window->top() == 0);
}

TEST_CASE("replay window: a number passes once", "[crypto]") {
    const auto window = window_of(64);
    CHECK(accept(*window, 1) == Verdict::fresh);
    CHECK(window->look(1) == Verdict::duplicate);
    CHECK(accept(*window, 1) == Verdict::duplicate);
    CHECK(window->look(2) == Verdict::fresh);
    CHECK(window->top() == 1);
}

TEST_CASE("replay window: a look changes nothing", "[crypto][conformance-19]") {
    const auto window = window_of(64);
    for (const std::uint64_t sequence : {1ULL, 100ULL, 1ULL << 40}) CHECK(window->look(sequence) == Verdict::fresh);
    CHECK(window->top() == 0);
    CHECK(accept(*window, 1) == Verdict::fresh);
}

TEST_CASE("replay window: the leftmost number passes, the one left of it does not", "[crypto][conformance-21]") {
    for (const std::uint32_t size : {64U, 128U, 4096U}) {
        for (const std::uint64_t top : {std::uint64_t{size}, std::uint64_t{size} + 1, std::uint64_t{size} * 2 + 31,
                                        std::uint64_t{1} << 32, (std::uint64_t{1} << 33) + 7}) {
            const auto window = window_of(size);
            REQUIRE(accept(*window, top) == Verdict::fresh);
            CHECK(window->look(top - size) == Verdict::stale);
            CHECK(accept(*window, top - size) == Verdict::stale);
            CHECK(accept(*window, top - size + 1) == Verdict::fresh);
            CHECK(accept(*window, top - size + 1) == Verdict::duplicate);
        }
    }
}

TEST_CASE("replay window: after a jump beyond the window nothing old passes, and what is in it does",
          "[crypto][conformance-21]") {
    const auto window = window_of(64);
    for (std::uint64_t sequence = 1; sequence <= 64; ++sequence) REQUIRE(accept(*window, sequence) == Verdict::fresh);
    for (const std::uint64_t jump : {129ULL, 1ULL << 20, 1ULL << 31, (1ULL << 32) - 64, 4096ULL}) {
        const std::uint64_t top = window->top() + jump;
        REQUIRE(accept(*window, top) == Verdict::fresh);
        CHECK(accept(*window, 64) == Verdict::stale);
        for (std::uint64_t sequence = top - 63; sequence < top; ++sequence)
            REQUIRE(accept(*window, sequence) == Verdict::fresh);
        CHECK(accept(*window, top) == Verdict::duplicate);
    }
}

TEST_CASE("replay window: of two copies in one burst one passes", "[crypto][conformance-20]") {
    const auto window = window_of(64);
    const std::vector<std::uint64_t> burst = {5, 6, 5, 40, 6, 5, 7};
    std::vector<Verdict> verdicts(burst.size());
    window->accept(burst, verdicts.data());
    using enum ReplayWindow::Verdict;
    CHECK(verdicts == std::vector{fresh, fresh, duplicate, fresh, duplicate, duplicate, fresh});
}

TEST_CASE("replay window: a packet that moves the window makes those behind it in the burst stale", "[crypto]") {
    const auto window = window_of(64);
    const std::vector<std::uint64_t> burst = {10, 100, 36, 37, 10};
    std::vector<Verdict> verdicts(burst.size());
    window->accept(burst, verdicts.data());
    using enum ReplayWindow::Verdict;
    CHECK(verdicts == std::vector{fresh, fresh, stale, fresh, stale});
}

TEST_CASE("replay window: random bursts get what the plain rule gives", "[crypto]") {
    test::Random random("replay rule");
    for (const std::uint32_t size : {64U, 256U, 4096U}) {
        const auto window = window_of(size);
        Rule rule(size);
        std::uint64_t centre = random.one_in(2) ? 1 : (std::uint64_t{1} << 32) - size;
        for (int round = 0; round < 3000; ++round) {
            std::vector<std::uint64_t> burst;
            for (std::size_t i = 1 + random.below(64); i > 0; --i) {
                if (random.one_in(200)) centre += random.below(5 * size);
                centre += random.one_in(3) ? 0U : 1U;
                burst.push_back(random.one_in(4) ? centre - std::min(centre, random.below(2 * size)) : centre);
            }
            std::vector<Verdict> verdicts(burst.size());
            window->accept(burst, verdicts.data());
            for (std::size_t i = 0; i < burst.size(); ++i) REQUIRE(verdicts[i] == rule.accept(burst[i]));
        }
    }
}

TEST_CASE("replay window: bursts in order get what the plain rule gives, wherever they begin and end", "[crypto]") {
    for (const std::uint32_t size : {64U, 4096U}) {
        auto window = window_of(size);
        Rule rule(size);
        std::uint64_t next = 1;
        for (std::size_t length = 1; length <= 64; ++length) {
            // In order; then the same once more, and with a copy or a gap at its end.
            std::vector<std::uint64_t> sequences(length);
            for (std::uint64_t& sequence : sequences) sequence = next++;
            std::vector<std::uint64_t> with_copy = sequences;
            with_copy.push_back(next);
            with_copy.push_back(length % 2 == 0 ? next : next + 2);
            next += 3;
            for (const auto& burst : {sequences, sequences, with_copy}) {
                std::vector<Verdict> verdicts(burst.size());
                window->accept(burst, verdicts.data());
                for (std::size_t i = 0; i < burst.size(); ++i) REQUIRE(verdicts[i] == rule.accept(burst[i]));
                REQUIRE(window->look(next + 5) == Verdict::fresh);
            }
            if (length % 16 == 0) next += 1000;
        }
    }
}

TEST_CASE("ESN: the first packets, before anything was accepted", "[crypto]") {
    CHECK(infer_sequence(1, 0, 64) == 1);
    CHECK(infer_sequence(0x7fff'ffff, 0, 64) == 0x7fff'ffff);
    // Would be of the turn before the first.
    CHECK(infer_sequence(0xffff'ffff, 0, 64) == 0);
    CHECK(infer_sequence(0xffff'ffc1, 0, 64) == 0);
    CHECK(infer_sequence(0xffff'ffc0, 0, 64) == 0xffff'ffc0);
}

TEST_CASE("ESN: a window within one turn (RFC 4303 appendix A2.2, case A)", "[crypto]") {
    const std::uint64_t turn = std::uint64_t{1} << 32;
    const std::uint64_t top = 5 * turn + 1000;
    CHECK(infer_sequence(1000, top, 64) == top);
    CHECK(infer_sequence(1001, top, 64) == top + 1);
    CHECK(infer_sequence(1000U - 63, top, 64) == top - 63);         // the left edge
    CHECK(infer_sequence(1000U - 64, top, 64) == top - 64 + turn);  // left of it: the next turn's
    CHECK(infer_sequence(0, top, 64) == 6 * turn);
    CHECK(infer_sequence(0xffff'ffff, top, 64) == 5 * turn + 0xffff'ffff);
}

TEST_CASE("ESN: a window that straddles a turn (RFC 4303 appendix A2.2, case B)", "[crypto][conformance-23]") {
    const std::uint64_t turn = std::uint64_t{1} << 32;
    const std::uint64_t top = 5 * turn + 10;
    CHECK(infer_sequence(10, top, 64) == top);
    CHECK(infer_sequence(0, top, 64) == 5 * turn);
    CHECK(infer_sequence(0xffff'ffff, top, 64) == 5 * turn - 1);
    CHECK(infer_sequence(10U - 63, top, 64) == top - 63);         // the left edge, a turn back
    CHECK(infer_sequence(10U - 64, top, 64) == top - 64 + turn);  // left of it
    // Exactly at the border of the two cases.
    CHECK(infer_sequence(0, 5 * turn + 63, 64) == 5 * turn);
    CHECK(infer_sequence(0xffff'ffff, 5 * turn + 63, 64) == 5 * turn + 0xffff'ffff);
    CHECK(infer_sequence(0xffff'ffff, 5 * turn + 62, 64) == 5 * turn - 1);
}

TEST_CASE("ESN: whatever lies in the window or less than a turn ahead of its left edge is inferred", "[crypto]") {
    test::Random random("esn");
    for (int i = 0; i < 200'000; ++i) {
        const std::uint32_t size = 64U << random.below(10);
        const std::uint64_t top =
            size + (random.one_in(3) ? (random.word() >> 20 << 32) + random.below(2 * size) : random.word() >> 8);
        const std::uint64_t left = top - size + 1;
        const std::uint64_t sequence = left + random.word32();
        REQUIRE(infer_sequence(static_cast<std::uint32_t>(sequence), top, size) == sequence);
    }
}
