// The order is what safety hangs on: checked, numbered, recorded, opened, and only then sealed with.
#include "control/sas.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

#include <fmt/format.h>

#include "control/calendar.hpp"
#include "control/log.hpp"
#include "control/place.hpp"
#include "control/policy_reader.hpp"
#include "control/tunnels.hpp"
#include "crypto/aead.hpp"

namespace sekisho::control {

using nlohmann::json;
using Steady = dataplane::SaInfo::Clock;

namespace {

constexpr std::chrono::milliseconds kLook{100};
constexpr std::size_t kTicks = 8192;  // SAs in one look
constexpr unsigned kReserveLooks = 10;

crypto::WallTime wall_now() {
    return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
}

Refused refused(Error error) {
    return {std::move(error), {}, {}};
}

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

// When an SA would have been installed whose age counts from `created`.
Steady::time_point began(crypto::WallTime created) {
    return Steady::now() - std::max(wall_now() - created, std::chrono::seconds(0));
}

std::string spi_text(Spi spi) {
    return fmt::format("0x{:08x}", spi.value());
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

Sas::Sas(Parts parts) : parts_(parts), lines_(20, 50, std::chrono::steady_clock::now()) {}

Expected<std::unique_ptr<Sas>> Sas::make(Parts parts) {
    std::unique_ptr<Sas> sas(new Sas(parts));
    auto timer = Timer::make(parts.loop, Timer::Clock::steady, [self = sas.get()] { self->look(); });
    if (!timer) return timer.error();
    sas->timer_ = std::move(*timer);
    sas->timer_->set(kLook);
    return sas;
}

void Sas::settle(const Generation& generation) {
    const Policy& policy = *generation.policy;
    std::map<std::string_view, const Attachment*> users;
    for (const auto& [id, attachment] : policy.attachments)
        if (attachment.is_tunnel()) users[attachment.tunnel] = &attachment;
    std::map<std::string, Known, std::less<>> now;
    for (const auto& [id, tunnel] : policy.tunnels) {
        const auto number = generation.gates->numbers.tunnels.number_of(id);
        const auto user = users.find(id);
        const auto local = local_end_of(policy, tunnel);
        if (!number || user == users.end() || !local) continue;
        const TunnelId number_of_tunnel(*number + 1);
        const std::string basis = basis_of_sas(policy, tunnel, *user->second);
        Known& known = now[id];
        const auto before = tunnels_.find(id);
        if (before != tunnels_.end() && before->second.basis == basis && before->second.id == number_of_tunnel)
            known = std::move(before->second);
        else
            known.serial = next_serial_++;
        if (before != tunnels_.end() && known.serial == before->second.serial) tunnels_.erase(before);
        known.id = number_of_tunnel;
        known.basis = basis;
        known.attachment = user->second->id;
        known.local = *local;
        known.told = tunnel;
        known.mtu = mtu_of(policy, *user->second);
    }
    // What is left was agreed upon something that is no more.
    for (auto& [id, gone] : tunnels_) {
        std::vector<std::string> removed;
        take_away(gone, id, {{}, id, {}, {}}, "policy", removed);
    }
    tunnels_ = std::move(now);
    names_.clear();
    for (const auto& [id, known] : tunnels_) names_[known.id] = id;
}

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
    const crypto::WallTime now = wall_now();
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
        if (item.order.inbound) known.inbound[item.order.inbound->spi] = {item.inbound_key, item.origin, item.created};
        if (!item.outbound) continue;
        Outbound outbound{{item.outbound_key, item.origin, item.created}, std::move(item.outbound)};
        if (batch.use == Use::after_switch) {
            known.waiting = std::move(outbound);
            continue;
        }
        (void)parts_.associations.switch_outbound(known.id, outbound.sa, began(outbound.created));
        known.current = std::move(outbound);
    }
    return {};
}

void Sas::switch_over(const Peer& peer, std::vector<SaName> names, Answer<json> answer) {
    json lines = json::array();
    std::map<std::string, Spi> asked;
    for (const SaName& name : names) {
        const auto found = tunnels_.find(name.tunnel);
        if (found == tunnels_.end() || !found->second.waiting)
            return answer(
                refused(Error{ErrorCode::not_found, "no outbound SA waits to be switched to"}.at(name.place)));
        const Spi spi = found->second.waiting->sa->spi();
        if (name.inbound || (name.outbound && *name.outbound != spi))
            return answer(
                refused(Error{ErrorCode::not_found, "what waits is its outbound SA " + spi_text(spi)}.at(name.place)));
        asked[name.tunnel] = spi;
    }
    for (const auto& [tunnel, spi] : asked) lines.push_back(tunnel + " out " + spi_text(spi));
    parts_.recorder.line(
        "sa.switch", {{"sas", std::move(lines)}}, peer,
        [this, asked, answer = std::move(answer)](const Expected<void>& recorded) {
            if (!recorded) return answer(refused(recorded.error()));
            for (const auto& [tunnel, spi] : asked) {
                const auto found = tunnels_.find(tunnel);
                if (found != tunnels_.end() && found->second.waiting && found->second.waiting->sa->spi() == spi)
                    continue;
                return answer(refused({ErrorCode::not_found, "the outbound SA of tunnel " + in_quotes(tunnel) +
                                                                 " that waited is there no more; none was switched"}));
            }
            for (const auto& [tunnel, spi] : asked) {
                Known& known = tunnels_.find(tunnel)->second;
                (void)parts_.associations.switch_outbound(known.id, known.waiting->sa, began(known.waiting->created));
                if (known.current) keys_.erase(known.current->key);
                known.current = std::exchange(known.waiting, std::nullopt);
            }
            answer(json{{"switched", asked.size()}});
        });
}

std::optional<Error> Sas::missing(const SaName& name) const {
    const auto found = tunnels_.find(name.tunnel);
    if (found == tunnels_.end())
        return Error{ErrorCode::not_found, "the running policy has no such tunnel"}.at(name.place);
    const Known& known = found->second;
    if (name.inbound && !known.inbound.contains(*name.inbound))
        return Error{ErrorCode::not_found, "it has no inbound SA " + spi_text(*name.inbound)}.at(name.place);
    const auto is = [&](const std::optional<Outbound>& one) { return one && one->sa->spi() == *name.outbound; };
    if (name.outbound && !is(known.current) && !is(known.waiting))
        return Error{ErrorCode::not_found, "it has no outbound SA " + spi_text(*name.outbound)}.at(name.place);
    return std::nullopt;
}

void Sas::remove(const Peer& peer, std::vector<SaName> names, Answer<json> answer) {
    for (const SaName& name : names)
        if (auto error = missing(name)) return answer(refused(*error));
    std::vector<std::string> removed;
    for (const SaName& name : names) take_away(tunnels_.find(name.tunnel)->second, name.tunnel, name, "asked", removed);
    const std::size_t count = removed.size();
    parts_.recorder.line("sa.remove", {{"sas", std::move(removed)}}, peer,
                         [count, answer = std::move(answer)](const Expected<void>& recorded) {
                             json result = {{"removed", count}, {"durable", static_cast<bool>(recorded)}};
                             if (!recorded) result["warning"] = recorded.error().words;
                             answer(std::move(result));
                         });
}

void Sas::take_away(Known& known, const std::string& tunnel, const SaName& name, const char* why,
                    std::vector<std::string>& removed) {
    const bool all = !name.inbound && !name.outbound;
    const auto gone = [&](Spi spi, bool outbound, const crypto::Fingerprint& key) {
        keys_.erase(key);
        removed.push_back(tunnel + (outbound ? " out " : " in ") + spi_text(spi));
        tell(tunnel, spi, outbound, "removed",
             std::string("it was removed, ") +
                 (std::string_view(why) == "asked" ? "as asked" : "by a change of the policy"),
             LogLevel::info);
    };
    const auto drop = [&](std::optional<Outbound>& one, bool current) {
        if (!one || !(all || (name.outbound && one->sa->spi() == *name.outbound))) return;
        if (current) (void)parts_.associations.remove_outbound(known.id, one->sa->spi());
        gone(one->sa->spi(), true, one->key);
        one.reset();
    };
    drop(known.current, true);
    drop(known.waiting, false);
    for (auto at = known.inbound.begin(); at != known.inbound.end();) {
        if (!all && !(name.inbound && at->first == *name.inbound)) {
            ++at;
            continue;
        }
        (void)parts_.associations.remove_inbound(at->first);
        inbound_spis_.erase(at->first);
        gone(at->first, false, at->second.key);
        at = known.inbound.erase(at);
    }
}

void Sas::look() {
    timer_->set(kLook);
    for (const dataplane::SaEvent& event : parts_.associations.tick(Steady::now(), kTicks)) {
        const auto name = names_.find(event.tunnel);
        if (name == names_.end()) continue;
        const crypto::LifetimeEventText& text = crypto::text_of(event.event);
        tell(name->second, event.spi, event.outbound, text.name, text.sentence,
             text.name.starts_with("hard") ? LogLevel::warning : LogLevel::info);
    }
    if (++looks_ % kReserveLooks != 0) return;
    constexpr std::size_t kReserve = [] {
        for (std::size_t i = 0; i < crypto::kOutboundFailures.size(); ++i)
            if (crypto::kOutboundFailures[i] == DropReason::nonce_reserve_exhausted) return i;
        return crypto::kOutboundFailures.size();
    }();
    static_assert(kReserve < crypto::kOutboundFailures.size());
    for (auto& [tunnel, known] : tunnels_) {
        if (!known.current) continue;
        const std::uint64_t count = known.current->sa->failures().at(kReserve);
        if (count == std::exchange(known.current->exhausted, count)) continue;
        tell(tunnel, known.current->sa->spi(), true, "reserve_exhausted",
             "packets were dropped: the ledger had no number for them in time", LogLevel::warning);
    }
}

void Sas::tell(const std::string& tunnel, Spi spi, bool outbound, std::string_view event, std::string_view words,
               LogLevel level) {
    const char* const direction = outbound ? "outbound" : "inbound";
    parts_.events.post(EventKind::sa,
                       {{"tunnel", tunnel}, {"spi", spi.value()}, {"direction", direction}, {"event", event}});
    if (!lines_.take(std::chrono::steady_clock::now())) {
        ++left_out_;
        return;
    }
    std::string line = fmt::format("tunnel {}, {} SA {}: {}", in_quotes(tunnel), direction, spi_text(spi), words);
    if (const std::uint64_t left_out = std::exchange(left_out_, 0); left_out != 0)
        line += fmt::format("; {} more lines about SAs were left out", left_out);
    log(level, line);
}

}  // namespace sekisho::control
