// The session table beside a std::unordered_map, in every version of its lookups.
#include "nat/session_table.hpp"

#include <unordered_map>

#include <catch2/catch.hpp>

#include "net/simd.hpp"
#include "tests/nat/support.hpp"
#include "tests/support/skip.hpp"

using namespace sekisho;
using namespace sekisho::nat;
using namespace sekisho::test;

namespace {

// Puts back the version that was in use.
struct SimdGuard {
    Simd before = simd();
    ~SimdGuard() { (void)use_simd(before); }
};

constexpr Simd kVersions[] = {Simd::scalar, Simd::avx2, Simd::avx512};

// Runs `call` for every version that this processor has.
template <class Call>
void in_each_version(Call&& call) {
    const SimdGuard guard;
    for (const Simd version : kVersions) {
        if (!use_simd(version)) {
            skip(std::string("this processor cannot ") + name_of(version));
            continue;
        }
        CAPTURE(name_of(version));
        call();
    }
}

// What a table must hold: each key's number, kept in its record's counter too.
template <class Record>
class Model {
  public:
    using Key = decltype(Record::key);

    explicit Model(std::size_t capacity) : table(capacity) {}

    bool insert(std::uint64_t number) {
        const Slot slot = table.insert(key_of<Key>(number), 100);
        if (slot == kNoSlot) return false;
        table[slot].core.bytes = number;
        numbers.insert({number, true});
        return true;
    }
    void erase(std::uint64_t number) {
        table.erase(table.find(key_of<Key>(number)));
        numbers.erase(number);
    }
    // How many of the numbers [first, first + count) the table answers otherwise than the map; in one batch.
    std::size_t wrong(std::uint64_t first, std::size_t count) const {
        std::vector<Key> keys;
        std::vector<Slot> slots(count + 1, 0x5e5e'5e5e);
        for (std::size_t i = 0; i < count; ++i) keys.push_back(key_of<Key>(first + i));
        table.find(keys.data(), slots.data(), count);
        std::size_t wrong = slots[count] == 0x5e5e'5e5e ? 0 : 1;
        for (std::size_t i = 0; i < count; ++i) {
            const bool there = numbers.contains(first + i);
            const bool right = there ? slots[i] != kNoSlot && table[slots[i]].core.bytes == first + i &&
                                           same_key(table[slots[i]].key, keys[i])
                                     : slots[i] == kNoSlot;
            wrong += right ? 0U : 1U;
        }
        return wrong;
    }

    SessionTable<Record> table;
    std::unordered_map<std::uint64_t, bool> numbers;
};

template <class Record>
void random_changes(const char* name) {
    in_each_version([&] {
        Random random(std::string(name) + " by " + name_of(simd()));
        CAPTURE(random.seed());
        const std::size_t places = 1 + random.below(3000);
        Model<Record> model(places);
        const std::size_t numbers = model.table.places() * 2;
        for (std::size_t step = 0; step < 20'000 * rounds(); ++step) {
            const std::uint64_t number = random.below(numbers);
            if (model.numbers.contains(number))
                model.erase(number);
            else if (random.below(8) != 0)
                (void)model.insert(number);
            if (step % 500 == 0) REQUIRE(model.wrong(random.below(numbers), random.below(700)) == 0);
        }
        REQUIRE(model.table.size() == model.numbers.size());
        REQUIRE(model.wrong(0, numbers) == 0);
    });
}

// Fills to the first insert that fails; the load then.
template <class Record>
double fill(Model<Record>& model) {
    std::uint64_t number = 0;
    while (model.insert(number)) ++number;
    REQUIRE(model.wrong(0, number + 100) == 0);
    return static_cast<double>(number) / static_cast<double>(model.table.places());
}

}  // namespace

TEST_CASE("session table: random inserts, deletes and lookups agree with a map, IPv4", "[nat][random]") {
    random_changes<Session4>("sessions ipv4");
}

TEST_CASE("session table: random inserts, deletes and lookups agree with a map, IPv6", "[nat][random]") {
    random_changes<Session6>("sessions ipv6");
}

TEST_CASE("session table: the first insert fails at a load over 0.90, and nothing is lost", "[nat][random]") {
    Model<Session4> model(70'000);
    const double load = fill(model);
    CAPTURE(load);
    CHECK(load > 0.90);
    // Then one goes, and there is room again for a key that wants its bucket.
    model.erase(17);
    CHECK(model.insert(17));
    CHECK(model.wrong(0, 1000) == 0);
}

TEST_CASE("session table: a full table gives every record back", "[nat]") {
    Model<Session6> model(2000);
    fill(model);
    std::vector<std::uint64_t> all;
    for (const auto& [number, there] : model.numbers) all.push_back(number);
    for (const std::uint64_t number : all) model.erase(number);
    CHECK(model.table.size() == 0);
    CHECK(model.wrong(0, all.size()) == 0);
    std::size_t again = 0;
    while (again < all.size() * 9 / 10 && model.insert(again)) ++again;
    CHECK(again == all.size() * 9 / 10);
}

TEST_CASE("session table: churn of ten times its size returns to zero", "[nat]") {
    Model<Session4> model(5000);
    const std::size_t size = 5000;
    for (std::uint64_t number = 0; number < 10 * size; ++number) {
        if (number >= size) model.erase(number - size);
        REQUIRE(model.insert(number));
    }
    CHECK(model.wrong(9 * size, size) == 0);
    for (std::uint64_t number = 9 * size; number < 10 * size; ++number) model.erase(number);
    CHECK(model.table.size() == 0);
    CHECK(model.wrong(0, 10 * size) == 0);
    std::size_t left = 0;
    model.table.for_each([&](Slot) { ++left; });
    CHECK(left == 0);
}

TEST_CASE("session table: identical 5-tuples of many spaces are different sessions", "[nat][conformance-62]") {
    SessionTable<Session4> table(3000);
    SessionKey4 key = key_of<SessionKey4>(0);
    for (std::uint16_t space = 0; space < 2000; ++space) {
        key.space = space;
        const Slot slot = table.insert(key, 1);
        REQUIRE(slot != kNoSlot);
        table[slot].core.bytes = space;
    }
    for (std::uint16_t space = 0; space < 2000; ++space) {
        key.space = space;
        REQUIRE(table[table.find(key)].core.bytes == space);
    }
    key.space = 2000;
    CHECK(table.find(key) == kNoSlot);
}

TEST_CASE("session table: who gives way to an insert is told, and is found where it went", "[nat]") {
    SessionTable<Session4> table(200);
    std::size_t moves = 0;
    std::uint64_t number = 0;
    for (;; ++number) {
        const Slot slot = table.insert(key_of<SessionKey4>(number), 1, [&](Slot from, Slot to) {
            ++moves;
            REQUIRE(!table.holds(from));
            REQUIRE(table.find(table[to].key) == to);
        });
        if (slot == kNoSlot) break;
        REQUIRE(table.find(key_of<SessionKey4>(number)) == slot);
    }
    CHECK(moves > 0);
    CHECK(number == table.size());
}

TEST_CASE("session table: a sweep visits exactly what is due, whatever the version and wherever the clock wraps",
          "[nat][random]") {
    in_each_version([&] {
        Random random(std::string("sweep by ") + name_of(simd()));
        CAPTURE(random.seed());
        SessionTable<Session4> table(1000);
        for (const std::uint32_t now : {0U, 1U, 65'530U, 65'536U, 131'075U, 0xffff'fff0U}) {
            std::unordered_map<std::uint64_t, std::uint32_t> due;
            for (std::uint64_t number = 0; number < 600; ++number) {
                due[number] = now + static_cast<std::uint32_t>(random.below(200)) - 100;
                table[table.insert(key_of<SessionKey4>(number), due[number])].core.bytes = number;
            }
            std::size_t visited = 0;
            table.sweep(now, table.buckets(), [&](Slot slot) {
                ++visited;
                const std::uint32_t when = due.at(table[slot].core.bytes);
                // 0 stands for "never", so what is due at a multiple of 2^16 is looked at a second later.
                REQUIRE(static_cast<std::int32_t>(now - when) >= 0);
                due.erase(table[slot].core.bytes);
                table.erase(slot);
            });
            CHECK(visited > 0);
            for (const auto& [number, when] : due)
                REQUIRE((static_cast<std::int32_t>(now - when) < 0 || when % 65'536 == 0));
            table.for_each([&](Slot slot) { table.erase(slot); });
            REQUIRE(table.size() == 0);
        }
    });
}

TEST_CASE("session table: a lookup of a batch of any length writes its slots and no more", "[nat]") {
    in_each_version([] {
        Model<Session4> model(1000);
        for (std::uint64_t number = 0; number < 600; ++number) REQUIRE(model.insert(number));
        for (std::size_t count = 0; count < 600; ++count) REQUIRE(model.wrong(300, count) == 0);
    });
}
