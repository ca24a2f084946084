// Calls a fuzz target, inside of a Catch2 test so that targets may use what tests are made of: by libFuzzer, with its
// arguments in SEKISHO_FUZZ_ARGUMENTS, the command that runs this with others in front (merging does), or with every
// file of the directory SEKISHO_FUZZ_CORPUS.
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>

#include "tests/fuzz/target.hpp"

namespace {
void (*end_of_target)() = nullptr;

void end_run() {
    if (end_of_target != nullptr) std::exchange(end_of_target, nullptr)();
}
}  // namespace

void at_fuzz_end(void (*end)()) {
    end_of_target = end;
}

#ifdef SEKISHO_FUZZ
extern "C" int LLVMFuzzerRunDriver(int* argc, char*** argv, int (*target)(const std::uint8_t*, std::size_t));

TEST_CASE("fuzz: as libFuzzer is told") {
    const char* const told = std::getenv("SEKISHO_FUZZ_ARGUMENTS");
    REQUIRE(told != nullptr);
    std::istringstream words(told);
    std::vector<std::string> arguments(std::istream_iterator<std::string>(words), {});
    std::vector<char*> pointers;
    for (std::string& argument : arguments) pointers.push_back(argument.data());
    pointers.push_back(nullptr);
    int count = static_cast<int>(arguments.size());
    char** begin = pointers.data();
    // libFuzzer keeps the input of a crash, unless someone else has the signal: Catch2 has.
    for (const int number : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGINT, SIGTERM}) std::signal(number, SIG_DFL);
    // libFuzzer does not return, it calls exit(): later handlers come first, so the target ends before DPDK does.
    REQUIRE(std::atexit(end_run) == 0);
    CHECK(LLVMFuzzerRunDriver(&count, &begin, fuzz_one) == 0);
}
#else
TEST_CASE("fuzz: nothing in the stored corpus is a mistake's witness") {
    const char* const directory = std::getenv("SEKISHO_FUZZ_CORPUS");
    REQUIRE(directory != nullptr);
    std::size_t inputs = 0;
    for (const auto& entry : std::filesystem::directory_iterator(directory)) {
        INFO(entry.path());
        std::ifstream stream(entry.path(), std::ios::binary);
        REQUIRE(stream);
        const std::string text(std::istreambuf_iterator<char>(stream), {});
        // In memory of exactly its size, for the address sanitizer.
        const auto bytes = std::make_unique<std::uint8_t[]>(text.size());
        std::copy(text.begin(), text.end(), bytes.get());
        fuzz_one(bytes.get(), text.size());
        ++inputs;
    }
    CHECK(inputs != 0);
    end_run();
}
#endif
