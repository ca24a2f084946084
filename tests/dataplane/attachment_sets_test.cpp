// Sets of attachments against sets of the standard library, over all numbers that there may be.
#include "dataplane/attachment_sets.hpp"

#include <set>

#include <catch2/catch.hpp>

#include "dataplane/by_number.hpp"
#include "tests/support/random.hpp"

using namespace sekisho;
using namespace sekisho::dataplane;

TEST_CASE("attachment sets: each has its members and no others, whatever their number", "[path]") {
    sekisho::test::Random random("attachment sets");
    AttachmentSets sets;
    std::vector<std::pair<AttachmentSets::Name, std::set<std::uint32_t>>> added;
    for (int i = 0; i < 300; ++i) {
        std::set<std::uint32_t> members;
        const std::size_t wanted = i % 50 == 0 ? 1000 : random.below(12);
        const std::size_t range = random.one_in(2) ? 16 : kMostAttachments;
        for (std::size_t n = 0; n < wanted; ++n) members.insert(static_cast<std::uint32_t>(random.below(range)));
        added.emplace_back(sets.add(std::vector(members.begin(), members.end())), members);
    }
    for (const auto& [name, members] : added) {
        for (const std::uint32_t member : members) REQUIRE(sets.has(name, AttachmentId(member)));
        for (int i = 0; i < 50; ++i) {
            const auto other = static_cast<std::uint32_t>(random.below(random.one_in(2) ? 16 : kMostAttachments));
            REQUIRE(sets.has(name, AttachmentId(other)) == members.contains(other));
        }
    }
    CHECK_FALSE(sets.has(AttachmentSets::kNone, AttachmentId(0)));
}
