// The nonce ledger's file: lost, copied, damaged, torn, locked, without room. What is doubtful is refused.
#include <csignal>
#include <cstring>
#include <sys/resource.h>

#include "tests/crypto/ledger_support.hpp"

using namespace sekisho;
using namespace sekisho::test;

TEST_CASE("ledger: a file that was lost is not made again by itself", "[crypto]") {
    Node node;
    node.make();
    (void)node.sound();
    std::filesystem::remove(node.options.path);
    says(node.refusal(), "there is no ledger");
    says(node.refusal(), "there is no ledger");
}

TEST_CASE("ledger: an old copy is refused, written over the file or put in its place", "[crypto]") {
    for (const bool in_place : {false, true}) {
        Node node;
        node.make();
        auto ledger = node.sound();
        const std::string old = node.contents();
        SequenceWord word;
        REQUIRE(node.admit(*ledger, manual(1, word)));
        CHECK(drain(word) == 100);
        ledger.reset();
        if (in_place) {
            node.overwrite(old);
            says(node.refusal(), "an old copy");  // only the witness can know
        } else {
            std::filesystem::remove(node.options.path);
            std::ofstream(node.options.path, std::ios::binary) << old;
            says(node.refusal(), "a copy of the ledger");
        }
    }
}

TEST_CASE("ledger: a copy of what is current is refused too: it could be put back later", "[crypto]") {
    Node node;
    node.make();
    (void)node.sound();
    std::filesystem::copy_file(node.options.path, node.directory.file("copy"));
    std::filesystem::rename(node.directory.file("copy"), node.options.path);
    says(node.refusal(), "a copy of the ledger");
}

TEST_CASE("ledger: any wrong byte, and any cut that loses a commit, is refused", "[crypto]") {
    Node node;
    node.make();
    SequenceWord words[3];
    {
        auto ledger = node.sound();
        for (std::uint8_t i = 0; i < 3; ++i) REQUIRE(node.admit(*ledger, manual(i, words[i])));
    }
    const std::string good = node.contents();
    REQUIRE(good.size() == 128 + 64 + 3 * 128);
    for (std::size_t at = 0; at < good.size(); ++at) {
        std::string bad = good;
        bad[at] = static_cast<char>(bad[at] ^ 0x20);
        node.overwrite(bad);
        REQUIRE_FALSE(node.start()->standing());
    }
    for (std::size_t length = 0; length < good.size(); length += 7) {
        node.overwrite(good.substr(0, length));
        REQUIRE_FALSE(node.start()->standing());
    }
    node.overwrite(good);
    (void)node.sound();
}

TEST_CASE("ledger: a commit that was torn, and so never used, does not matter", "[crypto]") {
    Node node;
    node.make();
    SequenceWord word, other;
    (void)node.sound();
    std::map<LedgerId, LedgerEpoch> witnessed;
    {
        auto ledger = node.sound();
        witnessed = node.witness.epochs;
        REQUIRE(node.admit(*ledger, manual(1, word)));
    }
    // As if the power went while the second commit was on its way: nothing witnessed it.
    const std::string good = node.contents();
    for (std::size_t length = good.size() - 127; length < good.size(); ++length) {
        node.overwrite(good.substr(0, length));
        node.witness.epochs = witnessed;
        // Read only: open() would write the file anew.
        auto file = LedgerFile::lock(node.options.path);
        REQUIRE(file);
        const auto read = file->read();
        REQUIRE(read);
        CHECK(read->epoch == witnessed.begin()->second);
    }
    node.overwrite(good.substr(0, good.size() - 1));
    auto ledger = node.sound();
    REQUIRE(node.admit(*ledger, manual(1, other)));
    CHECK(other.take(1).first == 101);  // its reserve was readable, so it is skipped all the same
}

TEST_CASE("ledger: of two processes one has it", "[crypto]") {
    Node node;
    node.make();
    auto ledger = node.sound();
    says(node.start()->standing().error().words, "another process");
    CHECK_FALSE(Ledger::make(node.options, kNow));
    ledger.reset();
    (void)node.sound();
}

TEST_CASE("ledger: a full disk stops reserves, not what was reserved, and all goes on when there is room", "[crypto]") {
    Node node;
    node.make();
    auto ledger = node.sound();
    SequenceWord word, other;
    REQUIRE(node.admit(*ledger, manual(1, word)));
    const std::string before = node.contents();
    CHECK(word.take(60).count == 60);
    // No file may grow beyond this: the next record fits in part.
    rlimit unlimited{};
    REQUIRE(getrlimit(RLIMIT_FSIZE, &unlimited) == 0);
    const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
    const rlimit full{before.size() + 40, unlimited.rlim_max};
    REQUIRE(setrlimit(RLIMIT_FSIZE, &full) == 0);
    const auto refused = ledger->renew(Ledger::Instant());
    const auto not_admitted = node.admit(*ledger, manual(2, other));
    const auto not_made = Ledger::open(node.options);
    REQUIRE(setrlimit(RLIMIT_FSIZE, &unlimited) == 0);
    std::signal(SIGXFSZ, old_handler);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == ErrorCode::unavailable);
    says(refused.error().words, "append");
    CHECK_FALSE(not_admitted);
    CHECK(other.take(1).count == 0);
    CHECK(node.contents() == before);  // nothing in part
    CHECK(drain(word) == 40);
    REQUIRE(ledger->renew(Ledger::Instant()));
    CHECK(word.take(1).first == 101);
    ledger.reset();
    (void)node.sound();
}

TEST_CASE("ledger: ten thousand keys come back from the file as they were", "[crypto]") {
    Node node;
    node.make();
    std::vector<SequenceWord> words(10'000);
    std::vector<NumberRequest> requests;
    for (std::size_t i = 0; i < words.size(); ++i) {
        std::vector<std::uint8_t> key(20);
        std::memcpy(key.data(), &i, sizeof i);
        requests.push_back(manual(0, words[i]));
        requests.back().key = fingerprint_of(Suite::aes_gcm_128, Secret(key));
    }
    auto ledger = node.sound();
    REQUIRE(ledger->admit(requests, kNow, Ledger::Instant()));
    const auto ends = ledger->contents().ends;
    CHECK(ends.size() == words.size());
    ledger.reset();
    CHECK(node.sound()->contents().ends == ends);
}
