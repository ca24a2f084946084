// The inbound SAs of the node by their SPI: control writes, workers look up, nobody waits.
//
// RFC 4301 §4.1: for unicast the SPI alone names the SA. A table of open addresses with room to spare, replaced when it
// grows; entries change in place. What control takes away is handed to `retire`, which must keep it until every worker
// has been quiescent since. Control's functions are one thread's at a time.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <unordered_map>

#include "crypto/sa.hpp"
#include "net/expected.hpp"
#include "net/prefetch.hpp"

namespace sekisho::crypto {

using Retire = std::function<void(std::shared_ptr<const void>)>;

class Sad {
  public:
    explicit Sad(Retire retire);

    // Error: exists, for an SPI that is taken.
    Expected<void> insert(std::shared_ptr<InboundSa> sa);
    // Workers find it no more; packets for it are sa_unknown. Error: not_found.
    Expected<void> erase(Spi spi);

    std::size_t size() const noexcept { return all_.size(); }
    // Control: the SA, or nullptr.
    std::shared_ptr<InboundSa> at(Spi spi) const;

    // Workers, between two quiescent points: the SA or nullptr.
    InboundSa* find(Spi spi) const noexcept {
        const Table* const table = current_.load(std::memory_order_acquire);
        for (std::size_t at = hash(spi);; ++at) {
            const Entry& entry = table->entries[at & table->mask];
            const std::uint32_t there = entry.spi.load(std::memory_order_acquire);
            if (there == spi.value()) return entry.sa.load(std::memory_order_acquire);
            if (there == kEmpty) return nullptr;
        }
    }
    // Asks for what find() will read first.
    void prefetch_entry(Spi spi) const noexcept {
        const Table* const table = current_.load(std::memory_order_acquire);
        prefetch_to_l2(&table->entries[hash(spi) & table->mask]);
    }

  private:
    static constexpr std::uint32_t kEmpty = 0;  // a reserved SPI: none is ever installed

    // Once an entry has an SPI it keeps it, so that chains are never cut; only its SA comes and goes.
    struct Entry {
        std::atomic<std::uint32_t> spi{kEmpty};
        std::atomic<InboundSa*> sa{nullptr};
    };
    struct Table {
        explicit Table(std::size_t size);
        Table(const Table&) = delete;
        Table& operator=(const Table&) = delete;
        ~Table();
        std::size_t mask;
        std::span<std::uint8_t> pages;
        Entry* entries;
    };

    static std::size_t hash(Spi spi) noexcept {
        return static_cast<std::size_t>(spi.value() * std::uint64_t{0x9e37'79b9'7f4a'7c15} >> 32);
    }
    static void place(Table& table, InboundSa* sa, std::size_t& used) noexcept;
    void rebuild(std::size_t size);

    Retire retire_;
    std::unordered_map<Spi, std::shared_ptr<InboundSa>> all_;
    std::shared_ptr<Table> table_;
    std::size_t used_ = 0;  // entries of table_ with an SPI, those without an SA included
    std::atomic<const Table*> current_{nullptr};
};

}  // namespace sekisho::crypto
