// Lines that are not whole yet, days that follow one another, and a place to go on from.
#include "ipfix/log_reader.hpp"

#include <filesystem>
#include <fstream>

#include <catch2/catch.hpp>

using namespace sekisho;
using namespace sekisho::ipfix;

namespace {

struct Directory {
    Directory() {
        char name[] = "/tmp/sekisho-ipfix.XXXXXX";
        REQUIRE(::mkdtemp(name) != nullptr);
        path = name;
    }
    ~Directory() { std::filesystem::remove_all(path); }
    void append(const std::string& day, const std::string& text) const {
        std::ofstream(path + "/translations-" + day + ".jsonl", std::ios::app) << text;
    }
    std::string path;
};

}  // namespace

TEST_CASE("ipfix: lines are given when they are whole, and files in turn", "[ipfix]") {
    const Directory directory;
    std::ofstream(directory.path + "/audit.jsonl") << "no\n";
    LogReader log(directory.path);
    CHECK(log.latest() == "");
    CHECK_FALSE(log.next());
    directory.append("2026-04-01", "one\ntw");
    CHECK(log.next() == "one");
    CHECK_FALSE(log.next());
    directory.append("2026-04-01", "o\n");
    CHECK(log.next() == "two");
    CHECK(log.place() == Place{"translations-2026-04-01.jsonl", 8});
    directory.append("2026-04-01", "three\ncut");
    directory.append("2026-04-03", "four\n");
    CHECK(log.next() == "three");
    CHECK(log.next() == "four");  // what a crash cut off is never whole
    CHECK(log.place() == Place{"translations-2026-04-03.jsonl", 5});
    CHECK_FALSE(log.next());
    CHECK(log.latest() == "translations-2026-04-03.jsonl");
}

TEST_CASE("ipfix: a file that is gone is followed by the next that is there", "[ipfix]") {
    const Directory directory;
    directory.append("2026-04-02", "two\n");
    directory.append("2026-04-03", "three\n");
    LogReader log(directory.path);
    log.begin_with("translations-2026-04-01.jsonl");
    CHECK(log.place().file == "translations-2026-04-02.jsonl");
    CHECK(log.next() == "two");
    log.begin_with("translations-2026-04-03.jsonl");
    CHECK(log.next() == "three");
}

TEST_CASE("ipfix: long lines and many", "[ipfix]") {
    const Directory directory;
    const std::string line(200'000, 'x');
    directory.append("2026-04-01", line + "\n" + line + "\n");
    LogReader log(directory.path);
    CHECK(log.next() == line);
    CHECK(log.next() == line);
    CHECK_FALSE(log.next());
}
