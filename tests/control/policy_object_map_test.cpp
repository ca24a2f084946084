// ObjectMap beside std::map: random puts, erases and copies; every copy keeps what it had.
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <catch2/catch.hpp>

#include "control/object_map.hpp"
#include "tests/support/random.hpp"

using sekisho::control::ObjectMap;

namespace {

struct Thing {
    std::string id;
    int value = 0;
};
using Map = ObjectMap<Thing>;
using Oracle = std::map<std::string, int>;

Oracle content(const Map& map) {
    Oracle all;
    std::string last;
    bool ascending = true;
    map.for_each([&](const Map::Pointer& thing) {
        ascending = ascending && (all.empty() || last < thing->id);
        last = thing->id;
        all.emplace(thing->id, thing->value);
    });
    REQUIRE(ascending);
    REQUIRE(all.size() == map.size());
    return all;
}

Map::Pointer thing(const std::string& id, int value) {
    return std::make_shared<const Thing>(Thing{id, value});
}

}  // namespace

TEST_CASE("object map: an empty one finds, erases and lists nothing", "[control]") {
    Map map;
    CHECK(map.find("a") == nullptr);
    CHECK(map.erase("a") == nullptr);
    CHECK(content(map).empty());
}

TEST_CASE("object map: the last object can be erased and put again", "[control]") {
    Map map;
    CHECK(map.put(thing("a", 1)) == nullptr);
    CHECK(map.erase("a")->value == 1);
    CHECK(map.size() == 0);
    map.put(thing("b", 2));
    CHECK(map.find("b")->value == 2);
}

TEST_CASE("object map: it does what std::map does, and copies keep what they had", "[control]") {
    sekisho::test::Random random("object map");
    INFO("SEKISHO_SEED=" << random.seed());
    Map map;
    Oracle oracle;
    std::vector<std::pair<Map, Oracle>> copies;
    for (int step = 0; step < 30000; ++step) {
        const std::string id = std::to_string(random.below(4000));
        if (random.one_in(3)) {
            const auto removed = map.erase(id);
            REQUIRE((removed != nullptr) == (oracle.erase(id) == 1));
        } else {
            const auto replaced = map.put(thing(id, step));
            REQUIRE((replaced != nullptr) == oracle.contains(id));
            oracle[id] = step;
        }
        const std::string wanted = std::to_string(random.below(4000));
        const auto found = map.find(wanted);
        REQUIRE((found != nullptr) == oracle.contains(wanted));
        if (found) REQUIRE(found->value == oracle[wanted]);
        if (step % 1000 == 0) copies.emplace_back(map, oracle);
    }
    CHECK(content(map) == oracle);
    for (const auto& [copy, then] : copies) CHECK(content(copy) == then);

    for (const auto& [copy, then] : copies) {
        std::map<std::string, std::pair<int, int>> told;  // -1: not there
        Map::differences(copy, map, [&](const Map::Pointer& before, const Map::Pointer& after) {
            told[(before ? before : after)->id] = {before ? before->value : -1, after ? after->value : -1};
        });
        std::map<std::string, std::pair<int, int>> expected;
        for (const auto& [id, value] : then) expected[id] = {value, -1};
        for (const auto& [id, value] : oracle) expected.try_emplace(id, -1, -1).first->second.second = value;
        std::erase_if(expected, [](const auto& entry) { return entry.second.first == entry.second.second; });
        REQUIRE(told == expected);
    }
}

TEST_CASE("object map: ascending and descending loads of thousands are whole", "[control]") {
    for (const bool ascending : {true, false}) {
        Map map;
        for (int i = 0; i < 5000; ++i) map.put(thing(std::to_string(10000 + (ascending ? i : 4999 - i)), i));
        CHECK(content(map).size() == 5000);
        CHECK(map.find("14999") != nullptr);
        CHECK(map.find("10000") != nullptr);
        CHECK(map.find("15000") == nullptr);
    }
}

TEST_CASE("object map: copies are read and let go of on one thread while another changes the original",
          "[control][threads]") {
    constexpr int kObjects = 1500;
    Map map;
    for (int i = 0; i < kObjects; ++i) map.put(thing(std::to_string(10000 + i), 0));
    std::mutex mutex;
    std::optional<Map> handed = map;
    bool done = false;
    int uneven = 0;  // of which every object should have had one value
    std::thread reader([&] {
        for (;;) {
            std::optional<Map> mine;
            {
                const std::lock_guard lock(mutex);
                if (done) return;
                std::swap(mine, handed);
            }
            if (!mine) continue;
            const int first = mine->find("10000")->value;
            mine->for_each([&](const Map::Pointer& one) { uneven += one->value != first; });
        }
    });
    for (int round = 1; round <= 30; ++round) {
        for (int i = 0; i < kObjects; ++i) map.put(thing(std::to_string(10000 + i), round));
        const std::lock_guard lock(mutex);
        handed = map;
    }
    {
        const std::lock_guard lock(mutex);
        done = true;
    }
    reader.join();
    CHECK(uneven == 0);
    CHECK(map.find("11499")->value == 30);
}
