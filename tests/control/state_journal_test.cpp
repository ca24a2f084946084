// The journal beside a generation's file: small generations as what they changed, whole after a crash at any byte.
#include "control/state_journal.hpp"

#include <filesystem>
#include <fstream>

#include <catch2/catch.hpp>

#include "control/document_hash.hpp"
#include "control/state_file.hpp"
#include "tests/control/hub_support.hpp"
#include "tests/support/sanitizer.hpp"

using namespace sekisho;
using namespace sekisho::control;
using namespace sekisho::control::test;

namespace {

// A state directory whose generations are kept as changes from the second on.
struct Store {
    TemporaryDirectory directory;
    std::unique_ptr<StateStore> state;
    std::vector<Document> documents{Document()};  // by number

    Store() { open(); }
    void open(std::size_t keep = StateStore::kKeep) {
        state.reset();
        state = std::move(StateStore::open(directory / "state", keep, 0).value());
    }
    // Generation N has operators 0 to N % 7.
    void save(std::uint64_t number) {
        std::vector<std::string> names;
        for (std::uint64_t i = 0; i <= number % 7; ++i) names.push_back("operator-" + std::to_string(i));
        documents.push_back(as_document(a_document(names)));
        REQUIRE(state->save(record_of(number), documents.back()));
    }
    GenerationRecord record_of(std::uint64_t number) const {
        GenerationRecord record;
        record.number = number;
        record.committed = "2026-11-26T12:00:00+09:00";
        record.what = "commit";
        record.rules_version = "1";
        const DocumentHash hash = hash_of(documents[number]);
        record.bytes = hash.bytes;
        record.hash = hash.text;
        return record;
    }
    std::uint64_t last() const {
        const auto saved = state->load();
        REQUIRE(saved);
        REQUIRE(*saved);
        const std::uint64_t number = (*saved)->record.number;
        REQUIRE(StateStore::document_of(**saved).value() == documents[number]);
        return number;
    }
    std::vector<std::uint64_t> kept() const {
        std::vector<std::uint64_t> numbers;
        for (const GenerationRecord& record : state->kept()) numbers.push_back(record.number);
        return numbers;
    }
    void has(std::uint64_t number) const {
        const auto saved = state->load(number);
        REQUIRE(saved);
        CHECK(saved->record.number == number);
        CHECK(StateStore::document_of(*saved).value() == documents[number]);
    }
};

using Kept = std::vector<std::uint64_t>;

void write(const std::string& path, const std::string& bytes) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

}  // namespace

TEST_CASE("journal: small generations follow the whole one as their changes, and each comes back", "[control]") {
    Store store;
    for (std::uint64_t number = 1; number <= 4; ++number) store.save(number);
    CHECK(record_of(nlohmann::json::parse(*read_first_line(store.state->file()))).value().number == 1);
    CHECK(store.last() == 4);
    CHECK(store.kept() == Kept{1, 2, 3});
    for (std::uint64_t number = 1; number <= 4; ++number) store.has(number);
    CHECK(store.state->load(5).error().words.ends_with("is not kept; there are 1, 2, 3"));

    store.open();  // a restart, which does not know the document until it is told
    CHECK(store.last() == 4);
    store.state->loaded(store.documents[4]);
    store.save(5);
    CHECK(store.last() == 5);
    CHECK(store.kept() == Kept{1, 2, 3, 4});

    store.open();
    store.save(6);  // whole, because nobody told; the journal goes with the one that it follows
    CHECK_FALSE(std::filesystem::exists(store.state->journal_file()));
    CHECK(store.last() == 6);
    CHECK(store.kept() == Kept{1, 2, 3, 4, 5});
    for (std::uint64_t number = 1; number <= 6; ++number) store.has(number);
}

TEST_CASE("journal: so many generations are kept and no more", "[control]") {
    Store store;
    store.open(3);
    for (std::uint64_t number = 1; number <= 3; ++number) store.save(number);
    store.open(3);
    store.save(4);
    store.save(5);
    CHECK(store.kept() == Kept{2, 3, 4});
    store.open(3);
    store.save(6);
    CHECK(store.kept() == Kept{3, 4, 5});
    store.open(3);
    store.save(7);  // 4 to 6 are enough: the file of 1 to 3 goes
    CHECK(store.kept() == Kept{4, 5, 6});
    CHECK_FALSE(std::filesystem::exists(store.state->kept_file(1, true)));
    CHECK_FALSE(std::filesystem::exists(store.state->kept_file(1, true) + ".journal"));
    CHECK(store.last() == 7);
}

