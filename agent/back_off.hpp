// How long to wait before the next try: longer each time, up to a limit, and never quite the same for two nodes.
#pragma once

#include <algorithm>
#include <chrono>
#include <random>

namespace sekisho::agent {

class BackOff {
  public:
    using Time = std::chrono::milliseconds;
    BackOff(Time first, Time longest) : first_(first), longest_(longest), next_(first) {}

    Time next() {
        const Time now = next_;
        next_ = std::min(longest_, next_ * 2);
        return now / 2 + Time(std::uniform_int_distribution<Time::rep>(0, now.count() / 2)(random_));
    }
    void reset() { next_ = first_; }

  private:
    Time first_, longest_, next_;
    std::minstd_rand random_{std::random_device{}()};
};

}  // namespace sekisho::agent
