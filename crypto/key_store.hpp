// Memory for keys: locked so that it is never swapped, left out of core dumps, zero before it is given back.
//
// A KeyStore hands out slots of one size, aligned to cache lines; a KeySlot gives its own back when it dies. Slabs are
// mapped as they are needed and stay until the store dies. Any thread may take and give back, under a lock: slots come
// and go with SAs, not with packets. The store must outlive its slots.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

#include "net/expected.hpp"

namespace sekisho::crypto {

class KeyStore;

// One slot, owned. Move-only; an empty one owns nothing.
class KeySlot {
  public:
    KeySlot() noexcept = default;
    KeySlot(KeySlot&& other) noexcept : store_(std::exchange(other.store_, nullptr)), at_(other.at_) {}
    KeySlot& operator=(KeySlot&& other) noexcept;
    KeySlot(const KeySlot&) = delete;
    KeySlot& operator=(const KeySlot&) = delete;
    ~KeySlot() { give_back(); }

    explicit operator bool() const noexcept { return store_ != nullptr; }
    std::uint8_t* data() const noexcept { return store_ == nullptr ? nullptr : at_; }

  private:
    friend class KeyStore;
    KeySlot(KeyStore& store, std::uint8_t* at) noexcept : store_(&store), at_(at) {}
    void give_back() noexcept;

    KeyStore* store_ = nullptr;
    std::uint8_t* at_ = nullptr;
};

class KeyStore {
  public:
    // Slots of at least `slot_bytes` bytes.
    explicit KeyStore(std::size_t slot_bytes);
    ~KeyStore();
    KeyStore(const KeyStore&) = delete;
    KeyStore& operator=(const KeyStore&) = delete;

    // A slot of zeros. Errors: permission, when the memory cannot be locked or kept out of core dumps (nothing is
    // handed out unprotected); unavailable, when there is none.
    Expected<KeySlot> take();

    std::size_t slot_bytes() const noexcept { return slot_bytes_; }
    std::size_t in_use() const;
    // The memory of all slots, for tests that look whether it is protected and clean.
    std::vector<std::span<const std::uint8_t>> slabs() const;

  private:
    friend class KeySlot;
    void put_back(std::uint8_t* at) noexcept;
    Expected<void> grow();
    Expected<void> grow(std::size_t wanted);

    const std::size_t slot_bytes_;
    mutable std::mutex mutex_;  // over all below
    std::vector<std::span<std::uint8_t>> slabs_;
    std::vector<std::uint8_t*> free_;  // room for every slot there is, so that giving back never allocates
    std::size_t slots_ = 0;
};

}  // namespace sekisho::crypto
