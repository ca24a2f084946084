// Zeroed memory of the system's, taken once and given back whole: what is never touched costs address space only.
#pragma once

#include <cstddef>

namespace sekisho::nat {

class Pages {
  public:
    // `huge`: aligned to a huge page, and in such where the system grants them. Throws std::bad_alloc.
    enum class Size : bool { small, huge };
    Pages(std::size_t bytes, Size size);
    ~Pages();
    Pages(const Pages&) = delete;
    Pages& operator=(const Pages&) = delete;

    std::byte* data() const noexcept { return data_; }
    std::size_t bytes() const noexcept { return bytes_; }

  private:
    void* reserved_;
    std::size_t reserved_bytes_;
    std::byte* data_;
    std::size_t bytes_;
};

}  // namespace sekisho::nat
