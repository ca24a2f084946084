// An array on the stack whose elements are nothing until they are set: for bursts, which seldom fill it.
#pragma once

#include <array>
#include <cstddef>
#include <type_traits>

namespace sekisho {

template <class T, std::size_t kSize>
class Unset {
    static_assert(std::is_trivially_copyable_v<T> && std::is_trivially_destructible_v<T>);

  public:
    T* data() noexcept { return reinterpret_cast<T*>(bytes_.data()); }
    const T* data() const noexcept { return reinterpret_cast<const T*>(bytes_.data()); }
    T& operator[](std::size_t i) noexcept { return data()[i]; }
    const T& operator[](std::size_t i) const noexcept { return data()[i]; }

  private:
    alignas(T) std::array<std::byte, sizeof(T) * kSize> bytes_;
};

}  // namespace sekisho
