// A pool of hub-space IPv4 addresses whose ports are lent in blocks: who speaks from which address and port outside.
//
// RFC 6888, RFC 7857, RFC 4787: a subscriber has blocks of one address (paired pooling), one to begin with and more on
// demand up to a quota; an endpoint keeps its port whomever it speaks to (endpoint-independent mapping); ports under
// 1024 are lent to endpoints under 1024 and to no other, while there are some; what was given back rests before it is
// lent again, ports within their block and whole blocks before another subscriber has them. One worker's share of a
// pool, and its thread's: of every address each worker has some blocks. Memory is taken at the start, and comes as
// blocks are lent. Ports of static maps are never lent.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "nat/block_log.hpp"
#include "nat/contacts.hpp"
#include "nat/pages.hpp"
#include "nat/port_block.hpp"
#include "nat/port_wish.hpp"
#include "nat/static_maps.hpp"
#include "net/expected.hpp"

namespace sekisho::nat {

struct PortPoolOptions {
    std::vector<Ipv4Address> addresses;
    std::size_t subscribers = 65'536;
    std::size_t contacts = 1'048'576;  // addresses that lent ports have sessions with, each pair counted
    std::uint32_t share = 0;           // this one, of so many
    std::uint32_t shares = 1;
};

// What another generation may change while sessions go on.
struct PortRules {
    std::uint32_t blocks_each = 4;  // a subscriber's quota
    std::uint32_t hold_down = 120;  // seconds
    bool keeps_parity = false;
    Filtering filtering = Filtering::address_dependent;
    friend bool operator==(const PortRules&, const PortRules&) noexcept = default;
};

class PortPool {
  public:
    // Names a port for one protocol: what a session holds until it ends.
    using Mapping = std::uint32_t;
    static constexpr Mapping kNoMapping = 0xffff'ffffU;

    enum class Refusal : std::uint8_t {
        none,
        quota,             // the subscriber has all blocks that it may have, and no free port in them
        address_full,      // its address has no block left
        pool_full,         // no address has
        subscribers_full,  // too many subscribers at once
        log_full,          // nobody reads the log
        sessions_full,     // 65,535 sessions of one endpoint
    };
    struct Lease {
        Mapping mapping = kNoMapping;
        Refusal refusal = Refusal::none;
    };

    // Refuses addresses that contradict one another.
    static Expected<std::unique_ptr<PortPool>> make(PortPoolOptions options);
    PortPool(const PortPool&) = delete;
    PortPool& operator=(const PortPool&) = delete;

    // Which of so many shares an outside endpoint belongs to, whatever the pool.
    static std::uint32_t share_of(const Endpoint& outside, std::uint32_t shares) noexcept {
        return (outside.address.value() + outside.port / kBlockPorts) % shares;
    }

    void set(const PortRules& rules) noexcept { rules_ = rules; }
    BlockLog& log() noexcept { return log_; }

    // Who asks, and when; `now` in seconds, as everywhere here.
    struct Asker {
        Subscriber subscriber;
        InstitutionId institution;
        std::uint32_t epoch = 0;  // of the tables by which it asks
        std::uint32_t now = 0;
        const PortWish* wish = nullptr;  // null: any port is as good as another
    };
    // The mapping of an inside endpoint, the one that it has or a new one, for one session more. A port that has become
    // a static map's is taken from whoever has it.
    Lease lease(const Asker& asker, const Endpoint& inside, PortProtocol protocol, const StaticMaps& statics) noexcept;
    // One session more of a port that this endpoint has, opened from outside; kNoMapping: it has it no more.
    Lease join(const Endpoint& outside, const Endpoint& inside, PortProtocol protocol) noexcept {
        const Mapping mapping = mapping_of(outside, inside, protocol);
        return mapping == kNoMapping ? Lease{} : with_session(mapping);
    }
    // One session less. With the last one of a mapping its port goes back, with the last port its block.
    void release(Mapping mapping, std::uint32_t now) noexcept;

    // Filtering. A session that was opened from inside a lent port is with this address, and is no more; of a port that
    // has become a static map's too.
    void meet(Mapping mapping, Ipv4Address other) noexcept {
        if (rules_.filtering == Filtering::address_dependent) contacts_.add(mapping, other);
    }
    // It is going to meet it: what that writes is on its way.
    void expect_meeting(Mapping mapping, Ipv4Address other) const noexcept {
        if (rules_.filtering == Filtering::address_dependent) contacts_.expect(mapping, other);
    }
    void part(const Endpoint& outside, PortProtocol protocol, Ipv4Address other) noexcept;
    // Whether one that has this address outside may open to a lent port.
    bool lets_in(const Endpoint& outside, PortProtocol protocol, Ipv4Address sender) const noexcept;

    // The mapping that an inside endpoint has at an outside one; kNoMapping: it has none there.
    Mapping mapping_of(const Endpoint& outside, const Endpoint& inside, PortProtocol protocol) const noexcept;

    Endpoint outside(Mapping mapping) const noexcept;
    struct Inside {
        Subscriber subscriber;
        Endpoint endpoint;
        Mapping mapping = kNoMapping;
    };
    // Who is behind an outside endpoint now. nullopt: nobody.
    std::optional<Inside> inside(const Endpoint& outside, PortProtocol protocol) const noexcept;
    bool has(Ipv4Address address) const noexcept { return index_of(address) != kNone; }

