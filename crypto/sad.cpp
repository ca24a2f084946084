// Control's side of the SAD.
#include "crypto/sad.hpp"

#include <new>
#include <string>

#include "crypto/pages.hpp"

namespace sekisho::crypto {

namespace {

constexpr std::size_t kSmallest = 64;

}  // namespace

// In large pages when it is large.
Sad::Table::Table(std::size_t size) : mask(size - 1), pages(map_pages(size * sizeof(Entry))) {
    if (pages.empty()) throw std::bad_alloc();
    entries = reinterpret_cast<Entry*>(pages.data());
    std::uninitialized_value_construct_n(entries, size);
}
Sad::Table::~Table() {
    static_assert(std::is_trivially_destructible_v<Entry>);
    unmap_pages(pages);
}

Sad::Sad(Retire retire) : retire_(std::move(retire)) {
    rebuild(kSmallest);
}

void Sad::place(Table& table, InboundSa* sa, std::size_t& used) noexcept {
    for (std::size_t at = hash(sa->spi());; ++at) {
        Entry& entry = table.entries[at & table.mask];
        const std::uint32_t there = entry.spi.load(std::memory_order_relaxed);
        if (there != kEmpty && there != sa->spi().value()) continue;
        // The SA before the SPI: who finds the SPI finds the SA.
        entry.sa.store(sa, std::memory_order_release);
        if (there == kEmpty) {
            entry.spi.store(sa->spi().value(), std::memory_order_release);
            ++used;
        }
        return;
    }
}

void Sad::rebuild(std::size_t size) {
    auto fresh = std::make_shared<Table>(size);
    used_ = 0;
    for (const auto& [spi, sa] : all_) place(*fresh, sa.get(), used_);
    current_.store(fresh.get(), std::memory_order_release);
    if (table_) retire_(table_);
    table_ = std::move(fresh);
}

Expected<void> Sad::insert(std::shared_ptr<InboundSa> sa) {
    const Spi spi = sa->spi();
    if (all_.contains(spi))
        return Error{ErrorCode::exists, "an inbound SA with SPI " + std::to_string(spi.value()) + " is there already"};
    InboundSa* const plain = sa.get();
    all_.emplace(spi, std::move(sa));
    // At most half full, names without an SA included.
    if (2 * (used_ + 1) > table_->mask + 1) {
        std::size_t size = kSmallest;
        while (size < 4 * all_.size()) size *= 2;
        rebuild(size);
    } else {
        place(*table_, plain, used_);
    }
    return {};
}

Expected<void> Sad::erase(Spi spi) {
    const auto found = all_.find(spi);
    if (found == all_.end()) return Error{ErrorCode::not_found, "no inbound SA has SPI " + std::to_string(spi.value())};
    for (std::size_t at = hash(spi);; ++at) {
        Entry& entry = table_->entries[at & table_->mask];
        if (entry.spi.load(std::memory_order_relaxed) != spi.value()) continue;
        entry.sa.store(nullptr, std::memory_order_release);
        break;
    }
    retire_(std::move(found->second));
    all_.erase(found);
    return {};
}

std::shared_ptr<InboundSa> Sad::at(Spi spi) const {
    const auto found = all_.find(spi);
    return found == all_.end() ? nullptr : found->second;
}

}  // namespace sekisho::crypto