TEST_CASE("journal: cut off at any byte, it ends with a generation that was whole, and goes on from there",
          "[control]") {
    Store store;
    for (std::uint64_t number = 1; number <= 3; ++number) store.save(number);
    const std::string journal = store.state->journal_file();
    const std::string whole = read_whole(journal).value();
    const std::uint64_t second = read_journal(journal, "").value()->bytes;
    REQUIRE(second == whole.size());
    std::size_t threes = 0;
    for (std::size_t size = whole.find('\n') + 1; size <= whole.size(); ++size) {
        write(journal, whole.substr(0, size));
        const std::uint64_t last = store.last();
        threes += last == 3 ? 1 : 0;
        REQUIRE((last == 3) == (size == whole.size()));
    }
    CHECK(threes == 1);
    // Nothing was written where the file is long already: a file system may leave zeros.
    write(journal, whole.substr(0, whole.size() - 40) + std::string(40, '\0'));
    store.open();
    CHECK(store.last() == 2);
    store.state->loaded(store.documents[2]);
    store.documents.pop_back();
    store.save(3);
    CHECK(store.last() == 3);
    CHECK(read_whole(journal).value() == whole);
}

TEST_CASE("journal: what was whole and is not as it was written is refused, not passed over", "[control]") {
    Store store;
    for (std::uint64_t number = 1; number <= 3; ++number) store.save(number);
    const std::string journal = store.state->journal_file();
    const std::string whole = read_whole(journal).value();
    const auto words = [&] { return store.state->load().error().words; };
    std::string changed = whole;
    changed[whole.rfind("operator-3")] = 'O';
    write(journal, changed);
    CHECK(words().find("its entry 2 has a wrong checksum") != std::string::npos);
    changed = whole;
    changed.replace(whole.find("end\n"), 4, "END\n");
    write(journal, changed);
    CHECK(words().find("its entry 1 has no end") != std::string::npos);
    write(journal, "{}\n");
    CHECK(words().find("does not describe a journal") != std::string::npos);
    CHECK(words().find("--policy-replace") != std::string::npos);

    // Of a generation that was replaced: a crash left it.
    write(journal, whole);
    store.open();
    store.state->loaded(store.documents[3]);
    std::filesystem::copy_file(journal, journal + ".left");
    store.open();
    store.save(4);
    std::filesystem::rename(journal + ".left", journal);
    store.open();
    CHECK(store.last() == 4);
}

TEST_CASE("journal: a generation that is confirmed is whole, and a change may follow it", "[control]") {
    Store store;
    store.save(1);
    store.save(2);
    store.documents.push_back(as_document(a_document({"kita"})));
    REQUIRE(store.state->save_unconfirmed(store.record_of(3), store.documents[3]));
    CHECK(store.last() == 2);
    REQUIRE(store.state->confirm());
    CHECK(store.last() == 3);
    CHECK(store.kept() == Kept{1, 2});
    store.save(4);
    CHECK(std::filesystem::exists(store.state->journal_file()));
    CHECK(store.last() == 4);
    CHECK(store.kept() == Kept{1, 2, 3});
    for (std::uint64_t number = 1; number <= 4; ++number) store.has(number);
}

namespace {

// Generations of which every one changes 60 objects: a few fill half a journal.
struct LargeStore : Store {
    void save_large(std::uint64_t number) {
        std::vector<std::string> names;
        for (int i = 0; i < 60; ++i) names.push_back("operator-" + std::to_string(i));
        nlohmann::json document = a_document(names);
        for (auto& each : document["operators"]) each["name"] = std::string(250, 'x') + std::to_string(number);
        documents.push_back(as_document(document));
        REQUIRE(state->save(record_of(number), documents.back()));
    }
    // Until the journal is half full.
    StateStore::Compaction fill() {
        for (;;) {
            save_large(documents.size());
            auto compaction = state->begin_compaction();
            if (!compaction) continue;
            CHECK(compaction->record.number == documents.size() - 1);
            CHECK_FALSE(state->begin_compaction());  // one at a time
            return std::move(*compaction);
        }
    }
    void save_next() { save_large(documents.size()); }
    void has_all() const {
        CHECK(last() == documents.size() - 1);
        Kept numbers;
        for (std::uint64_t number = 1; number + 1 < documents.size(); ++number) numbers.push_back(number);
        CHECK(kept() == numbers);
        for (std::uint64_t number = 1; number < documents.size(); ++number) has(number);
    }
    std::uint64_t follows() const { return read_journal(state->journal_file(), "").value()->follows; }
};
constexpr std::size_t kCutEvery = sekisho::test::kSanitized ? 9973 : 997;  // bytes; primes
}  // namespace

