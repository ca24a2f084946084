// Many threads on one window and on one sequence word: each number passes exactly once. Run it under the thread
// sanitizer (meson setup -Db_sanitize=thread): it must stay silent.
#include <atomic>
#include <thread>
#include <vector>

#include <catch2/catch.hpp>

#include "crypto/replay_window.hpp"
#include "crypto/sequence.hpp"
#include "tests/support/random.hpp"
#include "tests/support/sanitizer.hpp"

using namespace sekisho;
using namespace sekisho::crypto;
using Verdict = ReplayWindow::Verdict;

namespace {

constexpr std::uint64_t kNumbers = sekisho::test::kSanitized ? 60'000 : 600'000;
constexpr std::size_t kThreads = 4;

// Threads keep together: none is further ahead of the last than `distance` numbers.
class Pace {
  public:
    explicit Pace(std::uint64_t distance) : distance_(distance), at_(kThreads) {}
    void report(std::size_t thread, std::uint64_t at) noexcept { at_[thread].store(at, std::memory_order_relaxed); }
    void wait(std::uint64_t at) const noexcept {
        for (const auto& other : at_)
            while (other.load(std::memory_order_relaxed) + distance_ < at) std::this_thread::yield();
    }

  private:
    std::uint64_t distance_;
    std::vector<std::atomic<std::uint64_t>> at_;
};

struct Tally {
    std::vector<std::atomic<std::uint8_t>> passed;
    std::atomic<std::uint64_t> stale = 0;
    explicit Tally(std::size_t numbers) : passed(numbers + 1) {}
};

// Every thread is given every number, each in an order of its own: shuffled within `jitter`, in bursts of random size,
// some repeated at once.
void storm(ReplayWindow& window, Tally& tally, const Pace& pace, std::size_t thread, std::uint64_t base,
           std::uint64_t jitter, std::uint64_t seed, Pace& report) {
    std::mt19937_64 random(seed + thread);
    std::vector<std::uint64_t> burst;
    std::vector<Verdict> verdicts;
    std::vector<std::uint64_t> some;
    for (std::uint64_t first = 1; first <= kNumbers; first += jitter) {
        pace.wait(first);
        some.clear();
        for (std::uint64_t i = first; i < std::min(first + jitter, kNumbers + 1); ++i) some.push_back(i);
        if (thread % 2 != 0 || random() % 2 == 0) std::shuffle(some.begin(), some.end(), random);
        for (std::size_t at = 0; at < some.size();) {
            burst.clear();
            for (std::size_t left = 1 + random() % 64; left > 0 && at < some.size(); --left) {
                burst.push_back(base + some[at]);
                if (random() % 8 == 0) burst.push_back(base + some[at]);
                ++at;
            }
            verdicts.resize(burst.size());
            for (const std::uint64_t sequence : burst) (void)window.look(sequence);
            window.accept(burst, verdicts.data());
            for (std::size_t i = 0; i < burst.size(); ++i) {
                if (verdicts[i] == Verdict::fresh)
                    tally.passed[burst[i] - base].fetch_add(1, std::memory_order_relaxed);
                else if (verdicts[i] == Verdict::stale)
                    tally.stale.fetch_add(1, std::memory_order_relaxed);
            }
        }
        report.report(thread, first + jitter - 1);
    }
    report.report(thread, ~std::uint64_t{0} >> 1);
}

std::array<std::uint64_t, 3> run_storm(std::uint32_t size, std::uint64_t distance, std::uint64_t jitter,
                                       std::uint64_t base, std::uint64_t seed) {
    auto window = ReplayWindow::make(size);
    REQUIRE(window);
    Tally tally(kNumbers);
    Pace pace(distance);
    std::vector<std::thread> threads;
    for (std::size_t thread = 0; thread < kThreads; ++thread)
        threads.emplace_back([&, thread] { storm(**window, tally, pace, thread, base, jitter, seed, pace); });
    for (std::thread& thread : threads) thread.join();
    std::uint64_t never = 0, twice = 0;
    for (std::uint64_t number = 1; number <= kNumbers; ++number) {
        never += tally.passed[number] == 0;
        twice += tally.passed[number] > 1;
    }
    CHECK((*window)->top() == base + kNumbers);
    return {never, twice, tally.stale.load()};
}

}  // namespace

TEST_CASE("replay window, shared: within the window every number passes exactly once", "[crypto][threads]") {
    test::Random random("replay threads");
    // A thread is at most `distance` behind the first, and shuffles within `jitter`.
    for (const std::uint32_t size : {1024U, 4096U}) {
        for (const std::uint64_t base : {std::uint64_t{0}, (std::uint64_t{1} << 32) - kNumbers / 2}) {
            const auto [never, twice, stale] = run_storm(size, size / 4, size / 4, base, random.word());
            CHECK(never == 0);
            CHECK(twice == 0);
            CHECK(stale == 0);
        }
    }
}

TEST_CASE("replay window, shared: far apart, numbers grow stale but none passes twice", "[crypto][threads]") {
    test::Random random("replay threads, apart");
    for (const std::uint32_t size : {64U, 128U}) {
        const auto [never, twice, stale] = run_storm(size, size * 40, size * 10, 0, random.word());
        CHECK(twice == 0);
        CHECK(stale > 0);
        CHECK(never < kNumbers);
    }
}

TEST_CASE("sequence word, shared: every number is taken once, and none beyond the end",
          "[crypto][threads][conformance-35]") {
    test::Random random("sequence threads");
    SequenceWord word;
    constexpr std::uint64_t kStart = 1000;
    constexpr std::uint64_t kLast = kStart + kNumbers - 1;
    word.begin(kStart, kLast);
    CHECK(word.take(1).count == 0);
    std::vector<std::atomic<std::uint8_t>> taken(kNumbers);
    std::atomic<std::uint64_t> beyond = 0;
    const std::uint64_t seed = random.word();
    std::vector<std::thread> threads;
    for (std::size_t thread = 0; thread < kThreads; ++thread) {
        threads.emplace_back([&, thread] {
            std::mt19937_64 mine(seed + thread);
            while (!word.is_spent()) {
                const auto wanted = static_cast<std::uint32_t>(1 + mine() % 64);
                const SequenceRange range = word.take(wanted);
                if (range.count > wanted || range.first + range.count > word.end()) ++beyond;
                for (std::uint64_t i = 0; i < range.count; ++i) taken[range.first + i - kStart].fetch_add(1);
                if (range.count == 0) std::this_thread::yield();
            }
        });
    }
    std::mt19937_64 control(seed);
    while (!word.is_spent()) {
        word.extend(word.next() + control() % 5000);
        std::this_thread::yield();
    }
    for (std::thread& thread : threads) thread.join();
    CHECK(beyond == 0);
    CHECK(word.taken() == kNumbers);
    std::uint64_t wrong = 0;
    for (const auto& times : taken) wrong += times != 1;
    CHECK(wrong == 0);
}

TEST_CASE("sequence word: the reserve ends, the end only rises, the SA ends", "[crypto]") {
    SequenceWord word;
    word.begin(1, 10);
    CHECK(word.take(4).count == 0);
    word.extend(4);
    const SequenceRange some = word.take(8);
    CHECK(some.first == 1);
    CHECK(some.count == 3);
    CHECK_FALSE(word.is_spent());
    word.extend(2);
    CHECK(word.end() == 4);
    word.extend(1000);
    CHECK(word.take(5).first == 4);
    CHECK(word.take(5).count == 2);
    CHECK(word.is_spent());
    CHECK(word.take(1).count == 0);
    CHECK(word.taken() == 10);
}
