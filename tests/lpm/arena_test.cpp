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

}  // namespace

TEST_CASE("arena: tables of changing sizes that come and go do not make it grow", "[lpm]") {
    test::Random random("arena");
    constexpr std::size_t kLive = std::size_t{4} << 20;
    Arena arena(std::size_t{1} << 30);
    std::vector<std::vector<Block>> tables;
    std::size_t live = 0;
    for (int round = 0; round < 400; ++round) {
        std::vector<Block> table;
        std::size_t wanted = random.below(kLive / 4);
        while (wanted > 0) {
            const std::size_t size = std::min(wanted, some_size(random));
            table.push_back(arena.allocate(size, 1));
            REQUIRE(table.back().unit != 0);
            live += size;
            wanted -= size;
        }
        tables.push_back(std::move(table));
        while (live > kLive) {
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
    // A quarter more is allowed, the table that is made before another goes, what blocks lose at their ends, and, with
    // one seed in some hundreds, a page for a root that no free run was long enough for.
    CHECK(arena.committed_bytes() <= 2 * kLive + 2 * kHugePage);
}
