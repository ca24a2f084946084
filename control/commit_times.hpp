// How long the steps of a commit took, for the log and `show generation`. Values only; any thread.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <string_view>
#include <utility>

namespace sekisho::control {

struct CommitTimes {
    using Time = std::chrono::microseconds;
    Time stage{0};     // the transaction's batches: read, held against the schema, understood
    Time compare{0};   // with the generation before
    Time validate{0};  // with warnings
    Time compile{0};
    Time hash{0};
    Time save{0};  // audit log and state directory

    // In their order, with the names that people see.
    std::array<std::pair<std::string_view, Time>, 6> named() const {
        return {{{"stage", stage},
                 {"compare", compare},
                 {"validate", validate},
                 {"compile", compile},
                 {"hash", hash},
                 {"save", save}}};
    }
};

// Tells what has passed since it was made, or since it told last.
class Stopwatch {
  public:
    CommitTimes::Time lap() {
        const auto now = std::chrono::steady_clock::now();
        return std::chrono::duration_cast<CommitTimes::Time>(now - std::exchange(since_, now));
    }

  private:
    std::chrono::steady_clock::time_point since_ = std::chrono::steady_clock::now();
};

}  // namespace sekisho::control
