// The security associations of the node: control installs and removes them, workers look them up.
//
// Inbound SAs are found by SPI, the outbound one by its tunnel; tunnels are known here by number only, and may have SAs
// before the tables name them and after. What control takes away is freed when every worker has passed a quiescent
// point. Keys lie in this object's key store and nowhere else. Control's functions are one thread's at a time; no
// function waits for a worker. crypto/ has the SAs themselves; the nonce ledger is the caller's.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "crypto/esp.hpp"
#include "crypto/tunnel.hpp"
#include "dataplane/path_mtu_ring.hpp"
#include "dataplane/peer_word.hpp"
#include "dataplane/selector_mismatch.hpp"
#include "net/ids.hpp"
#include "net/secret.hpp"

namespace sekisho::dataplane {

// One SA as control sees it; nothing of its key.
struct SaInfo {
    using Clock = std::chrono::steady_clock;

    TunnelId tunnel;
    Spi spi;
    bool outbound = false;
    crypto::Suite suite = crypto::Suite::aes_gcm_128;
    bool esn = true;
    std::uint64_t bytes = 0;  // that the cipher worked on; of inbound SAs, of authentic packets only
    std::uint64_t packets = 0;
    crypto::LifetimeLimits limits;
    bool over = false;  // its hard lifetime has ended
    Clock::time_point installed;
    std::optional<Clock::time_point> last_used;                  // to the time between two calls of tick()
    std::vector<std::pair<DropReason, std::uint64_t>> failures;  // those that occurred
    // Outbound: the next number, the first one that is not reserved, and the last that it may use.
    std::uint64_t next_sequence = 0, reserved_to = 0, last_sequence = 0;
    // Inbound.
    std::uint64_t highest_sequence = 0;
    std::uint32_t replay_window = 0;
    std::vector<crypto::Selector> selectors;
};

struct SaEvent {
    TunnelId tunnel;
    Spi spi;
    bool outbound = false;
    crypto::LifetimeEvent event = crypto::LifetimeEvent::soft_bytes;
};

class Associations {
  public:
    using Clock = SaInfo::Clock;
    using Outbound = std::shared_ptr<crypto::OutboundSa>;
    static constexpr std::size_t kTunnels = 1 << 22;  // numbers there may be

    // An engine for control and one for each worker, each after its known-answer test; the error is that test's.
    // `retire` keeps what it is given until every worker was quiescent.
    static Expected<std::unique_ptr<Associations>> make(crypto::EngineKind kind, std::size_t workers,
                                                        crypto::Retire retire);
    // When no worker runs any more, and all that went to `retire` is freed.
    ~Associations();
    Associations(const Associations&) = delete;
    Associations& operator=(const Associations&) = delete;

    // Opens from the next burst on; `config.tunnel` says whose it is. Errors: exists (the SPI), limit (the tunnel's
    // number), and those of InboundSa::make().
    Expected<void> add_inbound(const crypto::InboundConfig& config, const Secret& keying_material,
                               Clock::time_point now);
    // An SA that nobody uses yet, and that has no numbers: ask the ledger for them, then switch_outbound(). `ended` is
    // called on control's thread when no worker can hold the SA any more, just before it dies, whether it was used or
    // not: for Ledger::release(). Errors: those of OutboundSa::make().
    Expected<Outbound> make_outbound(const crypto::OutboundConfig& config, const Secret& keying_material,
                                     std::function<void()> ended = {});
    // From the next burst on the tunnel's packets are sealed with this one; the old one is retired. nullptr: with none,
    // and they are dropped. Error: limit (the tunnel's number).
    Expected<void> switch_outbound(TunnelId tunnel, Outbound sa, Clock::time_point now);
    // Errors: not_found. Packets for a removed SA are dropped as sa_unknown; with the outbound one the tunnel's are
    // dropped as sa_missing until another is switched in.
    Expected<void> remove_inbound(Spi spi);
    Expected<void> remove_outbound(TunnelId tunnel, Spi spi);
    // Removes all SAs of a tunnel; no error if there are none.
    void forget(TunnelId tunnel);
    void forget_all();

    // Whether workers may follow the tunnel's peer to another address (RFC 3948); it is then where the policy says,
    // until a packet tells otherwise. Error: limit (the tunnel's number).
    Expected<void> let_peer_move(TunnelId tunnel, bool may);

    // Ticks the lifetimes of `at_most` SAs, going on where it stopped the last time; what was to be told since then.
    std::vector<SaEvent> tick(Clock::time_point now, std::size_t at_most);

    std::vector<SaInfo> list() const;  // by no order that means anything
    std::vector<SaInfo> list(TunnelId tunnel) const;
    std::size_t size() const noexcept { return entries_.size(); }
    std::string engine() const { return engine_->description(); }

