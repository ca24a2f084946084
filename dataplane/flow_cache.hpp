// The flow cache: flows that a worker has admitted lately, with their way out and their rewrite.
//
// Of a TCP or UDP flow that a stateless agreement lets pass, the first packet asks who, hub and where; the next ones
// find here what it was told. A cache, no more: what is not found is asked again, and nothing is found that the tables
// would not say now. An entry counts in the epoch that it was made in, and whatever changes tables begins a new one:
// another snapshot, and a gate, an MTU or a usable nexthop in this one (Tables::revision()). Flows of sessions are not
// here: sessions have state. Nor are SYNs, whose MSS is clamped, and whatever else is not like most packets.
// Where flows hardly ever come back, it is not asked for a while. One worker's own; no allocation once it is made.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "dataplane/packet.hpp"
#include "dataplane/tables.hpp"
#include "nat/pages.hpp"
#include "net/headers.hpp"
#include "net/prefetch.hpp"

namespace sekisho::dataplane {

// What names a flow in one direction: addresses as they lie in the header; ports, and the attachment that it came by,
// for there they may be anybody's; what kind of packet it is, and the epoch in which that was known.
template <class Address>
struct FlowKey {
    static constexpr std::size_t kAddresses = 2 * sizeof(Address) / 8;  // words
    static constexpr std::size_t kWords = kAddresses + 2;
    static constexpr std::size_t kOffset =
        Address::kFamily == Family::ipv4 ? offsetof(Ipv4Header, source) : offsetof(Ipv6Header, source);
    static constexpr unsigned kEpochShift = 40;
    static constexpr std::uint32_t kEpochs = 1U << 24;
    std::array<std::uint64_t, kWords> words;

    FlowKey() noexcept = default;
    FlowKey(const Packet& packet, std::uint32_t epoch) noexcept {
        std::memcpy(words.data(), packet.l3 + kOffset, 8 * kAddresses);
        words[kAddresses] = packet.ends();
        words[kAddresses + 1] = packet.kind() | std::uint64_t{epoch} << kEpochShift;
    }
    std::uint64_t epoch() const noexcept { return words.back() >> kEpochShift; }
    // Of TCP and UDP, whole, and not like a SYN, an error or another fragment than the first, which have marks of their
    // own; nor of a session.
    bool may_be_kept() const noexcept {
        constexpr std::uint64_t kMarks = Packet::kL4Known | (Address::kFamily == Family::ipv6 ? Packet::kIpv6 : 0);
        const std::uint64_t kind = words.back() & Packet::kKind;
        return kind == (std::uint64_t{kProtocolTcp} << 32 | kMarks) ||
               kind == (std::uint64_t{kProtocolUdp} << 32 | kMarks);
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
    FlowKey<Address> key;                                               // of epoch 0: there is none
    std::array<std::uint64_t, FlowKey<Address>::kAddresses> addresses;  // new ones, as they are to lie in the header
    Packet::Way way;
    ChecksumDelta delta;
    std::uint16_t mtu;         // of its way out: what is longer is fit's business
    std::uint8_t flags_given;  // TCP's ACK, if a packet needs neither ACK nor RST
    bool tunnelled, is_udp;
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

// Those of one family: each has one of four places side by side.
template <class Address>
class CachedFlows {
  public:
    using Entry = CachedFlow<Address>;
    using Place = std::uint32_t;
    // What is used of it is to stay in a core's second cache.
    static constexpr Place kEntries = 16'384;
    // Few flows have to make room for each other: one packet that must be asked about takes as long as five beside it.
    static constexpr Place kWays = 4;

    CachedFlows() : pages_(kEntries * sizeof(Entry), nat::Pages::Size::huge) {}

    // The first of the key's places.
    static Place place_of(const FlowKey<Address>& key) noexcept {
        return static_cast<Place>(hash_of(key.words) >> (64 - std::bit_width(kEntries - 1)));
    }
    // For many: a copy, which no store of the caller's can change, to the compiler.
    class Finder {
      public:
        void expect(Place place) const noexcept {
            const auto* const entry = reinterpret_cast<const std::byte*>(&entries_[place]);
            for (std::size_t line = 0; line < sizeof(Entry); line += 64) prefetch(entry + line);
        }
        // Null: there is none that counts in the key's epoch.
        const Entry* find(Place place, const FlowKey<Address>& key) const noexcept {
            if (entries_[place].key == key) [[likely]]
                return &entries_[place];
            if (!key.may_be_kept()) return nullptr;
            for (Place next = 1; next < kWays; ++next)
                if (entries_[place ^ next].key == key) return &entries_[place ^ next];
            return nullptr;
        }

      private:
        friend class CachedFlows;
        explicit Finder(const Entry* entries) noexcept : entries_(entries) {}
        const Entry* entries_;
    };
    Finder finder() const noexcept { return Finder(entries()); }
    // Where the key's flow may be put: its own entry, one that does not count any more, or each of the four in turn.
    Entry& entry_for(const FlowKey<Address>& key) noexcept {
        const Place place = place_of(key);
        for (Place next = 0; next < kWays; ++next) {
            Entry& entry = entries()[place ^ next];
            if (entry.key == key || entry.key.epoch() != key.epoch()) return entry;
        }
        return entries()[place ^ (turn_++ % kWays)];
    }
    void clear() noexcept { std::memset(pages_.data(), 0, pages_.bytes()); }

    WorthAsking worth;

  private:
    Entry* entries() noexcept { return reinterpret_cast<Entry*>(pages_.data()); }
    const Entry* entries() const noexcept { return reinterpret_cast<const Entry*>(pages_.data()); }

    // Of what does not change from packet to packet. Not secret: who finds tuples that meet in one place gains nothing,
    // they are asked about as without a cache.
    static std::uint64_t hash_of(const std::array<std::uint64_t, FlowKey<Address>::kWords>& words) noexcept {
        constexpr std::uint64_t kMix[] = {0x9e37'79b9'7f4a'7c15ULL, 0xd6e8'feb8'6659'fd93ULL, 0xa076'1d64'78bd'642fULL};
        std::uint64_t hash = words[FlowKey<Address>::kAddresses] * kMix[0] ^ words[0];
        if constexpr (FlowKey<Address>::kAddresses == 4)
            hash = (hash ^ words[1] * kMix[1]) + (words[2] * kMix[2] ^ std::rotl(words[3] * kMix[0], 32));
        return hash * kMix[1];
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
        if (++epoch_ == FlowKey<Ipv4Address>::kEpochs) begin_anew();
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
