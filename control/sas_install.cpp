// Installing SAs. The order is what safety hangs on: checked, numbered, recorded, opened, and only then sealed with.
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "control/calendar.hpp"
#include "control/place.hpp"
#include "control/policy_reader.hpp"
#include "control/sas.hpp"
#include "control/sas_words.hpp"
#include "crypto/aead.hpp"

namespace sekisho::control {

using nlohmann::json;

namespace {

// The stricter of two limits; 0 is none.
template <class Limit>
Limit stricter(Limit a, Limit b) {
    return a == Limit(0) ? b : b == Limit(0) ? a : std::min(a, b);
}

// A soft limit that the other's hard one comes before is none.
crypto::LifetimeLimits stricter(const crypto::LifetimeLimits& a, const crypto::LifetimeLimits& b) {
    crypto::LifetimeLimits limits = {stricter(a.soft_bytes, b.soft_bytes),     stricter(a.hard_bytes, b.hard_bytes),
                                     stricter(a.soft_packets, b.soft_packets), stricter(a.hard_packets, b.hard_packets),
                                     stricter(a.soft_time, b.soft_time),       stricter(a.hard_time, b.hard_time)};
    if (limits.hard_bytes != 0 && limits.soft_bytes >= limits.hard_bytes) limits.soft_bytes = 0;
    if (limits.hard_packets != 0 && limits.soft_packets >= limits.hard_packets) limits.soft_packets = 0;
    if (limits.hard_time.count() != 0 && limits.soft_time >= limits.hard_time) limits.soft_time = {};
    return limits;
}

}  // namespace

struct Sas::Batch {
    struct Item {
        SaOrder order;
        std::uint64_t serial = 0;  // of the tunnel's basis when it was checked
        crypto::KeyOrigin origin = crypto::KeyOrigin::manual;
        crypto::WallTime created;
        crypto::LifetimeLimits limits;
        crypto::Fingerprint inbound_key, outbound_key;
        LedgerThread::Outbound outbound;
    };
    std::vector<Item> items;
    Use use = Use::now;
    Peer peer;
    Answer<json> answer;
    std::vector<Spi> spis;  // taken by this batch, in inbound_spis_
    std::vector<crypto::Fingerprint> keys;
    std::set<std::string> outbound_of;  // tunnels
};

std::optional<Error> Sas::check(const SaOrder& order, Use use, crypto::WallTime now, Batch& batch) const {
    const auto wrong = [&](ErrorCode code, const std::string& words) { return Error{code, words}.at(order.place); };
    const auto found = tunnels_.find(order.tunnel);
    if (found == tunnels_.end()) return wrong(ErrorCode::not_found, "the running policy has no such tunnel");
    const Known& known = found->second;
    Batch::Item item;
    item.serial = known.serial;
    item.limits = stricter(order.lifetimes, known.told.lifetimes);
    const crypto::Suite suite = known.told.suite;
    if (order.suite) {
        const auto told = crypto::suite_named(*order.suite);
        if (!told) return wrong(ErrorCode::invalid, "there is no suite " + in_quotes(*order.suite));
        if (*told != suite)
            return wrong(ErrorCode::invalid, fmt::format("suite {}: the tunnel has {}", *order.suite, name_of(suite)));
    }
    item.origin = known.told.keys == TunnelKeys::ike ? crypto::KeyOrigin::ike : crypto::KeyOrigin::manual;
    if (order.origin && *order.origin != item.origin)
        return wrong(ErrorCode::invalid,
                     fmt::format("the origin is not that of the tunnel, whose keys are {}", name_of(known.told.keys)));
    if (!order.created && item.origin == crypto::KeyOrigin::manual)
        return wrong(ErrorCode::invalid, "created is missing: when the keys were made");
    item.created = order.created.value_or(now);
    if (const auto hard = item.limits.hard_time; hard.count() != 0 && item.created + hard <= now)
        return wrong(ErrorCode::invalid,
                     fmt::format("its lifetime is over: {} s from {} on", hard.count(), time_text(item.created)));
    if (auto fine = crypto::check(order.lifetimes); !fine) return wrong(ErrorCode::invalid, fine.error().words);

    for (const bool outbound : {false, true}) {
        const auto& half = outbound ? order.outbound : order.inbound;
        if (!half) continue;
        const std::string side = outbound ? "outbound" : "inbound";
        if (half->spi.value() <= crypto::kLastReservedSpi)
            return wrong(ErrorCode::invalid, fmt::format("{} SPI {}: 0 to 255 are reserved (RFC 4303 section 2.1)",
                                                         side, half->spi.value()));
        if (auto fine = crypto::check_key_length(
                suite, half->key.size() < crypto::kSaltLength ? 0 : half->key.size() - crypto::kSaltLength);
            !fine)
            return wrong(ErrorCode::invalid,
                         fmt::format("{} key: {} bytes; {} takes {} and {} of salt", side, half->key.size(),
                                     name_of(suite), crypto::text_of(suite).key_length, crypto::kSaltLength));
        crypto::Fingerprint& key = outbound ? item.outbound_key : item.inbound_key;
        key = crypto::fingerprint_of(suite, half->key);
        if (keys_.contains(key) || std::find(batch.keys.begin(), batch.keys.end(), key) != batch.keys.end())
            return wrong(ErrorCode::exists,
                         fmt::format("{} key {}: another SA has it: each SA needs one of its own", side, key.text()));
        batch.keys.push_back(key);
    }
    if (order.inbound) {
        const Spi spi = order.inbound->spi;
        if (const auto taken = inbound_spis_.find(spi); taken != inbound_spis_.end())
            return wrong(ErrorCode::exists,
                         fmt::format("inbound SPI {} is that of tunnel {}", spi_text(spi), in_quotes(taken->second)));
        if (std::find(batch.spis.begin(), batch.spis.end(), spi) != batch.spis.end())
            return wrong(ErrorCode::exists, fmt::format("inbound SPI {} comes twice", spi_text(spi)));
        batch.spis.push_back(spi);
    }
    if (order.outbound) {
        if (use == Use::now && known.current)
            return wrong(ErrorCode::exists, "it has an outbound SA: sa.rekey and sa.switch put another in its place");
        if (known.waiting) return wrong(ErrorCode::exists, "an outbound SA waits already: switch to it, or remove it");
        if (!batch.outbound_of.insert(order.tunnel).second)
            return wrong(ErrorCode::exists, "a second outbound SA for it");
    }
    batch.items.push_back(std::move(item));
    return std::nullopt;
}

void Sas::install(const Peer& peer, std::vector<SaOrder> orders, Use use, Answer<json> answer) {
    auto batch = std::make_shared<Batch>();
    batch->use = use;
    batch->peer = peer;
    const crypto::WallTime now = wall_seconds();
    for (SaOrder& order : orders) {
        if (auto error = check(order, use, now, *batch)) return answer(refused(*error));
        batch->items.back().order = std::move(order);
    }
    if (auto made = make_outbound(*batch); !made) return answer(refused(made.error()));
    batch->answer = std::move(answer);
    for (const Batch::Item& item : batch->items)
        if (item.order.inbound) inbound_spis_[item.order.inbound->spi] = item.order.tunnel;
    keys_.insert(batch->keys.begin(), batch->keys.end());
    std::vector<LedgerThread::Asked> asked;
    for (const Batch::Item& item : batch->items)
        if (item.outbound)
            asked.push_back({{item.outbound_key, item.origin, item.created, item.outbound->last_sequence(),
                              &item.outbound->sequence()},
                             item.outbound});
    if (asked.empty()) return admitted(batch);
    parts_.ledger.admit(std::move(asked), [this, batch](const Expected<void>& outcome) {
        if (!outcome) {
            let_go(*batch);
            Error error = outcome.error();
            for (const Batch::Item& item : batch->items)  // the ledger knows keys, not tunnels
                if (item.outbound && error.words.find(item.outbound_key.text()) != std::string::npos)
                    error = error.at(item.order.place + " outbound");
            return batch->answer(refused(std::move(error)));
        }
        // From here on whoever drops the SA gives its numbers back.
        for (Batch::Item& item : batch->items)
            if (item.outbound) item.outbound = parts_.ledger.held(std::move(item.outbound), item.outbound_key);
        admitted(batch);
    });
}

Expected<void> Sas::make_outbound(Batch& batch) {
    for (Batch::Item& item : batch.items) {
        if (!item.order.outbound) continue;
        const Known& known = tunnels_.find(item.order.tunnel)->second;
        crypto::OutboundConfig config;
        config.spi = item.order.outbound->spi;
        config.suite = known.told.suite;
        config.esn = known.told.esn;
        config.local = known.local;
        config.peer = known.told.peer;
        config.marks = known.told.marks;
        config.lifetime = item.limits;
        auto made = parts_.associations.make_outbound(config, item.order.outbound->key);
        if (!made) return made.error().at(item.order.place + " outbound");
        item.outbound = std::move(*made);
        item.order.outbound->key = Secret();
    }
    return {};
}

void Sas::let_go(const Batch& batch) {
    for (const Spi spi : batch.spis) inbound_spis_.erase(spi);
    for (const crypto::Fingerprint& key : batch.keys) keys_.erase(key);
}

void Sas::admitted(const std::shared_ptr<Batch>& batch) {
    json lines = json::array();
    for (const Batch::Item& item : batch->items) {
        std::string line = item.order.tunnel;
        if (item.order.inbound) line += " in " + spi_text(item.order.inbound->spi) + " " + item.inbound_key.text();
        if (item.order.outbound) line += " out " + spi_text(item.order.outbound->spi) + " " + item.outbound_key.text();
        lines.push_back(std::move(line));
    }
    parts_.recorder.line(batch->use == Use::now ? "sa.install" : "sa.rekey", {{"sas", std::move(lines)}}, batch->peer,
                         [this, batch](const Expected<void>& recorded) {
                             const Expected<void> applied = recorded ? apply(*batch) : recorded;
                             if (!applied) {
                                 let_go(*batch);
                                 batch->items.clear();
                                 return batch->answer(refused(applied.error()));
                             }
                             std::size_t inbound = 0, outbound = 0;
                             for (const Batch::Item& item : batch->items) {
                                 inbound += item.order.inbound ? 1U : 0U;
                                 outbound += item.order.outbound ? 1U : 0U;
                             }
                             batch->answer(json{{"inbound", inbound}, {"outbound", outbound}});
                         });
}

Expected<void> Sas::apply(Batch& batch) {
    // 1. Nothing has changed since it was checked.
    for (const Batch::Item& item : batch.items) {
        const auto found = tunnels_.find(item.order.tunnel);
        if (found == tunnels_.end() || found->second.serial != item.serial)
            return Error{ErrorCode::not_found, "the policy has another tunnel of this name by now, or none"}.at(
                item.order.place);
        const Known& known = found->second;
        if (item.outbound && (known.waiting || (batch.use == Use::now && known.current)))
            return Error{ErrorCode::exists, "another request gave it an outbound SA meanwhile"}.at(item.order.place);
    }
    // 2. Opened before anything is sealed: the peer may answer at once.
    std::vector<Spi> added;
    for (Batch::Item& item : batch.items) {
        if (!item.order.inbound) continue;
        Known& known = tunnels_.find(item.order.tunnel)->second;
        crypto::InboundConfig config;
        config.spi = item.order.inbound->spi;
        config.suite = known.told.suite;
        config.esn = known.told.esn;
        config.replay_window = known.told.replay_window;
        config.selectors = known.told.selectors;
        config.tunnel = known.id;
        config.lifetime = item.limits;
        if (auto made = parts_.associations.add_inbound(config, item.order.inbound->key, began(item.created)); !made) {
            for (const Spi spi : added) (void)parts_.associations.remove_inbound(spi);
            return made.error().at(item.order.place + " inbound");
        }
        item.order.inbound->key = Secret();
        added.push_back(config.spi);
    }
    // 3. Which cannot fail: the tunnels have their numbers.
    for (Batch::Item& item : batch.items) {
        Known& known = tunnels_.find(item.order.tunnel)->second;
        if (item.order.inbound)
            known.inbound[item.order.inbound->spi] = {item.inbound_key, item.origin, item.created, item.order.label};
        if (!item.outbound) continue;
        Outbound outbound{{item.outbound_key, item.origin, item.created, item.order.label}, std::move(item.outbound)};
        if (batch.use == Use::after_switch) {
            known.waiting = std::move(outbound);
            continue;
        }
        (void)parts_.associations.switch_outbound(known.id, outbound.sa, began(outbound.created));
        set_current(item.order.tunnel, known, std::move(outbound));
    }
    return {};
}

}  // namespace sekisho::control