    // Workers, between two quiescent points.
    const crypto::Sad& sad() const noexcept { return sad_; }
    crypto::OutboundSa* outbound(TunnelId tunnel) const noexcept {
        const std::atomic<crypto::OutboundSa*>* const word = word_of(tunnel);
        return word == nullptr ? nullptr : word->load(std::memory_order_acquire);
    }
    // Asks for what outbound() will read.
    void prefetch_outbound(TunnelId tunnel) const noexcept {
        if (const auto* const word = word_of(tunnel)) prefetch_to_l2(word);
    }
    // Of a tunnel whose peer may move; nullptr: of another. Control too.
    PeerWord* peer_word(TunnelId tunnel) const noexcept {
        const PeerPointer* const chunk =
            tunnel.index() < kTunnels ? peers_[tunnel.index() / kChunk].load(std::memory_order_acquire) : nullptr;
        return chunk == nullptr ? nullptr : chunk[tunnel.index() % kChunk].load(std::memory_order_acquire);
    }
    // The worker's, which control empties.
    PathMtuRing& path_mtu_ring(WorkerId worker) const noexcept { return path_mtu_rings_[worker.index()]; }
    // Control: what workers were told of paths since the last call, to `take(const PathMtuReport&)`.
    template <class Take>
    void take_path_mtus(Take&& take) {
        PathMtuReport report;
        for (std::size_t worker = 0; worker < engines_.size(); ++worker)
            while (path_mtu_rings_[worker].take(report)) take(report);
    }
    // The same for packets that their SAs may not carry.
    SelectorMismatchRing& selector_mismatch_ring(WorkerId worker) const noexcept {
        return selector_mismatch_rings_[worker.index()];
    }
    static constexpr std::chrono::seconds kMismatchSilence{60};
    // Control: what they told, of each SA once in kMismatchSilence.
    std::vector<SelectorMismatch> take_selector_mismatches(Clock::time_point now);
    // The worker's own.
    crypto::AeadEngine& engine_of(WorkerId worker) const noexcept { return *engines_[worker.index()]; }

  private:
    static constexpr std::size_t kChunk = 1024;
    using Word = std::atomic<crypto::OutboundSa*>;
    using PeerPointer = std::atomic<PeerWord*>;
    struct Entry {
        TunnelId tunnel;
        std::shared_ptr<crypto::InboundSa> inbound;  // one of the two
        Outbound outbound;
        Clock::time_point installed;
        std::vector<crypto::Selector> selectors;
        std::uint64_t seen_packets = 0;
        std::optional<Clock::time_point> last_used;

        crypto::Lifetime& lifetime() const { return inbound ? inbound->lifetime() : outbound->lifetime(); }
        Spi spi() const { return inbound ? inbound->spi() : outbound->spi(); }
    };

    Associations(std::unique_ptr<crypto::AeadEngine> engine, crypto::Retire retire);
    const Word* word_of(TunnelId tunnel) const noexcept {
        const Word* const chunk =
            tunnel.index() < kTunnels ? chunks_[tunnel.index() / kChunk].load(std::memory_order_acquire) : nullptr;
        return chunk == nullptr ? nullptr : chunk + tunnel.index() % kChunk;
    }
    Expected<crypto::Tunnel*> tunnel_of(TunnelId tunnel);
    void retire(std::shared_ptr<const void> gone);
    void add_entry(Entry entry);
    void remove_entry(std::size_t place);
    SaInfo info_of(const Entry& entry) const;
    crypto::Retire retire_through() {
        return [this](std::shared_ptr<const void> gone) { retire(std::move(gone)); };
    }

    crypto::Retire retire_;
    std::unique_ptr<crypto::AeadEngine> engine_;                       // control's: prepares keys
    std::vector<std::unique_ptr<crypto::AeadEngine>> engines_;         // by WorkerId
    std::unique_ptr<PathMtuRing[]> path_mtu_rings_;                    // by WorkerId
    std::unique_ptr<SelectorMismatchRing[]> selector_mismatch_rings_;  // by WorkerId
    std::deque<std::pair<Clock::time_point, Spi>> silent_;             // SAs that may tell of mismatches again then
    const std::shared_ptr<crypto::KeyStore> keys_;  // outbound SAs may outlive this: others hold them too
    crypto::Sad sad_;
    // By TunnelId: the outbound SA. Control writes, workers read. Chunks are made as they are needed, and stay.
    std::array<std::atomic<Word*>, kTunnels / kChunk> chunks_{};
    std::vector<std::unique_ptr<Word[]>> chunk_memory_;
    // The same for the words of peers that may move.
    std::array<std::atomic<PeerPointer*>, kTunnels / kChunk> peers_{};
    std::vector<std::unique_ptr<PeerPointer[]>> peer_memory_;
    std::unordered_map<TunnelId, std::shared_ptr<PeerWord>> peer_words_;
    std::unordered_map<TunnelId, std::unique_ptr<crypto::Tunnel>> tunnels_;
    std::vector<Entry> entries_;
    std::unordered_map<Spi, std::size_t> inbound_places_;        // in entries_
    std::unordered_map<TunnelId, std::size_t> outbound_places_;  // in entries_
    std::size_t next_tick_ = 0;                                  // in entries_
};

}  // namespace sekisho::dataplane
