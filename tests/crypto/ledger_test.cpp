// The nonce ledger: when it refuses, and that what it gave once it never gives again.
#include <cstring>

#include "tests/crypto/ledger_support.hpp"

using namespace sekisho;
using namespace sekisho::test;

TEST_CASE("ledger: one that did not stand is asked again, and keeps what it knows of IKE's keys", "[crypto]") {
    Directory directory;
    LedgerOptions options;
    options.path = directory.file("ledger");
    options.local_ledger = true;
    const auto ledger = Ledger::open(options);
    REQUIRE_FALSE(ledger->standing());
    SequenceWord ike_word, manual_word;
    const auto instant = Ledger::Instant();
    NumberRequest ike{{{1}}, KeyOrigin::ike, {}, 1000, &ike_word};
    NumberRequest manual{{{2}}, KeyOrigin::manual, WallTime(std::chrono::seconds(2000)), 1000, &manual_word};
    const WallTime now(std::chrono::seconds(3000));
    REQUIRE(ledger->admit({{ike}}, now, instant));
    REQUIRE_FALSE(ledger->admit({{manual}}, now, instant));
    ledger->try_again();
    CHECK_FALSE(ledger->standing());
    REQUIRE(Ledger::make(options, WallTime(std::chrono::seconds(1000))));
    ledger->try_again();
    REQUIRE(ledger->standing());
    CHECK(ledger->contents().birth == WallTime(std::chrono::seconds(1000)));
    CHECK(ledger->admit({{manual}}, now, instant));
    CHECK(ledger->manual_keys_in_use() == 1);
    ledger->try_again();  // it stands: nothing is forgotten
    CHECK(ledger->manual_keys_in_use() == 1);
    CHECK(ledger->admit({{ike}}, now, instant).error().code == ErrorCode::exists);
}

TEST_CASE("ledger: where there is none, manual keys are refused", "[crypto]") {
    Node node;
    says(node.refusal(), "there is no ledger");
}

TEST_CASE("ledger: no witness, a silent one, one that forgot, one that was put back: all refused", "[crypto]") {
    Node node;
    node.make();
    (void)node.sound();
    node.witness.silent = true;
    says(node.refusal(), "no answer");
    node.witness.silent = false;
    const auto epochs = node.witness.epochs;
    (void)node.sound();
    (void)node.sound();
    node.witness.epochs = epochs;
    says(node.refusal(), "not what the witness saw");
    node.witness.epochs.clear();
    says(node.refusal(), "never heard of");
    node.options.witness = nullptr;
    says(node.refusal(), "no witness");
}

TEST_CASE("ledger: of a machine and its clone, at one moment with one ledger, only one goes on", "[crypto]") {
    for (const bool clone_first : {false, true}) {
        Node node;
        node.make();
        const auto here = node.sound();
        SequenceWord word, other, theirs;
        REQUIRE(node.admit(*here, manual(1, word)));
        // The clone has the same file in the same place, as far as it can tell, and nobody's lock.
        std::filesystem::remove(node.options.path + ".lock");
        if (!clone_first) {
            // This one goes on: what the clone starts from is old.
            const std::string at_that_moment = node.contents();
            REQUIRE(node.admit(*here, manual(2, other)));
            node.overwrite(at_that_moment);
            says(node.start()->standing().error().words, "an old copy");
            REQUIRE(node.admit(*here, manual(3, theirs)));
            continue;
        }
        // The clone starts first, and comes to the number that this one's next commit has.
        const auto clone = node.sound();
        says(node.admit(*here, manual(2, other)).error().words, "an epoch of a clone");
        CHECK(drain(other) == 0);
        drain(word);
        for (int i = 0; i < 3; ++i) CHECK_FALSE(here->renew(Ledger::Instant()));
        CHECK(drain(word) == 0);
        REQUIRE(node.admit(*clone, manual(1, theirs)));
        CHECK(theirs.take(1).first == 101);  // behind what this one had
        CHECK_FALSE(here->renew(Ledger::Instant()));
    }
}

TEST_CASE("ledger: a file whose last epoch is not the one that was witnessed is a clone's, or had one", "[crypto]") {
    Node node;
    node.make();
    (void)node.sound();
    node.witness.epochs.begin()->second.mark[5] ^= 1;
    says(node.refusal(), "a clone");
}

