// Lending ports and blocks. Nothing is allocated after the start.
#include "nat/port_pool.hpp"

#include <algorithm>
#include <numeric>
#include <random>

namespace sekisho::nat {

namespace {

std::uint64_t mixed(std::uint64_t word) noexcept {
    word *= 0x9e37'79b9'7f4a'7c15ULL;
    return word ^ word >> 29;
}
Parity parity_of(std::uint16_t port) noexcept {
    return port % 2 == 0 ? Parity::even : Parity::odd;
}

}  // namespace

Expected<PortPool> PortPool::make(PortPoolOptions options, BlockLog& log, std::uint32_t now) {
    if (options.addresses.empty()) return Error{ErrorCode::invalid, "a pool has no address"};
    if (options.blocks_each == 0) return Error{ErrorCode::invalid, "blocks_each is 0: nobody could have a port"};
    if (options.addresses.size() * kBlocksOfAddress * kPortProtocols * kBlockPorts >= kNoMapping)
        return Error{ErrorCode::limit, "a pool of more than 21,845 addresses"};
    PortPool pool(std::move(options), log);
    for (std::size_t i = 1; i < pool.by_value_.size(); ++i)
        if (pool.addresses_[pool.by_value_[i - 1]].address == pool.addresses_[pool.by_value_[i]].address)
            return Error{ErrorCode::exists,
                         "address " + pool.addresses_[pool.by_value_[i]].address.text() + " stands twice in a pool"};
    if (auto added = pool.add_statics(now); !added) return added.error();
    return pool;
}

PortPool::PortPool(PortPoolOptions options, BlockLog& log)
    : options_(std::move(options)),
      log_(&log),
      seed_(std::uint64_t{std::random_device{}()} << 32 | std::random_device{}()),
      by_value_(options_.addresses.size()),
      blocks_(options_.addresses.size() * kBlocksOfAddress),
      insides_(blocks_.size() * kPortProtocols * kBlockPorts, 0),
      sessions_(insides_.size(), 0),
      holders_(options_.subscribers),
      buckets_(std::bit_ceil(options_.subscribers * 2), kNone),
      resting_(blocks_.size()) {
    for (const Ipv4Address address : options_.addresses) addresses_.push_back({address});
    std::iota(by_value_.begin(), by_value_.end(), 0U);
    std::sort(by_value_.begin(), by_value_.end(),
              [&](std::uint32_t a, std::uint32_t b) { return addresses_[a].address < addresses_[b].address; });
    for (std::uint32_t block = 0; block < blocks_.size(); ++block) set_free(block, true);
    for (auto holder = static_cast<std::uint32_t>(holders_.size()); holder-- > 0;) {
        holders_[holder].next = free_holder_;
        free_holder_ = holder;
    }
}

// A block with a static map in it is lent to nobody.
Expected<void> PortPool::add_statics(std::uint32_t now) {
    for (const StaticMap& map : options_.statics) {
        const std::string name = map.outside.address.text() + " port " + std::to_string(map.outside.port);
        const std::uint32_t index = index_of(map.outside.address);
        if (index == kNone) return Error{ErrorCode::not_found, "static map " + name + ": no address of the pool"};
        if (map.outside.port == 0) return Error{ErrorCode::invalid, "static map " + name + ": port 0"};
        const std::uint32_t block = index * kBlocksOfAddress + map.outside.port / kBlockPorts;
        const Mapping mapping = mapping_at(block, map.protocol, map.outside.port % kBlockPorts);
        if (insides_[mapping] != 0) return Error{ErrorCode::exists, "static map " + name + " stands twice"};
        if (find_static(map.subscriber, map.inside, map.protocol) != kNoMapping)
            return Error{ErrorCode::exists, "static map " + name + ": " + map.inside.address.text() + " port " +
                                                std::to_string(map.inside.port) + " has another one"};
        if (blocks_[block].holder != kStatic) {
            blocks_[block].holder = kStatic;
            set_free(block, false);
        }
        if (!log_->push({true, true, map.subscriber, map.outside.address, map.outside.port, map.outside.port, now}))
            return Error{ErrorCode::limit, "static map " + name + ": the log is full"};
        insides_[mapping] = packed(map.inside);
    }
    return {};
}

PortPool::Mapping PortPool::find_static(const Subscriber& subscriber, const Endpoint& inside,
                                        PortProtocol protocol) const noexcept {
    for (const StaticMap& map : options_.statics) {
        if (map.protocol != protocol || !(map.inside == inside) || !(map.subscriber == subscriber)) continue;
        const std::uint32_t block = index_of(map.outside.address) * kBlocksOfAddress + map.outside.port / kBlockPorts;
        const Mapping mapping = mapping_at(block, protocol, map.outside.port % kBlockPorts);
        if (insides_[mapping] != 0) return mapping;
    }
    return kNoMapping;
}

PortPool::Lease PortPool::lease(const Subscriber& subscriber, const Endpoint& inside, PortProtocol protocol,
                                std::uint32_t now) noexcept {
    const auto with_session = [&](Mapping mapping) noexcept -> Lease {
        if (sessions_[mapping] == 0xffff) return {kNoMapping, Refusal::sessions_full};
        ++sessions_[mapping];
        return {mapping, Refusal::none};
    };
    // 1. The port that the endpoint has.
    if (const Mapping mapping = find_static(subscriber, inside, protocol); mapping != kNoMapping)
        return with_session(mapping);
    const Packed endpoint = packed(inside);
    std::uint32_t holder = find_holder(subscriber);
    if (holder != kNone)
        if (const Mapping mapping = find(holder, endpoint, protocol); mapping != kNoMapping)
            return with_session(mapping);
    // 2. A free one in the subscriber's blocks.
    const bool low = inside.port < 1024 && protocol != PortProtocol::icmp;
    if (holder == kNone) holder = add_holder(subscriber);
    if (holder == kNone) return {kNoMapping, Refusal::subscribers_full};
    for (std::uint32_t block = holders_[holder].first_block; block != kNone; block = blocks_[block].next) {
        if (is_low_block(block) != low) continue;
        if (const Mapping mapping = take(block, endpoint, protocol, now); mapping != kNoMapping)
            return with_session(mapping);
    }
    // 3. One more block.
    if (const Refusal refusal = open_block(holder, low, now); refusal != Refusal::none) {
        if (holders_[holder].blocks == 0) remove_holder(holder);
        return {kNoMapping, refusal};
    }
    return with_session(take(holders_[holder].first_block, endpoint, protocol, now));
}

void PortPool::release(Mapping mapping, std::uint32_t now) noexcept {
    if (--sessions_[mapping] != 0) return;
    const std::uint32_t number = block_of(mapping);
    Block& block = blocks_[number];
    if (block.holder == kStatic) return;
    insides_[mapping] = 0;
    block.ports[protocol_of(mapping)].give_back(port_of(mapping), now, options_.hold_down);
    if (--block.lent == 0) close_block(number, now);
}

PortPool::Mapping PortPool::find(std::uint32_t holder, Packed inside, PortProtocol protocol) const noexcept {
    for (std::uint32_t block = holders_[holder].first_block; block != kNone; block = blocks_[block].next) {
        const Mapping first = mapping_at(block, protocol, 0);
        const Packed* const begin = insides_.data() + first;
        std::uint32_t at = kNone;  // without leaving the loop early, so that it compares several at a time
        for (std::uint32_t port = 0; port < kBlockPorts; ++port) at = begin[port] == inside ? port : at;
        if (at != kNone) return first + at;
    }
    return kNoMapping;
}

PortPool::Mapping PortPool::take(std::uint32_t block, Packed inside, PortProtocol protocol,
                                 std::uint32_t now) noexcept {
    // Where the search begins cannot be foretold (RFC 6056).
    const auto start = static_cast<std::uint32_t>(mixed(inside ^ seed_) >> 40) % kBlockPorts;
    const Parity parity = options_.keeps_parity ? parity_of(static_cast<std::uint16_t>(inside)) : Parity::any;
    const std::uint32_t port =
        blocks_[block].ports[static_cast<std::size_t>(protocol)].take(start, parity, now, options_.hold_down);
    if (port == PortSet::kNone) return kNoMapping;
    ++blocks_[block].lent;
    const Mapping mapping = mapping_at(block, protocol, port);
    insides_[mapping] = inside;
    return mapping;
}

Endpoint PortPool::outside(Mapping mapping) const noexcept {
    const std::uint32_t block = block_of(mapping);
    return {addresses_[block / kBlocksOfAddress].address,
            static_cast<std::uint16_t>(block % kBlocksOfAddress * kBlockPorts + port_of(mapping))};
}

std::optional<PortPool::Inside> PortPool::inside(const Endpoint& outside, PortProtocol protocol) const noexcept {
    const std::uint32_t index = index_of(outside.address);
    if (index == kNone) return std::nullopt;
    const std::uint32_t block = index * kBlocksOfAddress + outside.port / kBlockPorts;
    const Mapping mapping = mapping_at(block, protocol, outside.port % kBlockPorts);
    const Packed inside = insides_[mapping];
    if (inside == 0) return std::nullopt;
    const Endpoint endpoint{Ipv4Address(static_cast<std::uint32_t>(inside >> 16)), static_cast<std::uint16_t>(inside)};
    if (blocks_[block].holder != kStatic) return Inside{holders_[blocks_[block].holder].subscriber, endpoint, mapping};
    for (const StaticMap& map : options_.statics)
        if (map.protocol == protocol && map.outside == outside) return Inside{map.subscriber, endpoint, mapping};
    return std::nullopt;
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

std::uint32_t PortPool::add_holder(const Subscriber& subscriber) noexcept {
    const std::uint32_t holder = free_holder_;
    if (holder == kNone) return kNone;
    free_holder_ = holders_[holder].next;
    std::uint32_t& bucket = buckets_[bucket_of(subscriber)];
    holders_[holder] = {subscriber, kNone, kNone, 0, bucket};
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

PortPool::Refusal PortPool::open_block(std::uint32_t number, bool low, std::uint32_t now) noexcept {
    Holder& holder = holders_[number];
    if (holder.blocks == options_.blocks_each) return Refusal::quota;
    wake_blocks(now);
    // Each block that is open needs room for its end too.
    if (log_->room() < blocks_in_use_ + 2) return Refusal::log_full;
    if (holder.blocks == 0) holder.address = address_with_room(low);
    if (holder.address == kNone) return Refusal::pool_full;
    const Address& address = addresses_[holder.address];
    if ((low ? address.free_low : address.free_high) == 0) return Refusal::address_full;
    const std::uint32_t first = low ? 0 : 1024 / kBlockPorts;
    const std::uint32_t end = low ? 1024 / kBlockPorts : kBlocksOfAddress;
    for (std::uint32_t n = first; n < end; ++n) {
        if ((address.free[n / 64] >> n % 64 & 1) == 0) continue;
        const std::uint32_t block = holder.address * kBlocksOfAddress + n;
        set_free(block, false);
        for (PortSet& ports : blocks_[block].ports) ports.clear();
        if (n == 0)
            for (PortSet& ports : blocks_[block].ports) ports.reserve(0);  // port 0 is no port
        blocks_[block].holder = number;
        blocks_[block].next = holder.first_block;
        blocks_[block].lent = 0;
        holder.first_block = block;
        ++holder.blocks;
        ++blocks_in_use_;
        log(block, true, now);
        return Refusal::none;
    }
    return Refusal::address_full;
}

void PortPool::close_block(std::uint32_t number, std::uint32_t now) noexcept {
    Block& block = blocks_[number];
    log(number, false, now);
    Holder& holder = holders_[block.holder];
    std::uint32_t* link = &holder.first_block;
    while (*link != number) link = &blocks_[*link].next;
    *link = block.next;
    --blocks_in_use_;
    if (--holder.blocks == 0) remove_holder(block.holder);
    block.holder = kNone;
    block.rests_until = now + options_.hold_down;
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

void PortPool::log(std::uint32_t number, bool opened, std::uint32_t now) noexcept {
    const std::uint32_t first = number % kBlocksOfAddress * kBlockPorts;
    (void)log_->push({opened, false, holders_[blocks_[number].holder].subscriber,
                      addresses_[number / kBlocksOfAddress].address, static_cast<std::uint16_t>(first),
                      static_cast<std::uint16_t>(first + kBlockPorts - 1), now});
}

}  // namespace sekisho::nat
