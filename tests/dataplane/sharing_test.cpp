// What a worker and control share while both run: the mailbox of counters, and the table of neighbours.
//
// Each is written by a thread that stands in for the worker and read by the test, as control does. Under the thread
// sanitizer (suite "threads") a missing order between the two is an error of its own.
#include <atomic>
#include <thread>

#include <catch2/catch.hpp>

#include "dataplane/neighbours.hpp"
#include "dataplane/stats.hpp"

using namespace sekisho;
using namespace sekisho::dataplane;

TEST_CASE("mailbox: every copy of the counters is of one moment, and none is older than the last", "[threads]") {
    std::atomic<std::uint64_t> call = 0;
    CounterMailbox mailbox(call);
    std::atomic<bool> stop = false;
    std::thread worker([&] {
        Counters counters(2);
        while (!stop.load(std::memory_order_relaxed)) {
            ++counters.walks;
            counters.ports[0].received += 2;
            counters.ports[1].sent += 2;
            mailbox.answer_if_asked(counters);
        }
    });
    std::uint64_t last = 0;
    int wrong = 0;
    for (int i = 0; i < 500; ++i) {
        Counters copy;
        ++call;
        while (!mailbox.taken(copy)) std::this_thread::yield();
        wrong += copy.ports[0].received != 2 * copy.walks || copy.ports[1].sent != 2 * copy.walks || copy.walks < last;
        last = copy.walks;
    }
    stop = true;
    worker.join();
    CHECK(wrong == 0);
    CHECK(last > 0);
}

TEST_CASE("neighbour: control reads whole entries while the worker adds and learns", "[threads]") {
    constexpr std::uint32_t kEntries = 4000;
    const auto attachment_of = [](std::size_t index) { return AttachmentId(static_cast<std::uint16_t>(index % 7)); };
    Neighbours neighbours(kEntries, kEntries, 1'000'000);
    std::thread worker([&] {
        for (std::uint32_t i = 0; i < kEntries; ++i) {
            const std::uint32_t neighbour = neighbours.find_or_add(attachment_of(i), Ipv4Address(i));
            MacAddress mac;
            mac.store(i);
            neighbours.confirm(neighbour, mac, i);
        }
    });
    int wrong = 0;
    for (std::size_t known = 0; known < kEntries;) {
        known = neighbours.size();
        for (std::size_t index = known < 50 ? 0 : known - 50; index < known; ++index) {
            const Neighbours::Entry entry = neighbours.entry(index).value();
            const bool reachable = entry.link.state() == Neighbours::State::reachable;
            wrong += entry.attachment != attachment_of(index) ||
                     entry.address != IpAddress(Ipv4Address(static_cast<std::uint32_t>(index))) ||
                     (reachable && entry.link.mac_bits() != index);
        }
    }
    worker.join();
    CHECK(wrong == 0);
    CHECK(neighbours.size() == kEntries);
}