TEST_CASE("ledger: without a witness the local file alone is trusted only when the node says so", "[crypto]") {
    Node node;
    node.options.witness = nullptr;
    node.make();
    says(node.refusal(), "no witness");
    node.options.local_ledger = true;
    SequenceWord word;
    auto ledger = node.sound();
    CHECK(node.admit(*ledger, manual(1, word)));
    CHECK(word.take(1).first == 1);
}

TEST_CASE("ledger: keys older than the ledger, of the future, in use, or of another node are refused by name",
          "[crypto]") {
    Node node;
    node.make();
    auto ledger = node.sound();
    SequenceWord word, other;
    NumberRequest request = manual(1, word);
    request.created = kBirth;
    const auto older = node.admit(*ledger, request);
    REQUIRE_FALSE(older);
    says(older.error().words, "older than the ledger");
    says(older.error().words, key_named(1).text());
    request.created = kNow + 1s;
    says(node.admit(*ledger, request).error().words, "future");
    REQUIRE(node.admit(*ledger, manual(1, word)));
    says(node.admit(*ledger, manual(1, other)).error().words, "another SA uses it");
    NumberRequest twice[] = {manual(2, word), manual(2, other)};
    says(ledger->admit(twice, kNow, Ledger::Instant()).error().words, "two SAs");

    Node second;  // another node, the same witness
    second.options.witness = &node.witness;
    second.make();
    auto elsewhere = second.sound();
    const auto claimed = second.admit(*elsewhere, manual(1, other));
    REQUIRE_FALSE(claimed);
    CHECK(claimed.error().code == ErrorCode::exists);
    says(claimed.error().words, "another node's");
    CHECK(other.take(1).count == 0);
}

TEST_CASE("ledger: all keys of a request are admitted or none", "[crypto]") {
    Node node;
    node.make();
    auto ledger = node.sound();
    SequenceWord words[3];
    NumberRequest requests[] = {manual(1, words[0]), manual(2, words[1]), manual(3, words[2])};
    requests[2].created = kBirth;
    CHECK_FALSE(ledger->admit(requests, kNow, Ledger::Instant()));
    for (SequenceWord& word : words) CHECK(word.take(1).count == 0);
    CHECK(ledger->contents().ends.empty());
    requests[2].created = kNow;
    const std::uint64_t epoch = ledger->contents().epoch.number;
    REQUIRE(ledger->admit(requests, kNow, Ledger::Instant()));
    CHECK(ledger->contents().epoch.number == epoch + 1);  // one commit for all
    for (SequenceWord& word : words) CHECK(drain(word) == 100);
}

TEST_CASE("ledger: a restart starts behind what was reserved, used or not", "[crypto][conformance-36]") {
    Node node;
    node.make();
    std::uint64_t expected = 1;
    for (int restart = 0; restart < 5; ++restart) {
        auto ledger = node.sound();
        SequenceWord word;
        REQUIRE(node.admit(*ledger, manual(1, word)));
        CHECK(word.take(3).first == expected);
        ledger.reset();
        expected += 100;
    }
}

TEST_CASE("ledger: a key that is taken away and given again goes on behind its reserve", "[crypto]") {
    Node node;
    node.make();
    auto ledger = node.sound();
    SequenceWord word, again;
    REQUIRE(node.admit(*ledger, manual(1, word)));
    ledger->release(key_named(1));
    REQUIRE(node.admit(*ledger, manual(1, again)));
    CHECK(again.take(1).first == 101);
}

TEST_CASE("ledger: an IKE key is given once, and never after a manual life", "[crypto]") {
    Node node;
    node.make();
    auto ledger = node.sound();
    SequenceWord word, again;
    NumberRequest ike = manual(1, word, kLastSequence);
    ike.origin = KeyOrigin::ike;
    REQUIRE(node.admit(*ledger, ike));
    CHECK(word.end() == kLastSequence + 1);  // no reserves
    CHECK_FALSE(node.admit(*ledger, ike));
    ledger->release(ike.key);
    says(node.admit(*ledger, ike).error().words, "used since this start");
    says(node.admit(*ledger, manual(1, again)).error().words, "used since this start");
    REQUIRE(node.admit(*ledger, manual(2, again)));
    ledger->release(key_named(2));
    ike.key = key_named(2);
    says(node.admit(*ledger, ike).error().words, "was a manual key");
}

