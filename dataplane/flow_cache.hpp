// The flow cache: flows that a worker has admitted lately, with their way out and their rewrite.
//
// Of a TCP or UDP flow that a stateless agreement lets pass, the first packet asks who, hub and where; the next ones
// find here what it was told. A cache, no more: what is not found is asked again, and nothing is found that the tables
// would not say now. An entry counts in the epoch that it was made in, and whatever changes tables begins a new one:
// another snapshot, and a gate, an MTU or a usable nexthop in this one (Tables::changed()). Flows of sessions are not
// here: sessions have state. Nor are SYNs, whose MSS is clamped, and whatever else is not like most packets.
// Where flows hardly ever come back, it is not asked for a while. One worker's own; no allocation once it is made.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "dataplane/packet.hpp"
#include "dataplane/tables.hpp"
#include "nat/pages.hpp"
#include "nat/session_layout.hpp"
#include "net/headers.hpp"

namespace sekisho::dataplane {

// What names a flow in one direction: addresses as they lie in the header, and in the last word both ports, the
// protocol, and the attachment that it came by, for there they may be anybody's.
template <class Address>
struct FlowKey {
    static constexpr std::size_t kWords = 1 + 2 * sizeof(Address) / 8;
    std::array<std::uint64_t, kWords> words{};

    FlowKey() noexcept = default;
    explicit FlowKey(const Packet& packet) noexcept {
        static_assert(kMostAttachments <= std::size_t{1} << 24);
        static_assert(offsetof(Packet, destination_port) == offsetof(Packet, source_port) + 2);
        constexpr std::size_t kAt =
            Address::kFamily == Family::ipv4 ? offsetof(Ipv4Header, source) : offsetof(Ipv6Header, source);
        std::memcpy(words.data(), packet.l3 + kAt, 8 * (kWords - 1));
        std::uint32_t ports;
        std::memcpy(&ports, &packet.source_port, sizeof ports);
        words.back() = std::uint64_t{packet.attachment.value()} << 40 | std::uint64_t{packet.protocol} << 32 | ports;
    }
    // Without a branch on where they differ.
    friend bool operator==(const FlowKey& a, const FlowKey& b) noexcept {
        std::uint64_t difference = 0;
        for (std::size_t i = 0; i < kWords; ++i) difference |= a.words[i] ^ b.words[i];
        return difference == 0;
    }
};

template <class Address>
struct alignas(64) CachedFlow {
    FlowKey<Address> key;
    std::uint32_t epoch;       // 0: there is none
    std::uint16_t mtu;         // of its way out: what is longer is fit's business
    std::uint8_t flags_given;  // TCP's ACK, if a packet needs neither ACK nor RST
    bool tunnelled;
    Packet::Way way;
    Address source, destination;  // new ones
    ChecksumDelta delta;
};
static_assert(sizeof(CachedFlow<Ipv4Address>) == 64 && sizeof(CachedFlow<Ipv6Address>) == 128);

// Whether asking is worth it: it is counted for a while, and if few were found, nobody asks for a longer while.
class WorthAsking {
  public:
    static constexpr std::uint32_t kAsked = 1U << 16;  // packets between two judgements: every entry can have been made
    static constexpr std::uint32_t kUnasked = 1U << 20;
    static constexpr std::uint32_t kFewest = kAsked / 3;  // found: fewer do not pay for the others' questions

    // Of so many packets that come now.
    bool ask(std::size_t packets) noexcept {
        if (left_ > packets) {
            left_ -= static_cast<std::uint32_t>(packets);
            return asks_;
        }
        asks_ = !asks_ || found_ >= kFewest;
        found_ = 0;
        left_ = asks_ ? kAsked : kUnasked;
        return asks_;
    }
    void found(std::size_t packets) noexcept { found_ += static_cast<std::uint32_t>(packets); }

