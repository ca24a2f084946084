// The arena alone: what comes and goes is used again, whatever its sizes.
#include "lpm/arena.hpp"

#include <map>
#include <vector>

#include <catch2/catch.hpp>

#include "tests/support/random.hpp"

using namespace sekisho;
using namespace sekisho::lpm;

namespace {

constexpr std::size_t kHugePage = std::size_t{2} << 20;

// Blocks as tables have them: many of a line or less, some roots of any length.
std::size_t some_size(test::Random& random) {
    switch (random.below(8)) {
        case 0: return 1 + random.below(std::size_t{64} << 10);
        case 1: return 1 + random.below(std::size_t{4} << 10);
        default: return 1 + random.below(kLineBytes);
    }
}

// No two blocks of these share a byte.
bool are_apart(const std::vector<Block>& blocks) {
    std::map<std::size_t, std::size_t> ends;
    for (const Block& block : blocks) ends[std::size_t{block.unit} * kUnitBytes] = block.bytes;
    std::size_t end = 0;
    for (const auto& [begin, bytes] : ends) {
        if (begin < end) return false;
        end = begin + bytes;
    }
    return ends.size() == blocks.size();
}

// Tables of at most `largest` bytes that come and go, `most` bytes at once; what the arena has committed in the end.
std::size_t committed_after(int rounds, std::size_t most, std::size_t largest) {
    test::Random random("arena");
    Arena arena(std::size_t{1} << 30);
    std::vector<std::vector<Block>> tables;
    std::size_t live = 0;
    for (int round = 0; round < rounds; ++round) {
        std::vector<Block> table;
        std::size_t wanted = random.below(largest);
        while (wanted > 0) {
            const std::size_t size = std::min(wanted, some_size(random));
            table.push_back(arena.allocate(size, 1));
            REQUIRE(table.back().unit != 0);
            live += size;
            wanted -= size;
        }
        tables.push_back(std::move(table));
        while (live > most) {
            const std::size_t which = random.below(tables.size());
            for (const Block& block : tables[which]) {
                live -= block.bytes;
                arena.free(block);
            }
            tables.erase(tables.begin() + static_cast<std::ptrdiff_t>(which));
        }
    }
    std::vector<Block> all;
    for (const auto& table : tables) all.insert(all.end(), table.begin(), table.end());
    CHECK(are_apart(all));
    return arena.committed_bytes();
}

}  // namespace

TEST_CASE("arena: tables of changing sizes that come and go do not make it grow", "[lpm]") {
    constexpr std::size_t kLive = std::size_t{4} << 20;
    // A quarter more is allowed, the table that is made before another goes, what blocks lose at their ends, and, with
    // one seed in some hundreds, a page for a root that no free run was long enough for.
    CHECK(committed_after(400, kLive, kLive / 4) <= 2 * kLive + 2 * kHugePage);
}

// Free space in pieces, each too short, is put together before the arena grows, however little was freed since.
TEST_CASE("arena: nearly empty, it does not grow, however often tables come and go", "[lpm]") {
    CHECK(committed_after(20'000, kHugePage / 8, kHugePage / 8) == kHugePage);
}