TEST_CASE("ledger: reserves are renewed before they end, follow the rate, and stop at the last number", "[crypto]") {
    Node node;
    node.options.largest_reserve = 10'000;
    node.make();
    auto ledger = node.sound();
    SequenceWord word, idle;
    constexpr std::uint64_t kLast = 200'000;
    REQUIRE(node.admit(*ledger, manual(1, word, kLast)));
    REQUIRE(node.admit(*ledger, manual(2, idle)));
    Ledger::Instant now;
    std::uint64_t taken = 0, commits = ledger->contents().epoch.number, largest = 0;
    // 20 numbers a millisecond; renewed every 2 ms; the horizon is 4 s, so reserves grow to the largest.
    for (; taken < kLast; now += 2ms) {
        REQUIRE(ledger->renew(now));
        const std::uint64_t got = word.take(40).count;
        REQUIRE(got == std::min<std::uint64_t>(40, kLast - taken));
        taken += got;
        largest = std::max(largest, word.end() - word.next());
    }
    CHECK(largest > 9'000);
    CHECK(largest <= 10'000);
    commits = ledger->contents().epoch.number - commits;
    CHECK(commits < 120);
    CHECK(word.is_spent());
    REQUIRE(ledger->renew(now));
    CHECK(word.take(1).count == 0);
    CHECK(idle.end() == 101);  // who sends nothing reserves nothing
    ledger->release(key_named(1));
    SequenceWord again;
    CHECK(node.admit(*ledger, manual(1, again, kLast)).error().code == ErrorCode::limit);
}

TEST_CASE("ledger: a witness that falls silent stops reserves, and nothing is lost when it speaks again", "[crypto]") {
    Node node;
    node.make();
    auto ledger = node.sound();
    SequenceWord word;
    REQUIRE(node.admit(*ledger, manual(1, word)));
    CHECK(drain(word) == 100);
    node.witness.silent = true;
    const std::uint64_t epoch = ledger->contents().epoch.number;
    for (int i = 0; i < 5; ++i) CHECK_FALSE(ledger->renew(Ledger::Instant()));
    CHECK(drain(word) == 0);  // on the disk, but nobody else knows
    CHECK(ledger->contents().epoch.number <= epoch + 1);
    SequenceWord other;
    CHECK_FALSE(node.admit(*ledger, manual(2, other)));
    CHECK(other.take(1).count == 0);
    node.witness.silent = false;
    REQUIRE(ledger->renew(Ledger::Instant()));
    CHECK(word.take(1).first == 101);
    // Killed while the witness was behind by one: fine.
    node.witness.silent = true;
    (void)drain(word);
    CHECK_FALSE(ledger->renew(Ledger::Instant()));
    ledger.reset();
    node.witness.silent = false;
    ledger = node.sound();
    SequenceWord later;
    REQUIRE(node.admit(*ledger, manual(1, later)));
    CHECK(later.take(1).first > 200);
}

TEST_CASE("ledger: a new one refuses all keys of the old one", "[crypto]") {
    Node node;
    node.make();
    (void)node.sound();
    std::filesystem::remove(node.options.path);
    REQUIRE(Ledger::make(node.options, kNow));
    auto ledger = node.sound();
    SequenceWord word;
    NumberRequest request = manual(1, word);
    says(ledger->admit({&request, 1}, kNow + 1h, Ledger::Instant()).error().words, "older than the ledger");
    request.created = kNow + 1s;
    CHECK(ledger->admit({&request, 1}, kNow + 1h, Ledger::Instant()));
}

TEST_CASE("fingerprints: told apart by key, not by salt, and the key is not in them", "[crypto]") {
    std::vector<std::uint8_t> material(36, 0x11);
    const Fingerprint first = fingerprint_of(Suite::aes_gcm_256, Secret(material));
    material[35] = 0x12;
    CHECK(fingerprint_of(Suite::aes_gcm_256, Secret(material)) == first);
    material[31] = 0x12;
    CHECK(fingerprint_of(Suite::aes_gcm_256, Secret(material)) != first);
    CHECK(first.text().size() == 32);
    CHECK(first.text().find("1111") == std::string::npos);
}
