// What a test writes down must be well formed: the value of an Expected, or an exception with its error's words.
#pragma once

#include <stdexcept>
#include <utility>

#include "net/expected.hpp"

namespace sekisho::test {

template <class T>
T must(Expected<T> expected) {
    if (!expected) throw std::invalid_argument(expected.error().words);
    return std::move(expected).value();
}
inline void must(const Expected<void>& expected) {
    if (!expected) throw std::invalid_argument(expected.error().words);
}

}  // namespace sekisho::test