    std::size_t blocks_in_use() const noexcept { return blocks_in_use_; }
    std::size_t subscribers() const noexcept { return subscribers_in_use_; }
    std::uint32_t blocks_of(const Subscriber& subscriber) const noexcept;

  private:
    static constexpr std::uint32_t kNone = 0xffff'ffffU;

    struct Block {
        std::uint32_t holder = kNone;  // a place in holders_
        std::uint32_t next = kNone;    // of the same holder
        std::uint32_t lent = 0;        // ports of all protocols
        std::uint32_t rests_until = 0;
        std::uint32_t epoch = 0;  // that it was opened by
        std::array<PortSet, kPortProtocols> ports;
    };
    // Inside endpoints by mapping: 0, or the port, the address and a bit that says that it is there.
    using Packed = std::uint64_t;
    struct Holder {
        Subscriber subscriber;
        InstitutionId institution;
        std::uint32_t address = 0;
        std::uint32_t first_block = kNone;
        std::uint32_t blocks = 0;
        std::uint32_t next = kNone;  // in its bucket, or of the free ones
    };
    struct Address {
        Ipv4Address address;
        std::uint32_t free_low = 0;
        std::uint32_t free_high = 0;
        std::array<std::uint64_t, kBlocksOfAddress / 64> free{};
    };

    explicit PortPool(PortPoolOptions options);

    static constexpr bool is_low_block(std::uint32_t block) noexcept {
        return block % kBlocksOfAddress < 1024 / kBlockPorts;
    }
    static Packed packed(const Endpoint& endpoint) noexcept {
        return std::uint64_t{1} << 48 | std::uint64_t{endpoint.address.value()} << 16 | endpoint.port;
    }
    std::uint32_t index_of(Ipv4Address address) const noexcept;
    // The mapping that stands for an outside endpoint, lent or not; kNoMapping: not of this pool.
    Mapping mapping_of(const Endpoint& outside, PortProtocol protocol) const noexcept;
    std::uint32_t block_of(Mapping mapping) const noexcept { return mapping / kBlockPorts / kPortProtocols; }
    Mapping mapping_at(std::uint32_t block, PortProtocol protocol, std::uint32_t port) const noexcept {
        return (block * static_cast<std::uint32_t>(kPortProtocols) + static_cast<std::uint32_t>(protocol)) *
                   kBlockPorts +
               port;
    }
    static std::uint32_t port_of(Mapping mapping) noexcept { return mapping % kBlockPorts; }
    static std::uint32_t protocol_of(Mapping mapping) noexcept {
        return mapping / kBlockPorts % static_cast<std::uint32_t>(kPortProtocols);
    }

    // 16 bits of an endpoint that is there, never 0: what a block is searched by.
    std::uint16_t tag_of(Packed inside) const noexcept;
    void set_inside(Mapping mapping, Packed inside) noexcept {
        insides_[mapping] = inside;
        tags_[mapping] = inside == 0 ? std::uint16_t{0} : tag_of(inside);
    }
    Mapping find(std::uint32_t holder, Packed inside, PortProtocol protocol) const noexcept;
    Mapping take(std::uint32_t block, Packed inside, PortProtocol protocol, const StaticMaps& statics,
                 const Asker& asker) noexcept;
    Mapping take_in_blocks(std::uint32_t holder, bool low, Packed inside, PortProtocol protocol,
                           const StaticMaps& statics, const Asker& asker) noexcept;
    Lease with_session(Mapping mapping) noexcept;

    std::size_t bucket_of(const Subscriber& subscriber) const noexcept;
    std::uint32_t find_holder(const Subscriber& subscriber) const noexcept;
    std::uint32_t add_holder(const Asker& asker) noexcept;
    void remove_holder(std::uint32_t holder) noexcept;

    Refusal open_block(std::uint32_t holder, bool low, const Asker& asker) noexcept;
    void close_block(std::uint32_t block, std::uint32_t now) noexcept;
    std::uint32_t address_with_room(bool low) noexcept;
    void set_free(std::uint32_t block, bool free) noexcept;
    void wake_blocks(std::uint32_t now) noexcept;
    BlockRecord record_of(std::uint32_t block, bool opened, std::uint32_t now) const noexcept;

    PortPoolOptions options_;
    PortRules rules_;
    BlockLog log_;
    std::uint64_t seed_;
    std::vector<Address> addresses_;
    std::vector<std::uint32_t> by_value_;  // addresses_, in order
    std::vector<Block> blocks_;
    std::size_t mappings_;
    Pages pages_;              // of the three that follow
    Packed* insides_;          // by mapping
    std::uint16_t* tags_;      // likewise; 0: nobody's
    std::uint16_t* sessions_;  // likewise
    Contacts contacts_;
    std::vector<Holder> holders_;
    std::vector<std::uint32_t> buckets_;
    std::uint32_t free_holder_ = kNone;
    std::vector<std::uint32_t> resting_;  // blocks, a ring, the one that wakes first in front
    std::size_t resting_first_ = 0, resting_count_ = 0;
    std::uint32_t next_address_ = 0;
    std::size_t blocks_in_use_ = 0;
    std::size_t subscribers_in_use_ = 0;
};

}  // namespace sekisho::nat
