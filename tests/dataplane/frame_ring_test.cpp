// Frames from thread to thread, copied: order, bounds, and what does not fit.
#include "dataplane/kernel/frame_ring.hpp"

#include <deque>
#include <thread>
#include <vector>

#include <catch2/catch.hpp>

#include "tests/dataplane/support/bytes.hpp"
#include "tests/support/random.hpp"

using namespace sekisho;
using namespace sekisho::test;
using dataplane::FrameRing;

namespace {

Bytes bytes_of(const FrameRing::Frame& frame) {
    return {frame.bytes.begin(), frame.bytes.end()};
}

}  // namespace

TEST_CASE("frame ring: what is too long, or finds no room, is refused and changes nothing", "[kernel]") {
    FrameRing ring(32768);
    CHECK_FALSE(ring.put(TapId(1), AttachmentId(2), Bytes(FrameRing::kLongest + 1)));
    CHECK_FALSE(ring.front().has_value());
    CHECK(ring.has_room());
    const Bytes longest(FrameRing::kLongest, 7);
    std::size_t taken = 0;
    while (ring.put(TapId(1), AttachmentId(2), longest)) ++taken;
    CHECK(taken == 3);
    CHECK_FALSE(ring.has_room());
    for (std::size_t i = 0; i < taken; ++i) {
        REQUIRE(ring.front().has_value());
        CHECK(bytes_of(*ring.front()) == longest);
        ring.pop();
    }
    CHECK_FALSE(ring.front().has_value());
    CHECK(ring.has_room());
}

TEST_CASE("frame ring: a frame in two parts comes out as one, with what it is for", "[kernel]") {
    FrameRing ring;
    REQUIRE(ring.put(TapId(70000), AttachmentId(65535), Bytes{1, 2, 3}, Bytes{4, 5}));
    REQUIRE(ring.put(TapId(1), AttachmentId(0), {}, Bytes{9}));
    REQUIRE(ring.put(TapId(2), AttachmentId(0), {}));
    const auto first = ring.front();
    REQUIRE(first.has_value());
    CHECK(first->tap == TapId(70000));
    CHECK(first->attachment == AttachmentId(65535));
    CHECK(bytes_of(*first) == Bytes{1, 2, 3, 4, 5});
    ring.pop();
    CHECK(bytes_of(ring.front().value()) == Bytes{9});
    ring.pop();
    CHECK(bytes_of(ring.front().value()) == Bytes{});
    ring.pop();
    CHECK_FALSE(ring.front().has_value());
}

TEST_CASE("frame ring: random frames against a queue, round and round", "[kernel]") {
    Random random("frame ring");
    INFO("SEKISHO_SEED=" << random.seed());
    FrameRing ring(32768);
    std::deque<Bytes> model;
    unsigned put = 0, refused = 0;
    for (int step = 0; step < 100'000; ++step) {
        if (random.one_in(2)) {
            const Bytes frame =
                random.bytes(random.one_in(10) ? random.below(FrameRing::kLongest + 1) : random.below(200));
            const std::size_t part = random.below(frame.size() + 1);
            const bool taken =
                ring.put(TapId(1), AttachmentId(1), std::span(frame).first(part), std::span(frame).subspan(part));
            if (taken) model.push_back(frame);
            ++(taken ? put : refused);
        } else {
            const auto frame = ring.front();
            REQUIRE(frame.has_value() == !model.empty());
            if (!frame) continue;
            REQUIRE(bytes_of(*frame) == model.front());
            ring.pop();
            model.pop_front();
        }
    }
    CHECK(put > 10'000);
    CHECK(refused > 100);
}

TEST_CASE("frame ring: what one thread puts another takes, whole and in order", "[kernel][threads]") {
    constexpr std::uint32_t kCount = 50'000;
    FrameRing ring(32768);
    std::thread giver([&] {
        for (std::uint32_t next = 1; next <= kCount;) {
            const Bytes frame(next % 1500, static_cast<std::uint8_t>(next));
            if (ring.put(TapId(next), AttachmentId(3), frame))
                ++next;
            else
                std::this_thread::yield();
        }
    });
    std::uint32_t wrong = 0;
    for (std::uint32_t expected = 1; expected <= kCount;) {
        const auto frame = ring.front();
        if (!frame) {
            std::this_thread::yield();
            continue;
        }
        const bool right = frame->tap == TapId(expected) &&
                           bytes_of(*frame) == Bytes(expected % 1500, static_cast<std::uint8_t>(expected));
        wrong += right ? 0 : 1;
        ring.pop();
        ++expected;
    }
    giver.join();
    CHECK(wrong == 0);
}
