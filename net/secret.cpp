// Where secrets lie: slots in pages that are protected as far as the process may.
#include "net/secret.hpp"

#include <mutex>
#include <new>
#include <sys/mman.h>
#include <vector>

#include "net/protected_pages.hpp"

namespace sekisho {

namespace {

constexpr std::size_t kSlot = 64;         // a key of any suite with its salt
constexpr std::size_t kSlab = 64 * 1024;  // the least that systems let anyone lock

std::span<std::uint8_t> map_protected(std::size_t bytes) {
    void* const at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) throw std::bad_alloc();
    const std::span pages(static_cast<std::uint8_t*>(at), bytes);
    (void)protect_pages(pages);
    return pages;
}

// Slabs stay, for the next secrets.
class Slots {
  public:
    std::uint8_t* take() {
        const std::lock_guard lock(mutex_);
        if (free_.empty()) grow();
        std::uint8_t* const at = free_.back();
        free_.pop_back();
        return at;
    }
    void give_back(std::uint8_t* at) noexcept {
        const std::lock_guard lock(mutex_);
        free_.push_back(at);
    }

  private:
    void grow() {
        free_.reserve(slots_ + kSlab / kSlot);  // so that giving back never allocates
        const auto slab = map_protected(kSlab);
        for (std::size_t at = 0; at < kSlab; at += kSlot) free_.push_back(slab.data() + at);
        slots_ += kSlab / kSlot;
    }

    std::mutex mutex_;  // over all below
    std::vector<std::uint8_t*> free_;
    std::size_t slots_ = 0;
};

Slots& slots() {
    static auto* const all = new Slots;  // outlives every secret
    return *all;
}

}  // namespace

Secret::Secret(std::span<const std::uint8_t> bytes) {
    if (bytes.empty()) return;
    at_ = bytes.size() <= kSlot ? slots().take() : map_protected(bytes.size()).data();
    size_ = bytes.size();
    std::copy(bytes.begin(), bytes.end(), at_);
}

void Secret::die() noexcept {
    if (at_ == nullptr) return;
    wipe({at_, size_});
    if (size_ <= kSlot)
        slots().give_back(at_);
    else
        munmap(at_, size_);
    at_ = nullptr;
    size_ = 0;
}

}  // namespace sekisho
