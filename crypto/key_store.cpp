// Slabs of protected pages.
#include "crypto/key_store.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

#include "crypto/pages.hpp"
#include "net/protected_pages.hpp"
#include "net/secret.hpp"

namespace sekisho::crypto {

namespace {

constexpr std::size_t kSlotsASlab = 56;  // of 1,088 bytes: just under 64 KiB, the least that systems let anyone lock
constexpr std::size_t kSmallSlabs = 8;   // before there are large ones

}  // namespace

KeySlot& KeySlot::operator=(KeySlot&& other) noexcept {
    if (this != &other) {
        give_back();
        store_ = std::exchange(other.store_, nullptr);
        at_ = other.at_;
    }
    return *this;
}

void KeySlot::give_back() noexcept {
    if (store_ != nullptr) std::exchange(store_, nullptr)->put_back(at_);
}

KeyStore::KeyStore(std::size_t slot_bytes) : slot_bytes_(rounded(std::max<std::size_t>(slot_bytes, 1), kLine)) {}

KeyStore::~KeyStore() {
    for (const auto slab : slabs_) {
        wipe(slab);
        unmap_pages(slab);
    }
}

Expected<KeySlot> KeyStore::take() {
    const std::lock_guard lock(mutex_);
    if (free_.empty())
        if (auto grown = grow(); !grown) return grown.error();
    std::uint8_t* const at = free_.back();
    free_.pop_back();
    return KeySlot(*this, at);
}

void KeyStore::put_back(std::uint8_t* at) noexcept {
    wipe({at, slot_bytes_});
    const std::lock_guard lock(mutex_);
    free_.push_back(at);
}

// A large slab when there are many keys, if so much may be locked.
Expected<void> KeyStore::grow() {
    if (slabs_.size() >= kSmallSlabs && slot_bytes_ <= kLargePage)
        if (auto grown = grow(kLargePage); grown) return grown;
    return grow(slot_bytes_ * kSlotsASlab);
}

Expected<void> KeyStore::grow(std::size_t wanted) {
    const std::span slab = map_pages(wanted);
    if (slab.empty())
        return Error{ErrorCode::unavailable,
                     "cannot map " + std::to_string(wanted) + " bytes for keys: " + std::strerror(errno)};
    // Nothing falls back to memory that could be swapped or dumped.
    if (auto fine = protect_pages(slab); !fine) {
        unmap_pages(slab);
        return fine.error();
    }
    const std::size_t more = slab.size() / slot_bytes_;
    slabs_.push_back(slab);
    slots_ += more;
    free_.reserve(slots_);
    for (std::size_t i = more; i-- > 0;) free_.push_back(slab.data() + i * slot_bytes_);
    return {};
}

std::size_t KeyStore::in_use() const {
    const std::lock_guard lock(mutex_);
    return slots_ - free_.size();
}

std::vector<std::span<const std::uint8_t>> KeyStore::slabs() const {
    const std::lock_guard lock(mutex_);
    return {slabs_.begin(), slabs_.end()};
}

}  // namespace sekisho::crypto