TEST_CASE("journal: it is shortened beside the generations that come meanwhile", "[control]") {
    LargeStore store;
    const auto compaction = store.fill();
    const std::uint64_t full = compaction.record.number;
    store.save_next();
    REQUIRE(StateStore::write(compaction));
    store.save_next();
    store.has_all();
    CHECK(store.follows() == 1);
    REQUIRE(store.state->finish(compaction, {}));
    CHECK(store.follows() == full);
    store.has_all();
    CHECK_FALSE(std::filesystem::exists(compaction.path));

    store.open();
    store.has_all();
    store.state->loaded(store.documents.back());
    store.save_next();
    store.has_all();
    CHECK(store.follows() == full);
}

TEST_CASE("journal: shortened with nothing behind it, it is gone until the next generation", "[control]") {
    LargeStore store;
    const auto compaction = store.fill();
    const std::uint64_t full = compaction.record.number;
    REQUIRE(StateStore::write(compaction));
    REQUIRE(store.state->finish(compaction, {}));
    CHECK_FALSE(std::filesystem::exists(store.state->journal_file()));
    store.has_all();
    store.save_next();
    CHECK(store.follows() == full);
    store.has_all();
}

TEST_CASE("journal: a crash at any step of shortening it, and amid what is written, loses nothing", "[control]") {
    LargeStore store;
    const auto compaction = store.fill();
    const std::uint64_t full = compaction.record.number;
    store.save_next();
    const std::string directory = store.directory / "state";
    const auto restart = [&](std::uint64_t follows) {
        store.open();
        store.has_all();
        CHECK(store.follows() == follows);
        CHECK_FALSE(std::filesystem::exists(directory + "/generation.next"));
    };
    REQUIRE(StateStore::write(compaction));
    const std::string whole = read_whole(compaction.path).value();
    // 1. While the document is written, and before it takes its place.
    for (std::size_t size = 0; size < whole.size(); size += kCutEvery) {
        std::filesystem::remove(compaction.path);
        write(compaction.path + ".new", whole.substr(0, size));
        restart(1);
    }
    write(compaction.path, whole);
    restart(1);
    // 2. Before the journal is shortened, and while it is.
    const std::string journal = read_whole(directory + "/journal").value();
    std::filesystem::create_hard_link(directory + "/journal", directory + "/kept/1.journal");
    std::filesystem::create_hard_link(directory + "/generation", directory + "/kept/1");
    write(compaction.path, whole);
    std::filesystem::rename(compaction.path, directory + "/generation");
    CHECK(store.last() == full + 1);
    restart(full);
    const std::string shortened = read_whole(directory + "/journal").value();
    for (std::size_t size = 0; size < shortened.size(); size += kCutEvery) {
        write(directory + "/journal", journal);
        write(directory + "/journal.new", shortened.substr(0, size));
        restart(full);
    }
    // 3. It goes on as ever.
    store.state->loaded(store.documents.back());
    store.save_next();
    store.has_all();
}

TEST_CASE("journal: what was written whole is dropped when another document took the place, or it failed",
          "[control]") {
    LargeStore store;
    auto compaction = store.fill();
    REQUIRE(StateStore::write(compaction));
    CHECK_FALSE(store.state->finish(compaction, Error{ErrorCode::unavailable, "no space"}));
    CHECK_FALSE(std::filesystem::exists(compaction.path));
    store.has_all();

    compaction = store.state->begin_compaction().value();
    REQUIRE(StateStore::write(compaction));
    store.documents.push_back(as_document(a_document({"kita"})));
    REQUIRE(store.state->save_unconfirmed(store.record_of(store.documents.size() - 1), store.documents.back()));
    REQUIRE(store.state->confirm());
    REQUIRE(store.state->finish(compaction, {}));
    CHECK_FALSE(std::filesystem::exists(compaction.path));
    store.has_all();
}
