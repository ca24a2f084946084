// Lending ports and blocks. Nothing is allocated after the start.
#include "nat/port_pool.hpp"

#include <algorithm>
#include <numeric>
#include <random>

namespace sekisho::nat {

namespace {

constexpr std::size_t kRecordsInAdvance = 4096;  // that the log has room for beside one for each block

std::uint64_t mixed(std::uint64_t word) noexcept {
    word *= 0x9e37'79b9'7f4a'7c15ULL;
    return word ^ word >> 29;
}
Parity parity_of(std::uint16_t port) noexcept {
    return port % 2 == 0 ? Parity::even : Parity::odd;
}

}  // namespace

Expected<std::unique_ptr<PortPool>> PortPool::make(PortPoolOptions options) {
    if (options.addresses.empty()) return Error{ErrorCode::invalid, "a pool has no address"};
    if (options.addresses.size() * kBlocksOfAddress * kPortProtocols * kBlockPorts >= kNoMapping)
        return Error{ErrorCode::limit, "a pool of more than 21,845 addresses"};
    std::unique_ptr<PortPool> pool(new PortPool(std::move(options)));
    for (std::size_t i = 1; i < pool->by_value_.size(); ++i)
        if (pool->addresses_[pool->by_value_[i - 1]].address == pool->addresses_[pool->by_value_[i]].address)
            return Error{ErrorCode::exists,
                         "address " + pool->addresses_[pool->by_value_[i]].address.text() + " stands twice in a pool"};
    return pool;
}

PortPool::PortPool(PortPoolOptions options)
    : options_(std::move(options)),
      log_(options_.addresses.size() * kBlocksOfAddress / options_.shares + kRecordsInAdvance),
      seed_(std::uint64_t{std::random_device{}()} << 32 | std::random_device{}()),
      by_value_(options_.addresses.size()),
      blocks_(options_.addresses.size() * kBlocksOfAddress),
      mappings_(blocks_.size() * kPortProtocols * kBlockPorts),
      pages_(mappings_ * (sizeof(Packed) + 2 * sizeof(std::uint16_t)), Pages::Size::small),
      insides_(reinterpret_cast<Packed*>(pages_.data())),
      tags_(reinterpret_cast<std::uint16_t*>(insides_ + mappings_)),
      sessions_(tags_ + mappings_),
      contacts_(options_.contacts, seed_),
      holders_(options_.subscribers),
      buckets_(std::bit_ceil(options_.subscribers * 2), kNone),
      resting_(blocks_.size()) {
    for (const Ipv4Address address : options_.addresses) addresses_.push_back({address});
    std::iota(by_value_.begin(), by_value_.end(), 0U);
    std::sort(by_value_.begin(), by_value_.end(),
              [&](std::uint32_t a, std::uint32_t b) { return addresses_[a].address < addresses_[b].address; });
    for (std::uint32_t block = 0; block < blocks_.size(); ++block) {
        const auto port = static_cast<std::uint16_t>(block % kBlocksOfAddress * kBlockPorts);
        if (share_of({addresses_[block / kBlocksOfAddress].address, port}, options_.shares) == options_.share)
            set_free(block, true);
    }
    for (auto holder = static_cast<std::uint32_t>(holders_.size()); holder-- > 0;) {
        holders_[holder].next = free_holder_;
        free_holder_ = holder;
    }
}

PortPool::Lease PortPool::with_session(Mapping mapping) noexcept {
    if (sessions_[mapping] == 0xffff) return {kNoMapping, Refusal::sessions_full};
    ++sessions_[mapping];
    return {mapping, Refusal::none};
}

PortPool::Lease PortPool::lease(const Asker& asker, const Endpoint& inside, PortProtocol protocol,
                                const StaticMaps& statics) noexcept {
    const Packed endpoint = packed(inside);
    // 1. The port that the endpoint has, unless it has become a static map's.
    std::uint32_t holder = find_holder(asker.subscriber);
    if (holder != kNone)
        if (const Mapping mapping = find(holder, endpoint, protocol); mapping != kNoMapping) {
            if (statics.by_outside(outside(mapping), protocol) == nullptr) return with_session(mapping);
            set_inside(mapping, 0);  // and the port stays taken until the block is closed, as in take()
            sessions_[mapping] = 0;
            if (--blocks_[block_of(mapping)].lent == 0) close_block(block_of(mapping), asker.now);
            holder = find_holder(asker.subscriber);
        }
    // 2. A free one in the subscriber's blocks; 3. or in one more. A low one first for a low one.
    if (holder == kNone) holder = add_holder(asker);
    if (holder == kNone) return {kNoMapping, Refusal::subscribers_full};
    Refusal refusal = Refusal::none;
    const bool low = inside.port < 1024 && protocol != PortProtocol::icmp;
    for (const bool from_low : {true, false}) {
        if (from_low && !low) continue;
        Mapping mapping = take_in_blocks(holder, from_low, endpoint, protocol, statics, asker);
        if (mapping == kNoMapping) {
            refusal = open_block(holder, from_low, asker);
            if (refusal == Refusal::none) {
                const std::uint32_t block = holders_[holder].first_block;
                mapping = take(block, endpoint, protocol, statics, asker);
                if (mapping == kNoMapping) {  // all of it is static maps'
                    close_block(block, asker.now);
                    return {kNoMapping, Refusal::address_full};
                }
            }
        }
        if (mapping != kNoMapping) return with_session(mapping);
    }
    if (holders_[holder].blocks == 0) remove_holder(holder);
    return {kNoMapping, refusal};
}

PortPool::Mapping PortPool::take_in_blocks(std::uint32_t holder, bool low, Packed inside, PortProtocol protocol,
                                           const StaticMaps& statics, const Asker& asker) noexcept {
    for (std::uint32_t block = holders_[holder].first_block; block != kNone; block = blocks_[block].next) {
        if (is_low_block(block) != low) continue;
        if (const Mapping mapping = take(block, inside, protocol, statics, asker); mapping != kNoMapping)
            return mapping;
    }
    return kNoMapping;
}

void PortPool::release(Mapping mapping, std::uint32_t now) noexcept {
    if (--sessions_[mapping] != 0) return;
    const std::uint32_t number = block_of(mapping);
    Block& block = blocks_[number];
    set_inside(mapping, 0);
    block.ports[protocol_of(mapping)].give_back(port_of(mapping), now, rules_.hold_down);
    if (--block.lent == 0) close_block(number, now);
}

std::uint16_t PortPool::tag_of(Packed inside) const noexcept {
    const auto tag = static_cast<std::uint16_t>(mixed(inside ^ seed_) >> 48);
    return static_cast<std::uint16_t>(tag + (tag == 0 ? 1 : 0));
}

PortPool::Mapping PortPool::find(std::uint32_t holder, Packed inside, PortProtocol protocol) const noexcept {
    const std::uint16_t tag = tag_of(inside);
    for (std::uint32_t block = holders_[holder].first_block; block != kNone; block = blocks_[block].next) {
        const Mapping first = mapping_at(block, protocol, 0);
        const std::uint16_t* const tags = tags_ + first;
        std::uint16_t found = 0;  // without leaving the loop early, so that it compares several at a time
        for (std::size_t port = 0; port < kBlockPorts; ++port)
            found = static_cast<std::uint16_t>(found | (tags[port] == tag ? 1 : 0));
        if (found == 0) continue;
        const Packed* const insides = insides_ + first;
        const Packed* const at = std::find(insides, insides + kBlockPorts, inside);
        if (at != insides + kBlockPorts) return first + static_cast<Mapping>(at - insides);
    }
    return kNoMapping;
}

PortPool::Mapping PortPool::take(std::uint32_t number, Packed inside, PortProtocol protocol, const StaticMaps& statics,
                                 const Asker& asker) noexcept {
    // Where the search begins cannot be foretold (RFC 6056).
    const auto start = static_cast<std::uint32_t>(mixed(inside ^ seed_) >> 40) % kBlockPorts;
    const Parity parity = rules_.keeps_parity ? parity_of(static_cast<std::uint16_t>(inside)) : Parity::any;
    Block& block = blocks_[number];
    for (;;) {  // ends: every port that is passed over stays taken until the block is closed
        const auto suits = [&](std::uint32_t port) noexcept {
            return asker.wish == nullptr || asker.wish->suits(outside(mapping_at(number, protocol, port)));
        };
        const std::uint32_t port =
            block.ports[static_cast<std::size_t>(protocol)].take(start, parity, asker.now, rules_.hold_down, suits);
        if (port == PortSet::kNone) return kNoMapping;
        const Mapping mapping = mapping_at(number, protocol, port);
        if (statics.by_outside(outside(mapping), protocol) != nullptr) [[unlikely]]
            continue;
        ++block.lent;
        set_inside(mapping, inside);
        sessions_[mapping] = 0;
        return mapping;
    }
}

PortPool::Mapping PortPool::mapping_of(const Endpoint& outside, PortProtocol protocol) const noexcept {
    const std::uint32_t index = index_of(outside.address);
    if (index == kNone) return kNoMapping;
    return mapping_at(index * kBlocksOfAddress + outside.port / kBlockPorts, protocol, outside.port % kBlockPorts);
}

PortPool::Mapping PortPool::mapping_of(const Endpoint& outside, const Endpoint& inside,
                                       PortProtocol protocol) const noexcept {
    const Mapping mapping = mapping_of(outside, protocol);
    return mapping != kNoMapping && insides_[mapping] == packed(inside) ? mapping : kNoMapping;
}

void PortPool::part(const Endpoint& outside, PortProtocol protocol, Ipv4Address other) noexcept {
    if (const Mapping mapping = mapping_of(outside, protocol); mapping != kNoMapping) contacts_.remove(mapping, other);
}

Endpoint PortPool::outside(Mapping mapping) const noexcept {
    const std::uint32_t block = block_of(mapping);
    return {addresses_[block / kBlocksOfAddress].address,
            static_cast<std::uint16_t>(block % kBlocksOfAddress * kBlockPorts + port_of(mapping))};
}

bool PortPool::lets_in(const Endpoint& outside, PortProtocol protocol, Ipv4Address sender) const noexcept {
    if (rules_.filtering != Filtering::address_dependent) return rules_.filtering == Filtering::endpoint_independent;
    const Mapping mapping = mapping_of(outside, protocol);
    return mapping != kNoMapping && contacts_.has(mapping, sender);
}

std::optional<PortPool::Inside> PortPool::inside(const Endpoint& outside, PortProtocol protocol) const noexcept {
    const Mapping mapping = mapping_of(outside, protocol);
    const Packed inside = mapping == kNoMapping ? 0 : insides_[mapping];
    if (inside == 0) return std::nullopt;
    const Endpoint endpoint{Ipv4Address(static_cast<std::uint32_t>(inside >> 16)), static_cast<std::uint16_t>(inside)};
    return Inside{holders_[blocks_[block_of(mapping)].holder].subscriber, endpoint, mapping};
}

std::uint32_t PortPool::index_of(Ipv4Address address) const noexcept {
    const auto at =
        std::lower_bound(by_value_.begin(), by_value_.end(), address,
                         [&](std::uint32_t index, Ipv4Address wanted) { return addresses_[index].address < wanted; });
    return at != by_value_.end() && addresses_[*at].address == address ? *at : kNone;
}

std::uint32_t PortPool::blocks_of(const Subscriber& subscriber) const noexcept {
    const std::uint32_t holder = find_holder(subscriber);
    return holder == kNone ? 0 : holders_[holder].blocks;
}

std::size_t PortPool::bucket_of(const Subscriber& subscriber) const noexcept {
    return mixed((std::uint64_t{subscriber.space} << 32 | subscriber.id) ^ seed_) >> 20 & (buckets_.size() - 1);
}

std::uint32_t PortPool::find_holder(const Subscriber& subscriber) const noexcept {
    std::uint32_t holder = buckets_[bucket_of(subscriber)];
    while (holder != kNone && !(holders_[holder].subscriber == subscriber)) holder = holders_[holder].next;
    return holder;
}

std::uint32_t PortPool::add_holder(const Asker& asker) noexcept {
    const std::uint32_t holder = free_holder_;
    if (holder == kNone) return kNone;
    free_holder_ = holders_[holder].next;
    std::uint32_t& bucket = buckets_[bucket_of(asker.subscriber)];
    holders_[holder] = {asker.subscriber, asker.institution, kNone, kNone, 0, bucket};
    bucket = holder;
    ++subscribers_in_use_;
    return holder;
}

void PortPool::remove_holder(std::uint32_t holder) noexcept {
    std::uint32_t* link = &buckets_[bucket_of(holders_[holder].subscriber)];
    while (*link != holder) link = &holders_[*link].next;
    *link = holders_[holder].next;
    holders_[holder].next = free_holder_;
    free_holder_ = holder;
    --subscribers_in_use_;
}

PortPool::Refusal PortPool::open_block(std::uint32_t number, bool low, const Asker& asker) noexcept {
    Holder& holder = holders_[number];
    if (holder.blocks >= rules_.blocks_each) return Refusal::quota;
    wake_blocks(asker.now);
    if (!log_.has_room()) return Refusal::log_full;
    const std::uint32_t index = holder.blocks == 0 ? address_with_room(low) : holder.address;
    if (index == kNone) return Refusal::pool_full;
    const Address& address = addresses_[index];
    if ((low ? address.free_low : address.free_high) == 0) return Refusal::address_full;
    holder.address = index;
    const std::uint32_t first = low ? 0 : 1024 / kBlockPorts;
    const std::uint32_t end = low ? 1024 / kBlockPorts : kBlocksOfAddress;
    for (std::uint32_t n = first; n < end; ++n) {
        if ((address.free[n / 64] >> n % 64 & 1) == 0) continue;
        const std::uint32_t at = index * kBlocksOfAddress + n;
        Block& block = blocks_[at];
        set_free(at, false);
        for (PortSet& ports : block.ports) ports.clear();
        if (n == 0)
            for (PortSet& ports : block.ports) ports.reserve(0);  // port 0 is no port
        block.holder = number;
        block.next = holder.first_block;
        block.lent = 0;
        block.epoch = asker.epoch;
        holder.first_block = at;
        ++holder.blocks;
        ++blocks_in_use_;
        log_.opened(record_of(at, true, asker.now));
        return Refusal::none;
    }
    return Refusal::address_full;
}

void PortPool::close_block(std::uint32_t number, std::uint32_t now) noexcept {
    Block& block = blocks_[number];
    log_.closed(record_of(number, false, now));
    Holder& holder = holders_[block.holder];
    std::uint32_t* link = &holder.first_block;
    while (*link != number) link = &blocks_[*link].next;
    *link = block.next;
    --blocks_in_use_;
    if (--holder.blocks == 0) remove_holder(block.holder);
    block.holder = kNone;
    block.rests_until = now + rules_.hold_down;
    resting_[(resting_first_ + resting_count_++) % resting_.size()] = number;
}

// In turn, so that subscribers spread over the addresses.
std::uint32_t PortPool::address_with_room(bool low) noexcept {
    for (std::size_t n = 0; n < addresses_.size(); ++n) {
        const std::uint32_t index = next_address_;
        next_address_ = index + 1 == addresses_.size() ? 0 : index + 1;
        if ((low ? addresses_[index].free_low : addresses_[index].free_high) != 0) return index;
    }
    return kNone;
}

void PortPool::set_free(std::uint32_t block, bool free) noexcept {
    Address& address = addresses_[block / kBlocksOfAddress];
    const std::uint32_t n = block % kBlocksOfAddress;
    address.free[n / 64] ^= std::uint64_t{1} << n % 64;
    std::uint32_t& count = is_low_block(block) ? address.free_low : address.free_high;
    free ? ++count : --count;
}

void PortPool::wake_blocks(std::uint32_t now) noexcept {
    for (; resting_count_ != 0; --resting_count_) {
        const std::uint32_t block = resting_[resting_first_];
        if (static_cast<std::int32_t>(now - blocks_[block].rests_until) < 0) return;
        set_free(block, true);
        resting_first_ = (resting_first_ + 1) % resting_.size();
    }
}

BlockRecord PortPool::record_of(std::uint32_t number, bool opened, std::uint32_t now) const noexcept {
    const std::uint32_t first = number % kBlocksOfAddress * kBlockPorts;
    const Holder& holder = holders_[blocks_[number].holder];
    return {opened,
            holder.subscriber,
            holder.institution,
            addresses_[number / kBlocksOfAddress].address,
            static_cast<std::uint16_t>(first),
            static_cast<std::uint16_t>(first + kBlockPorts - 1),
            blocks_[number].epoch,
            now};
}

}  // namespace sekisho::nat
