// What becomes of SAs once they are there: kept or removed by a commit, switched, removed, told of. Installing them is
// control/sas_install.cpp.
#include "control/sas.hpp"

#include <algorithm>
#include <chrono>
#include <set>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "control/log.hpp"
#include "control/place.hpp"
#include "control/sas_words.hpp"
#include "control/tunnels.hpp"

namespace sekisho::control {

using nlohmann::json;

namespace {

constexpr std::chrono::milliseconds kLook{100};
constexpr std::size_t kTicks = 8192;  // SAs in one look
constexpr unsigned kReserveLooks = 10;

}  // namespace

Sas::Sas(Parts parts)
    : parts_(std::move(parts)),
      lines_(20, 50, std::chrono::steady_clock::now()),
      mismatches_(10, 50, std::chrono::steady_clock::now()) {
    if (!parts_.clock) parts_.clock = [] { return std::chrono::steady_clock::now(); };
}

Expected<std::unique_ptr<Sas>> Sas::make(Parts parts) {
    std::unique_ptr<Sas> sas(new Sas(parts));
    auto timer = Timer::make(parts.loop, Timer::Clock::steady, [self = sas.get()] { self->look(); });
    if (!timer) return timer.error();
    sas->timer_ = std::move(*timer);
    sas->timer_->set(kLook);
    return sas;
}

void Sas::settle(const Generation& generation, const dataplane::Tables& tables) {
    tables_ = &tables;
    const Policy& policy = *generation.policy;
    const auto last = std::exchange(settled_, generation.policy);
    std::map<std::string, const Attachment*, std::less<>> users;  // of the tunnels that are looked at
    if (last == nullptr || !changed_tunnels(*last, policy, users)) {
        users.clear();
        for (const auto& [id, known] : tunnels_) users.emplace(id, nullptr);
        for (const auto& [id, attachment] : policy.attachments)
            if (attachment.is_tunnel()) users[attachment.tunnel] = &attachment;
    }
    for (const auto& [id, user] : users) settle_tunnel(generation, id, user);
    for (const std::string& id : narrowed_)
        if (!users.contains(id)) apply_mtu(tunnels_.find(id)->second);
}

// The tunnels that changed, or whose attachment or underlay did, and the attachment of each; null, where there is none.
// False: there are many.
bool Sas::changed_tunnels(const Policy& before, const Policy& policy,
                          std::map<std::string, const Attachment*, std::less<>>& users) const {
    decltype(policy.tunnels)::differences(before.tunnels, policy.tunnels, [&](const Tunnel* was, const Tunnel* is) {
        users.emplace(is != nullptr ? is->id : was->id, nullptr);
    });
    std::vector<const Attachment*> moved;
    std::set<std::string_view> underlays;
    decltype(policy.attachments)::differences(before.attachments, policy.attachments,
                                              [&](const Attachment* was, const Attachment* is) {
                                                  for (const Attachment* each : {was, is}) {
                                                      if (each == nullptr) continue;
                                                      if (each->underlay) underlays.insert(each->id);
                                                      if (each->is_tunnel()) users.emplace(each->tunnel, nullptr);
                                                  }
                                                  if (is != nullptr && is->is_tunnel()) moved.push_back(is);
                                              });
    if (!underlays.empty())
        for (const auto& [id, tunnel] : policy.tunnels)
            if (underlays.contains(tunnel.underlay)) users.emplace(id, nullptr);
    if (users.size() > kFewTunnels) return false;
    for (auto& [id, user] : users) {
        const auto known = tunnels_.find(id);
        if (known == tunnels_.end()) continue;
        const auto had = policy.attachments.find(known->second.attachment);
        if (had != policy.attachments.end() && had->second.tunnel == id) user = &had->second;
    }
    for (const Attachment* attachment : moved) users[attachment->tunnel] = attachment;
    return true;
}

// The tunnel as it is now. Its SAs stay while they rest on the same; otherwise it begins anew, or ends.
void Sas::settle_tunnel(const Generation& generation, const std::string& id, const Attachment* user) {
    const Policy& policy = *generation.policy;
    const auto told = policy.tunnels.find(id);
    const auto number = generation.gates->numbers.tunnels.number_of(id);
    const auto local = told == policy.tunnels.end() ? std::optional<IpAddress>() : local_end_of(policy, told->second);
    const bool is_whole = user != nullptr && number && local;
    const TunnelId number_of_tunnel(is_whole ? *number + 1 : 0);
    const std::string basis = is_whole ? basis_of_sas(policy, told->second, *user) : "";
    if (const auto before = tunnels_.find(id); before != tunnels_.end()) {
        Known& gone = before->second;
        if (!is_whole || gone.basis != basis || gone.id != number_of_tunnel) {
            std::vector<std::string> removed;
            take_away(gone, id, {{}, id, {}, {}}, "policy", removed);
            withdrawn_ += removed.size();
            (void)parts_.associations.let_peer_move(gone.id, false);
            names_.erase(gone.id);
            narrowed_.erase(id);
            std::erase(in_udp_, &*before);
            tunnels_.erase(before);
        }
    }
    if (!is_whole) return;
    const auto [at, begins] = tunnels_.try_emplace(id);
    Known& known = at->second;
    known.id = number_of_tunnel;
    known.basis = basis;
    known.attachment = user->id;
    known.local = *local;
    known.told = told->second;
    known.mtu = mtu_of(policy, *user);
    if (begins) {
        known.serial = next_serial_++;
        names_[known.id] = id;
        if (known.told.udp) in_udp_.push_back(&*at);
        (void)parts_.associations.let_peer_move(known.id, known.told.udp.has_value());
    }
    apply_mtu(known);
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
                set_current(tunnel, known, std::exchange(known.waiting, std::nullopt));
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
        const Spi spi = one->sa->spi();
        const crypto::Fingerprint key = one->key;
        if (current) {
            (void)parts_.associations.remove_outbound(known.id, spi);
            set_current(tunnel, known, std::nullopt);
        }
        one.reset();
        gone(spi, true, key);
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
    for (const dataplane::SaEvent& event : parts_.associations.tick(dataplane::SaInfo::Clock::now(), kTicks)) {
        const auto name = names_.find(event.tunnel);
        if (name == names_.end()) continue;
        const crypto::LifetimeEventText& text = crypto::text_of(event.event);
        tell(name->second, event.spi, event.outbound, text.name, text.sentence,
             text.name.starts_with("hard") ? LogLevel::warning : LogLevel::info);
    }
    look_at_peers();
    look_at_paths();
    look_at_mismatches();
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

void Sas::set_current(const std::string& tunnel, Known& known, std::optional<Outbound> sa) {
    if (known.current) {
        const auto [first, last] = outbound_spis_.equal_range(known.current->sa->spi());
        const auto found = std::find_if(first, last, [&](const auto& each) { return each.second == tunnel; });
        if (found != last) outbound_spis_.erase(found);
    }
    if (sa) outbound_spis_.emplace(sa->sa->spi(), tunnel);
    known.current = std::move(sa);
}

dataplane::UdpEndpoint Sas::peer_now(const Known& known) const {
    if (!known.told.udp) return {known.told.peer, L4Port(0)};
    const dataplane::PeerWord* const word = parts_.associations.peer_word(known.id);
    const auto moved = word == nullptr ? std::nullopt : word->now();
    return moved.value_or(dataplane::UdpEndpoint{known.told.peer, L4Port(known.told.udp->peer_port)});
}

void Sas::look_at_peers() {
    for (auto* const each : in_udp_) {
        Known& known = each->second;
        const dataplane::PeerWord* const word = parts_.associations.peer_word(known.id);
        const auto now = word == nullptr ? std::nullopt : word->now();
        if (!now || now == known.moved) continue;
        known.moved = now;
        parts_.events.post(EventKind::sa, {{"tunnel", each->first}, {"event", "peer_moved"}, {"peer", now->text()}});
        write(LogLevel::info, fmt::format("tunnel {}: its peer is at {} now", in_quotes(each->first), now->text()));
    }
}

void Sas::write(LogLevel level, const std::string& words) {
    if (!lines_.take(std::chrono::steady_clock::now())) {
        ++left_out_;
        return;
    }
    const std::uint64_t left_out = std::exchange(left_out_, 0);
    log(level, left_out == 0 ? words : fmt::format("{}; {} more lines about SAs were left out", words, left_out));
}

void Sas::tell(const std::string& tunnel, Spi spi, bool outbound, std::string_view event, std::string_view words,
               LogLevel level) {
    const char* const direction = outbound ? "outbound" : "inbound";
    parts_.events.post(EventKind::sa,
                       {{"tunnel", tunnel}, {"spi", spi.value()}, {"direction", direction}, {"event", event}});
    write(level, fmt::format("tunnel {}, {} SA {}: {}", in_quotes(tunnel), direction, spi_text(spi), words));
}

}  // namespace sekisho::control
