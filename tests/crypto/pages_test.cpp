// Memory for SAs: places that are apart and come back, windows of every size.
#include "crypto/pages.hpp"

#include <cstring>
#include <set>

#include <catch2/catch.hpp>

#include "crypto/replay_window.hpp"

using namespace sekisho;
using namespace sekisho::crypto;

TEST_CASE("pages: what is mapped is zero and, when there is much, begins with a large page", "[crypto]") {
    for (const std::size_t bytes : {std::size_t{1}, kPage, kPage + 1, kLargePage, 3 * kLargePage - 1}) {
        const auto pages = map_pages(bytes);
        REQUIRE(pages.size() >= bytes);
        const std::size_t unit = bytes >= kLargePage ? kLargePage : kPage;
        CHECK(pages.size() % unit == 0);
        CHECK(reinterpret_cast<std::uintptr_t>(pages.data()) % unit == 0);
        CHECK(pages.front() == 0);
        CHECK(pages.back() == 0);
        pages.front() = pages.back() = 1;
        unmap_pages(pages);
    }
}

TEST_CASE("pages: places of a pool begin lines, do not overlap, and are handed out again", "[crypto]") {
    for (const std::size_t bytes : {std::size_t{1}, std::size_t{64}, std::size_t{100}, std::size_t{70'000}}) {
        ObjectPool pool(bytes);
        std::set<std::uint8_t*> places;
        for (int i = 0; i < 500; ++i) {
            auto* const place = static_cast<std::uint8_t*>(pool.take());
            CHECK(reinterpret_cast<std::uintptr_t>(place) % kLine == 0);
            std::memset(place, i & 0xff, bytes);
            REQUIRE(places.insert(place).second);
        }
        const std::uint8_t* before = nullptr;
        for (const std::uint8_t* const place : places) {
            if (before != nullptr) REQUIRE(place >= before + bytes);
            before = place;
        }
        for (std::uint8_t* const place : places) pool.put_back(place);
        void* const again = pool.take();
        pool.put_back(again);
    }
}

TEST_CASE("pages: windows of every size are new when they are made, whoever had the place before", "[crypto]") {
    for (int round = 0; round < 3; ++round)
        for (std::uint32_t size = ReplayWindow::kSmallest; size <= ReplayWindow::kLargest; size *= 2) {
            auto made = ReplayWindow::make(size);
            REQUIRE(made);
            ReplayWindow& window = **made;
            CHECK(window.top() == 0);
            const std::uint64_t numbers[] = {1, size / 2, size};
            ReplayWindow::Verdict verdicts[3];
            window.accept(numbers, verdicts);
            for (const auto verdict : verdicts) CHECK(verdict == ReplayWindow::Verdict::fresh);
            window.accept(numbers, verdicts);
            for (const auto verdict : verdicts) CHECK(verdict == ReplayWindow::Verdict::duplicate);
        }
}
