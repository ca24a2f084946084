// The nonce ledger: when it refuses, and that what it gave once it never gives again.
#include <csignal>
#include <cstring>
#include <fstream>
#include <sys/resource.h>

#include "tests/crypto/ledger_support.hpp"
#include "tests/support/random.hpp"

using namespace sekisho;
using namespace sekisho::test;

namespace {

// A node: a directory and a witness that survive its restarts.
struct Node {
    Node() {
        options.path = directory.file("ledger");
        options.witness = &witness;
        options.smallest_reserve = 100;
    }
    void make() {
        const auto made = Ledger::make(options, kBirth);
        INFO((made ? std::string() : made.error().words));
        REQUIRE(made);
    }
    std::unique_ptr<Ledger> start() { return Ledger::open(options); }
    std::unique_ptr<Ledger> sound() {
        auto ledger = start();
        INFO((ledger->standing() ? std::string() : ledger->standing().error().words));
        REQUIRE(ledger->standing());
        return ledger;
    }
    std::string refusal() {
        const auto ledger = start();
        REQUIRE_FALSE(ledger->standing());
        // Whatever the reason: manual keys are refused by it, IKE's are not.
        SequenceWord word;
        const auto refused = admit(*ledger, manual(1, word));
        REQUIRE_FALSE(refused);
        CHECK(refused.error().code == ErrorCode::permission);
        CHECK(word.take(1).count == 0);
        NumberRequest ike = manual(2, word);
        ike.origin = KeyOrigin::ike;
        CHECK(admit(*ledger, ike));
        CHECK(word.take(1).first == 1);
        return ledger->standing().error().words;
    }
    Expected<void> admit(Ledger& ledger, const NumberRequest& request) {
        return ledger.admit({&request, 1}, kNow, Ledger::Instant());
    }
    std::string contents() const {
        std::ifstream file(options.path, std::ios::binary);
        return {std::istreambuf_iterator<char>(file), {}};
    }
    void overwrite(const std::string& bytes) const {
        std::fstream file(options.path, std::ios::binary | std::ios::in | std::ios::out);
        file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
        file.close();
        std::filesystem::resize_file(options.path, bytes.size());
    }

    Directory directory;
    MemoryWitness witness;
    LedgerOptions options;
};

std::uint64_t drain(SequenceWord& word) {
    std::uint64_t count = 0;
    while (const auto range = word.take(7).count) count += range;
    return count;
}

bool says(const std::string& words, const std::string& part) {
    INFO(words);
    CHECK(words.find(part) != std::string::npos);
    return words.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("ledger: where there is none, manual keys are refused", "[crypto]") {
    Node node;
    says(node.refusal(), "there is no ledger");
}

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
    const std::string before = node.contents();
    const auto epochs = node.witness.epochs;
    {
        auto ledger = node.sound();
        REQUIRE(node.admit(*ledger, manual(1, word)));
    }
    // As if the power went while the second commit was on its way: nothing witnessed it.
    const std::string good = node.contents();
    const std::uint64_t witnessed = node.witness.epochs.begin()->second - 1;
    for (std::size_t length = good.size() - 127; length < good.size(); ++length) {
        node.overwrite(good.substr(0, length));
        node.witness.epochs.begin()->second = witnessed;
        const auto saved = node.contents();
        // open() writes the file anew, so each round starts from a file of its own: read it only.
        auto file = LedgerFile::lock(node.options.path);
        REQUIRE(file);
        const auto read = file->read();
        REQUIRE(read);
        CHECK(read->epoch == witnessed);
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
    const std::uint64_t epoch = ledger->contents().epoch;
    REQUIRE(ledger->admit(requests, kNow, Ledger::Instant()));
    CHECK(ledger->contents().epoch == epoch + 1);  // one commit for all
    for (SequenceWord& word : words) CHECK(drain(word) == 100);
}

TEST_CASE("ledger: a restart starts behind what was reserved, used or not", "[crypto]") {
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
    std::uint64_t taken = 0, commits = ledger->contents().epoch, largest = 0;
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
    commits = ledger->contents().epoch - commits;
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
    const std::uint64_t epoch = ledger->contents().epoch;
    for (int i = 0; i < 5; ++i) CHECK_FALSE(ledger->renew(Ledger::Instant()));
    CHECK(drain(word) == 0);  // on the disk, but nobody else knows
    CHECK(ledger->contents().epoch <= epoch + 1);
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
