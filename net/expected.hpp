// A value or an Error, with std::expected's member names: cold code returns one, hot code never does.
//
// When the compiler floor reaches C++23 this file becomes an alias of std::expected.
#pragma once

#include <cassert>
#include <optional>
#include <string>
#include <utility>
#include <variant>

namespace sekisho {

enum class ErrorCode {
    invalid,      // what was given is malformed or contradicts itself
    not_found,    // what was named does not exist
    exists,       // what was to be made exists already
    unsupported,  // the schema names it, this node cannot do it yet
    limit,        // a size or a budget would be exceeded
    permission,   // the asker, or this process, may not
    unavailable,  // the system did not give what was asked: memory, a port, a file
};

// What went wrong, in words that name what was tried: `route line 12: no operator "kita"`.
struct Error {
    ErrorCode code = ErrorCode::invalid;
    std::string words;

    // The same error with the place it happened in before it: Error{"bad prefix"}.at("routes[3]") says "routes[3]: bad
    // prefix".
    Error at(const std::string& place) const { return {code, place + ": " + words}; }
};

template <class T>
class [[nodiscard]] Expected {
  public:
    Expected(T value) : state_(std::in_place_index<0>, std::move(value)) {}
    Expected(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

    bool has_value() const noexcept { return state_.index() == 0; }
    explicit operator bool() const noexcept { return has_value(); }

    T& value() & { return *checked(std::get_if<0>(&state_)); }
    const T& value() const& { return *checked(std::get_if<0>(&state_)); }
    T&& value() && { return std::move(*checked(std::get_if<0>(&state_))); }
    const Error& error() const { return *checked(std::get_if<1>(&state_)); }

    T& operator*() & { return value(); }
    const T& operator*() const& { return value(); }
    T&& operator*() && { return std::move(*this).value(); }
    T* operator->() { return &value(); }
    const T* operator->() const { return &value(); }

    T value_or(T other) const& { return has_value() ? value() : std::move(other); }

  private:
    template <class Pointer>
    static Pointer checked(Pointer pointer) {
        assert(pointer != nullptr);
        return pointer;
    }
    std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Expected<void> {
  public:
    Expected() = default;
    Expected(Error error) : error_(std::move(error)) {}

    bool has_value() const noexcept { return !error_; }
    explicit operator bool() const noexcept { return has_value(); }
    const Error& error() const {
        assert(error_);
        return *error_;
    }

  private:
    std::optional<Error> error_;
};

}  // namespace sekisho
