// Mapping pages, and places in them.
#include "crypto/pages.hpp"

#include <algorithm>
#include <memory>
#include <new>
#include <sys/mman.h>

namespace sekisho::crypto {

namespace {

constexpr std::size_t kSmallSlab = 65536;
constexpr std::size_t kSmallSlabs = 4;  // before there are large ones

// Under a sanitizer that watches memory, each object has its own, so that one used after its end is seen.
#if defined(SEKISHO_ADDRESS_SANITIZER)
constexpr bool kPooled = false;
#else
constexpr bool kPooled = true;
#endif

// An odd number of lines: objects at distances of a power of two would meet in the same sets of the cache.
constexpr std::size_t odd_lines(std::size_t bytes) noexcept {
    return ((bytes + kLine - 1) / kLine | 1) * kLine;
}

}  // namespace

std::span<std::uint8_t> map_pages(std::size_t bytes) noexcept {
    const bool large = bytes >= kLargePage;
    bytes = rounded(bytes, large ? kLargePage : kPage);
    const std::size_t reserved = large ? bytes + kLargePage : bytes;
    void* const memory = mmap(nullptr, reserved, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return {};
    auto* const begin = static_cast<std::uint8_t*>(memory);
    if (!large) return {begin, bytes};
    void* aligned = memory;
    std::size_t room = reserved;
    std::align(kLargePage, bytes, aligned, room);
    auto* const at = static_cast<std::uint8_t*>(aligned);
    if (at != begin) munmap(begin, static_cast<std::size_t>(at - begin));
    if (room != bytes) munmap(at + bytes, room - bytes);
    (void)madvise(at, bytes, MADV_HUGEPAGE);  // no harm where there are none
    return {at, bytes};
}

void unmap_pages(std::span<std::uint8_t> pages) noexcept {
    munmap(pages.data(), pages.size());
}

ObjectPool::ObjectPool(std::size_t bytes) : bytes_(odd_lines(bytes)) {}

void* ObjectPool::take() {
    if (!kPooled) return ::operator new(bytes_, std::align_val_t(kLine));
    const std::lock_guard lock(mutex_);
    if (free_.empty()) grow();
    void* const place = free_.back();
    free_.pop_back();
    return place;
}

void ObjectPool::put_back(void* place) noexcept {
    if (!kPooled) return ::operator delete(place, std::align_val_t(kLine));
    const std::lock_guard lock(mutex_);
    free_.push_back(place);
}

void ObjectPool::grow() {
    const std::span slab = map_pages(std::max(bytes_, slabs_ < kSmallSlabs ? kSmallSlab : kLargePage));
    if (slab.empty()) throw std::bad_alloc();
    const std::size_t more = slab.size() / bytes_;
    try {
        free_.reserve(places_ + more);
    } catch (const std::bad_alloc&) {
        unmap_pages(slab);
        throw;
    }
    ++slabs_;
    places_ += more;
    for (std::size_t i = more; i-- > 0;) free_.push_back(slab.data() + i * bytes_);
}

}  // namespace sekisho::crypto
