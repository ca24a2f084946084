// The audit log's chain: what is changed, left out, put in or cut off is found.
#include "control/audit_chain.hpp"

#include <sstream>

#include <catch2/catch.hpp>

#include "control/document_hash.hpp"
#include "tests/control/hub_support.hpp"
#include "tests/support/random.hpp"

using namespace sekisho::control;
using namespace sekisho::control::test;
using nlohmann::json;

namespace {

struct Log {
    TemporaryDirectory directory;
    std::string file = directory / "audit.jsonl";

    std::string head;  // of the log when it was closed
    void append(int count) {
        auto log = AuditLog::open(file);
        REQUIRE(log);
        for (int i = 0; i < count; ++i) REQUIRE((*log)->append("test", {{"i", i}}, AuditLog::own_peer()));
        head = (*log)->head();
    }
    std::vector<std::string> lines() const {
        std::ifstream stream(file);
        std::vector<std::string> lines;
        for (std::string line; std::getline(stream, line);) lines.push_back(line);
        return lines;
    }
    void write(const std::vector<std::string>& lines) const {
        std::ofstream stream(file, std::ios::trunc);
        for (const std::string& line : lines) stream << line << "\n";
    }
    ChainVerdict verify(const std::optional<std::string>& remembered = {}, std::uint64_t* line = nullptr) const {
        std::ifstream stream(file, std::ios::binary);
        return verify_chain(stream, remembered, line);
    }
};

}  // namespace

TEST_CASE("audit: an untouched log is whole, over restarts of the daemon too", "[control]") {
    Log log;
    CHECK(log.verify().good());
    CHECK(log.verify().head == kChainBegin);
    log.append(3);
    log.append(2);
    const ChainVerdict verdict = log.verify();
    CHECK(verdict.good());
    CHECK(verdict.lines == 5);
    CHECK(verdict.before == 0);
    CHECK(verdict.head == log.head);
    CHECK(json::parse(log.lines()[0])["previous"] == kChainBegin);
    CHECK(json::parse(log.lines()[3])["previous"] == sha256_text(log.lines()[2]));
}

TEST_CASE("audit: a line that was changed, left out, put in or moved is found, whichever it is", "[control]") {
    Log log;
    log.append(8);
    const auto good = log.lines();
    sekisho::test::Random random("audit chain");
    for (std::size_t i = 0; i + 1 < good.size(); ++i) {  // the last one needs a witness
        INFO("line " << i + 1);
        auto bad = good;
        const std::size_t at = random.below(bad[i].size());
        bad[i][at] = static_cast<char>(bad[i][at] ^ 1);
        log.write(bad);
        CHECK_FALSE(log.verify().good());
        bad = good;
        bad.erase(bad.begin() + static_cast<std::ptrdiff_t>(i));
        log.write(bad);
        CHECK_FALSE(log.verify().good());
        bad = good;
        bad.insert(bad.begin() + static_cast<std::ptrdiff_t>(i), R"({"what": "commit"})");
        log.write(bad);
        CHECK_FALSE(log.verify().good());
        bad = good;
        std::swap(bad[i], bad[i + 1]);
        log.write(bad);
        CHECK_FALSE(log.verify().good());
    }
}

TEST_CASE("audit: an end that was cut off is found by whoever remembers a hash of it", "[control]") {
    Log log;
    log.append(5);
    auto lines = log.lines();
    const std::string head = log.verify().head;
    lines.pop_back();
    log.write(lines);
    CHECK(log.verify().good());
    CHECK_FALSE(log.verify(head).good());
    std::uint64_t line = 0;
    CHECK(log.verify(sha256_text(lines[1]), &line).good());
    CHECK(line == 2);
}

TEST_CASE("audit: a line that a crash cut off stays, is covered by the next, and is no break", "[control]") {
    Log log;
    log.append(3);
    std::filesystem::resize_file(log.file, std::filesystem::file_size(log.file) - 20);
    log.append(2);
    const ChainVerdict verdict = log.verify();
    CHECK(verdict.good());
    CHECK(verdict.cut == std::vector<std::uint64_t>{3});
    CHECK(verdict.lines == 5);
    auto lines = log.lines();
    lines[2] += "x";
    log.write(lines);
    CHECK_FALSE(log.verify().good());
    // Only the newline was lost.
    Log other;
    other.append(3);
    std::filesystem::resize_file(other.file, std::filesystem::file_size(other.file) - 1);
    other.append(1);
    CHECK(other.verify().good());
    CHECK(other.verify().cut.empty());
    CHECK(other.verify().lines == 4);
}

TEST_CASE("audit: a log of the version before is gone on with, and its age is told", "[control]") {
    Log log;
    log.write({R"({"what":"commit"})", R"({"what":"restore"})"});
    log.append(2);
    CHECK(log.verify().good());
    CHECK(log.verify().before == 2);
    auto lines = log.lines();
    lines[1] = R"({"what":"nothing"})";
    log.write(lines);
    CHECK_FALSE(log.verify().good());
}

TEST_CASE("audit: what a hub does makes one chain", "[control]") {
    TestHub hub({}, as_document(a_document({"kita"})));
    Asker asker(hub);
    asker.result("commit", {{"transaction", staged(asker, {"minami"})}});
    asker.result("gate.close", {{"id", "g"}, {"target", "node"}, {"reason", "emergency"}});
    asker.result("gate.open", {{"id", "g"}});
    std::ifstream stream(hub.directory_of_state + "/audit.jsonl");
    const ChainVerdict verdict = verify_chain(stream);
    CHECK(verdict.good());
    CHECK(verdict.lines == 4);
    CHECK(verdict.head == hub.audit->head());
}
