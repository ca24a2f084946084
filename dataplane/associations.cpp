// Control's side of the SAs: installing, switching, removing, ticking.
#include "dataplane/associations.hpp"

#include <algorithm>
#include <string>

namespace sekisho::dataplane {

Expected<std::unique_ptr<Associations>> Associations::make(crypto::EngineKind kind, std::size_t workers,
                                                           crypto::Retire retire) {
    auto engine = crypto::make_engine(kind);
    if (!engine) return engine.error();
    std::unique_ptr<Associations> made(new Associations(std::move(*engine), std::move(retire)));
    made->path_mtu_rings_ = std::make_unique<PathMtuRing[]>(workers);
    made->selector_mismatch_rings_ = std::make_unique<SelectorMismatchRing[]>(workers);
    for (std::size_t i = 0; i < workers; ++i) {
        auto own = crypto::make_engine(kind);
        if (!own) return own.error();
        made->engines_.push_back(std::move(*own));
    }
    return made;
}

Associations::Associations(std::unique_ptr<crypto::AeadEngine> engine, crypto::Retire retire)
    : retire_(std::move(retire)),
      engine_(std::move(engine)),
      keys_(std::make_shared<crypto::KeyStore>(crypto::prepared_bytes(engine_->kind()))),
      sad_(retire_through()) {}

Associations::~Associations() {
    retire_ = nullptr;  // nobody holds anything any more: what goes now goes at once
    forget_all();
}

void Associations::retire(std::shared_ptr<const void> gone) {
    if (retire_) retire_(std::move(gone));
}

namespace {

Expected<void> check_number(TunnelId id) {
    if (id != TunnelId() && id.index() < Associations::kTunnels) return {};
    return Error{ErrorCode::limit, "tunnel number " + std::to_string(id.value()) + " is not one of 1 to " +
                                       std::to_string(Associations::kTunnels - 1)};
}

}  // namespace

Expected<void> Associations::let_peer_move(TunnelId id, bool may) {
    if (auto fine = check_number(id); !fine) return fine;
    const auto before = peer_words_.find(id);
    if (before == peer_words_.end() && !may) return {};
    std::atomic<PeerPointer*>& chunk = peers_[id.index() / kChunk];
    if (chunk.load(std::memory_order_relaxed) == nullptr) {
        peer_memory_.push_back(std::make_unique<PeerPointer[]>(kChunk));
        chunk.store(peer_memory_.back().get(), std::memory_order_release);
    }
    const std::shared_ptr<PeerWord> fresh = may ? std::make_shared<PeerWord>() : nullptr;
    chunk.load(std::memory_order_relaxed)[id.index() % kChunk].store(fresh.get(), std::memory_order_release);
    if (before != peer_words_.end()) {
        retire(std::move(before->second));
        peer_words_.erase(before);
    }
    if (may) peer_words_.emplace(id, fresh);
    return {};
}

Expected<crypto::Tunnel*> Associations::tunnel_of(TunnelId id) {
    if (auto fine = check_number(id); !fine) return fine.error();
    std::unique_ptr<crypto::Tunnel>& tunnel = tunnels_[id];
    if (tunnel) return tunnel.get();
    std::atomic<Word*>& chunk = chunks_[id.index() / kChunk];
    if (chunk.load(std::memory_order_relaxed) == nullptr) {
        chunk_memory_.push_back(std::make_unique<Word[]>(kChunk));
        chunk.store(chunk_memory_.back().get(), std::memory_order_release);
    }
    Word& word = chunk.load(std::memory_order_relaxed)[id.index() % kChunk];
    tunnel = std::make_unique<crypto::Tunnel>(sad_, word, retire_through());
    return tunnel.get();
}

void Associations::add_entry(Entry entry) {
    if (entry.inbound)
        inbound_places_[entry.inbound->spi()] = entries_.size();
    else
        outbound_places_[entry.tunnel] = entries_.size();
    entries_.push_back(std::move(entry));
}

// The last entry takes its place.
void Associations::remove_entry(std::size_t place) {
    const Entry& gone = entries_[place];
    if (gone.inbound)
        inbound_places_.erase(gone.inbound->spi());
    else
        outbound_places_.erase(gone.tunnel);
    if (place + 1 != entries_.size()) {
        entries_[place] = std::move(entries_.back());
        const Entry& moved = entries_[place];
        if (moved.inbound)
            inbound_places_[moved.inbound->spi()] = place;
        else
            outbound_places_[moved.tunnel] = place;
    }
    entries_.pop_back();
}

Expected<void> Associations::add_inbound(const crypto::InboundConfig& config, const Secret& keying_material,
                                         Clock::time_point now) {
    auto tunnel = tunnel_of(config.tunnel);
    if (!tunnel) return tunnel.error();
    auto made = crypto::InboundSa::make(config, keying_material, *engine_, *keys_);
    if (!made) return made.error();
    std::shared_ptr<crypto::InboundSa> sa(std::move(*made));
    if (auto added = (*tunnel)->add_inbound(sa); !added) return added;
    Entry entry;
    entry.tunnel = config.tunnel;
    entry.inbound = std::move(sa);
    entry.installed = now;
    entry.selectors = config.selectors;
    add_entry(std::move(entry));
    return {};
}

Expected<Associations::Outbound> Associations::make_outbound(const crypto::OutboundConfig& config,
                                                             const Secret& keying_material,
                                                             std::function<void()> ended) {
    auto made = crypto::OutboundSa::make(config, keying_material, *engine_, *keys_);
    if (!made) return made.error();
    return Outbound(made->release(), [ended = std::move(ended), keys = keys_](crypto::OutboundSa* sa) {
        if (ended) ended();
        delete sa;
    });
}

Expected<void> Associations::switch_outbound(TunnelId id, Outbound sa, Clock::time_point now) {
    auto tunnel = tunnel_of(id);
    if (!tunnel) return tunnel.error();
    if (const auto old = outbound_places_.find(id); old != outbound_places_.end()) remove_entry(old->second);
    if (sa) {
        // Keys that were used before begin behind their reserve: no packet of ours may cross this.
        if (sa->sequence().next() >= sa->soft_sequence()) sa->lifetime().raise(crypto::LifetimeEvent::soft_sequence);
        Entry entry;
        entry.tunnel = id;
        entry.outbound = sa;
        entry.installed = now;
        add_entry(std::move(entry));
    }
    (*tunnel)->switch_outbound(std::move(sa));
    return {};
}

Expected<void> Associations::remove_inbound(Spi spi) {
    const auto found = inbound_places_.find(spi);
    if (found == inbound_places_.end())
        return Error{ErrorCode::not_found, "no inbound SA has SPI " + std::to_string(spi.value())};
    crypto::Tunnel& tunnel = *tunnels_.at(entries_[found->second].tunnel);
    remove_entry(found->second);
    return tunnel.remove_inbound(spi);
}

Expected<void> Associations::remove_outbound(TunnelId id, Spi spi) {
    const auto found = outbound_places_.find(id);
    if (found == outbound_places_.end() || entries_[found->second].spi() != spi)
        return Error{ErrorCode::not_found, "the tunnel has no outbound SA with SPI " + std::to_string(spi.value())};
    remove_entry(found->second);
    tunnels_.at(id)->switch_outbound(nullptr);
    return {};
}

void Associations::forget(TunnelId id) {
    const auto found = tunnels_.find(id);
    if (found == tunnels_.end()) return;
    for (const Spi spi : found->second->inbound()) remove_entry(inbound_places_.at(spi));
    if (const auto outbound = outbound_places_.find(id); outbound != outbound_places_.end())
        remove_entry(outbound->second);
    tunnels_.erase(found);  // closes it
}

void Associations::forget_all() {
    while (!tunnels_.empty()) forget(tunnels_.begin()->first);
}

std::vector<SaEvent> Associations::tick(Clock::time_point now, std::size_t at_most) {
    std::vector<SaEvent> events;
    for (std::size_t left = std::min(at_most, entries_.size()); left != 0; --left) {
        if (next_tick_ >= entries_.size()) next_tick_ = 0;
        Entry& entry = entries_[next_tick_++];
        crypto::Lifetime& lifetime = entry.lifetime();
        lifetime.tick(std::chrono::duration_cast<std::chrono::seconds>(now - entry.installed));
        if (const std::uint64_t packets = lifetime.packets(); packets != entry.seen_packets) {
            entry.seen_packets = packets;
            entry.last_used = now;
        }
        const std::uint32_t raised = lifetime.take_events();
        for (std::size_t e = 0; raised != 0 && e < crypto::kLifetimeEvents.size(); ++e) {
            const auto event = static_cast<crypto::LifetimeEvent>(e);
            if (crypto::Lifetime::has(raised, event))
                events.push_back({entry.tunnel, entry.spi(), entry.outbound != nullptr, event});
        }
    }
    return events;
}

std::vector<SelectorMismatch> Associations::take_selector_mismatches(Clock::time_point now) {
    for (; !silent_.empty() && silent_.front().first <= now; silent_.pop_front())
        if (const auto place = inbound_places_.find(silent_.front().second); place != inbound_places_.end())
            entries_[place->second].inbound->allow_telling_mismatch();
    std::vector<SelectorMismatch> all;
    SelectorMismatch told;
    for (std::size_t worker = 0; worker < engines_.size(); ++worker)
        while (selector_mismatch_rings_[worker].take(told)) {
            all.push_back(told);
            silent_.emplace_back(now + kMismatchSilence, told.spi);
        }
    return all;
}

namespace {

template <const auto& kReasons>
void tell(const crypto::FailureCounts<kReasons>& counts, SaInfo& info) {
    for (std::size_t i = 0; i < kReasons.size(); ++i)
        if (const std::uint64_t count = counts.at(i); count != 0) info.failures.emplace_back(kReasons[i], count);
}

}  // namespace

SaInfo Associations::info_of(const Entry& entry) const {
    SaInfo info;
    const crypto::Lifetime& lifetime = entry.lifetime();
    info.tunnel = entry.tunnel;
    info.spi = entry.spi();
    info.bytes = lifetime.bytes();
    info.packets = lifetime.packets();
    info.limits = lifetime.limits();
    info.over = lifetime.is_over();
    info.installed = entry.installed;
    info.last_used = entry.last_used;
    if (entry.inbound) {
        crypto::InboundSa& sa = *entry.inbound;
        info.suite = sa.suite();
        info.esn = sa.esn();
        info.highest_sequence = sa.window().top();
        info.replay_window = sa.window().size();
        info.selectors = entry.selectors;
        tell(sa.failures(), info);
    } else {
        crypto::OutboundSa& sa = *entry.outbound;
        info.outbound = true;
        info.suite = sa.suite();
        info.esn = sa.esn();
        info.next_sequence = sa.sequence().next();
        info.reserved_to = sa.sequence().end();
        info.last_sequence = sa.last_sequence();
        tell(sa.failures(), info);
    }
    return info;
}

std::vector<SaInfo> Associations::list() const {
    std::vector<SaInfo> result;
    result.reserve(entries_.size());
    for (const Entry& entry : entries_) result.push_back(info_of(entry));
    return result;
}

std::vector<SaInfo> Associations::list(TunnelId id) const {
    std::vector<SaInfo> result;
    const auto found = tunnels_.find(id);
    if (found == tunnels_.end()) return result;
    for (const Spi spi : found->second->inbound()) result.push_back(info_of(entries_[inbound_places_.at(spi)]));
    if (const auto outbound = outbound_places_.find(id); outbound != outbound_places_.end())
        result.push_back(info_of(entries_[outbound->second]));
    return result;
}

}  // namespace sekisho::dataplane
