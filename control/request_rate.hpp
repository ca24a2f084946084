// How many requests a client may still make now: so many a second, and some at once after a rest.
//
// A bucket that fills with time and is emptied by requests. It refuses nothing: who has none left waits, and the
// answers of all others stay quick meanwhile. Values only; any thread.
#pragma once

#include <algorithm>
#include <chrono>

namespace sekisho::control {

class RequestRate {
  public:
    using Time = std::chrono::steady_clock::time_point;

    RequestRate(double per_second, double at_once, Time now)
        : per_second_(per_second), at_once_(at_once), left_(at_once), as_of_(now) {}

    // Takes one, if there is one.
    bool take(Time now) noexcept {
        const std::chrono::duration<double> passed = now - as_of_;
        as_of_ = now;
        left_ = std::min(at_once_, left_ + passed.count() * per_second_);
        if (left_ < 1) return false;
        left_ -= 1;
        return true;
    }

  private:
    double per_second_;
    double at_once_;
    double left_;
    Time as_of_;
};

}  // namespace sekisho::control
