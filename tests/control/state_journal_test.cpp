// The journal beside a generation's file: small generations as what they changed, whole after a crash at any byte.
#include "control/state_journal.hpp"

#include <filesystem>
#include <fstream>

#include <catch2/catch.hpp>

#include "control/document_hash.hpp"
#include "control/state_file.hpp"
#include "tests/control/hub_support.hpp"

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
