// Text that may hold keys for a moment: its memory is zeroed before it is given back.
//
// For the lines of the control socket, on their way from the kernel to where the keys in them are taken out
// (control/key_text.hpp). A text too short to leave its own object is not wiped; no key is that short.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "net/secret.hpp"

namespace sekisho::control {

inline void wipe_text(char* text, std::size_t length) noexcept {
    wipe({reinterpret_cast<std::uint8_t*>(text), length});
}

template <class T>
struct WipingAllocator {
    using value_type = T;

    WipingAllocator() noexcept = default;
    template <class Other>
    WipingAllocator(const WipingAllocator<Other>&) noexcept {}

    T* allocate(std::size_t count) { return std::allocator<T>().allocate(count); }
    void deallocate(T* at, std::size_t count) noexcept {
        wipe({reinterpret_cast<std::uint8_t*>(at), count * sizeof(T)});
        std::allocator<T>().deallocate(at, count);
    }
    friend bool operator==(const WipingAllocator&, const WipingAllocator&) noexcept { return true; }
};

using WipedText = std::basic_string<char, std::char_traits<char>, WipingAllocator<char>>;

}  // namespace sekisho::control