  private:
    bool asks_ = true;
    std::uint32_t left_ = kAsked;
    std::uint32_t found_ = 0;
};

// Those of one family: each has one of two places side by side.
template <class Address>
class CachedFlows {
  public:
    using Entry = CachedFlow<Address>;
    using Place = std::uint32_t;
    // What is used of it is to stay in a core's second cache. Of a thousand flows two in a hundred meet two others.
    static constexpr Place kEntries = 16'384;

    CachedFlows() : pages_(kEntries * sizeof(Entry), nat::Pages::Size::huge) {}

    // The first of the key's two places.
    static Place place_of(const FlowKey<Address>& key) noexcept {
        return static_cast<Place>(hash_of(key.words) % kEntries);
    }
    const Entry& operator[](Place place) const noexcept { return entries()[place]; }
    // Null: there is none that counts in this epoch.
    const Entry* find(Place place, const FlowKey<Address>& key, std::uint32_t epoch) const noexcept {
        const Entry& first = entries()[place];
        if (first.key == key && first.epoch == epoch) [[likely]]
            return &first;
        const Entry& second = entries()[place ^ 1];
        return second.key == key && second.epoch == epoch ? &second : nullptr;
    }
    // Where the key's flow may be put: its own entry, one that does not count any more, or either in turn.
    Entry& entry_for(const FlowKey<Address>& key, std::uint32_t epoch) noexcept {
        const Place place = place_of(key);
        for (const Place each : {place, place ^ 1})
            if (entries()[each].key == key || entries()[each].epoch != epoch) return entries()[each];
        return entries()[place ^ (turn_++ & 1)];
    }
    void clear() noexcept { std::memset(pages_.data(), 0, pages_.bytes()); }

    WorthAsking worth;

  private:
    Entry* entries() noexcept { return reinterpret_cast<Entry*>(pages_.data()); }
    const Entry* entries() const noexcept { return reinterpret_cast<const Entry*>(pages_.data()); }

    // Not secret: who finds tuples that meet in one place gains nothing, they are asked about as without a cache.
    static std::uint64_t hash_of(const std::array<std::uint64_t, FlowKey<Address>::kWords>& words) noexcept {
        constexpr std::uint64_t kMix[] = {0x9e37'79b9'7f4a'7c15ULL, 0xd6e8'feb8'6659'fd93ULL, 0xa076'1d64'78bd'642fULL};
        std::uint64_t hash = nat::multiply_and_fold(words[0] ^ kMix[0], words[1] ^ kMix[1]);
        if constexpr (FlowKey<Address>::kWords == 5)
            hash ^= nat::multiply_and_fold(words[2] ^ kMix[2], words[3] ^ words[4] * kMix[0]);
        return hash;
    }

    nat::Pages pages_;
    std::uint32_t turn_ = 0;
};

class FlowCache {
  public:
    // `epoch`: the one before the first.
    explicit FlowCache(std::uint32_t epoch = 0) : epoch_(epoch) {}

    // Before a walk through these tables; what is decided in it counts until they change.
    void begin(const Tables& tables) noexcept {
        const std::uint32_t revision = tables.revision();
        if (tables.generation == generation_ && revision == revision_ && &tables == tables_) [[likely]]
            return;
        tables_ = &tables;
        generation_ = tables.generation;
        revision_ = revision;
        if (++epoch_ == 0) begin_anew();
    }
    std::uint32_t epoch() const noexcept { return epoch_; }

    template <class Address>
    auto& of() noexcept {
        if constexpr (Address::kFamily == Family::ipv4)
            return ipv4_;
        else
            return ipv6_;
    }

  private:
    // All numbers have been used: old ones would count again.
    void begin_anew() noexcept {
        epoch_ = 1;
        ipv4_.clear();
        ipv6_.clear();
    }

    const Tables* tables_ = nullptr;
    std::uint64_t generation_ = 0;
    std::uint32_t revision_ = 0;
    std::uint32_t epoch_;
    CachedFlows<Ipv4Address> ipv4_;
    CachedFlows<Ipv6Address> ipv6_;
};

}  // namespace sekisho::dataplane
