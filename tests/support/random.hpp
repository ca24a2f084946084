// Random numbers for tests: every run another seed, printed, so that a failure can be had again.
//
// SEKISHO_SEED=N in the environment repeats the run that printed N.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <random>
#include <string>
#include <vector>

namespace sekisho::test {

class Random {
  public:
    explicit Random(const std::string& who) : seed_(chosen_seed()), engine_(seed_) {
        std::cout << who << ": SEKISHO_SEED=" << seed_ << '\n';
    }

    std::uint64_t seed() const noexcept { return seed_; }
    std::uint64_t word() { return engine_(); }
    std::uint32_t word32() { return static_cast<std::uint32_t>(engine_()); }
    std::size_t below(std::size_t limit) { return static_cast<std::size_t>(engine_() % limit); }
    bool one_in(std::size_t n) { return below(n) == 0; }

    std::vector<std::uint8_t> bytes(std::size_t count) {
        std::vector<std::uint8_t> result(count);
        for (std::uint8_t& byte : result) byte = static_cast<std::uint8_t>(engine_());
        return result;
    }

  private:
    static std::uint64_t chosen_seed() {
        const char* const given = std::getenv("SEKISHO_SEED");
        return given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
    }
    std::uint64_t seed_;
    std::mt19937_64 engine_;
};

}  // namespace sekisho::test
