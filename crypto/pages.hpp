// Memory straight from the kernel, in large pages where there is much of it: SAs by the hundred thousand, each packet
// another, are as far away as the page table makes them.
//
// map_pages() is for keys, which need protection of their own; an ObjectPool hands out places of one size and keeps
// what it has for good. Any thread. Cold.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <span>
#include <vector>

namespace sekisho::crypto {

inline constexpr std::size_t kLine = 64;
inline constexpr std::size_t kPage = 4096;
inline constexpr std::size_t kLargePage = std::size_t{2} << 20;

constexpr std::size_t rounded(std::size_t bytes, std::size_t to) noexcept {
    return (bytes + to - 1) / to * to;
}

// Zeros, `bytes` rounded up to pages. From kLargePage on the pages are large ones, if the system grants any. Empty:
// there is no memory, and errno says why.
std::span<std::uint8_t> map_pages(std::size_t bytes) noexcept;
void unmap_pages(std::span<std::uint8_t> pages) noexcept;

class ObjectPool {
  public:
    // Of places of at least so many bytes, each at the beginning of a cache line.
    explicit ObjectPool(std::size_t bytes);
    ObjectPool(const ObjectPool&) = delete;
    ObjectPool& operator=(const ObjectPool&) = delete;

    // Not initialized. Throws std::bad_alloc when there is no memory.
    void* take();
    void put_back(void* place) noexcept;

  private:
    void grow();

    const std::size_t bytes_;
    std::mutex mutex_;  // over all below
    std::size_t slabs_ = 0;
    std::size_t places_ = 0;
    std::vector<void*> free_;  // room for every place there is, so that giving back never allocates
};

}  // namespace sekisho::crypto
