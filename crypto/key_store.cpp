// Slabs by mmap, mlock and madvise.
#include "crypto/key_store.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <sys/mman.h>

#include "net/secret.hpp"

namespace sekisho::crypto {

namespace {

constexpr std::size_t kLine = 64;
constexpr std::size_t kPage = 4096;
constexpr std::size_t kSlotsASlab = 56;  // of 1,088 bytes: just under 64 KiB, the least that systems let anyone lock

constexpr std::size_t rounded(std::size_t bytes, std::size_t to) {
    return (bytes + to - 1) / to * to;
}

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
        munmap(slab.data(), slab.size());
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

Expected<void> KeyStore::grow() {
    const std::size_t bytes = rounded(slot_bytes_ * kSlotsASlab, kPage);
    const auto refused = [bytes](ErrorCode code, const std::string& tried) {
        return Error{code, tried + " " + std::to_string(bytes) + " bytes for keys: " + std::strerror(errno)};
    };
    void* const memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return refused(ErrorCode::unavailable, "cannot map");
    const std::span slab(static_cast<std::uint8_t*>(memory), bytes);
    // Before a key lies there. Nothing falls back to memory that could be swapped or dumped.
    std::string tried = "cannot keep out of core dumps";
    bool fine = madvise(memory, bytes, MADV_DONTDUMP) == 0;
    if (fine) {
        tried = "cannot lock (see ulimit -l, LimitMEMLOCK)";
        fine = mlock(memory, bytes) == 0;
    }
    // A child of fork() sees zeros.
    if (fine) {
        tried = "cannot keep from children";
        fine = madvise(memory, bytes, MADV_WIPEONFORK) == 0;
    }
    if (!fine) {
        Error error = refused(ErrorCode::permission, tried);
        munmap(memory, bytes);
        return error;
    }
    slabs_.push_back(slab);
    slots_ += bytes / slot_bytes_;
    free_.reserve(slots_);
    for (std::size_t at = 0; at + slot_bytes_ <= bytes; at += slot_bytes_) free_.push_back(slab.data() + at);
    std::reverse(free_.begin(), free_.end());
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
