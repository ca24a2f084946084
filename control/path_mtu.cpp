// What routers say of the paths to tunnels' peers: believed or not, in force for ten minutes (RFC 4301 §8.2, RFC 1191).
//
// Anybody can send an ICMP error. One is believed if it quotes a packet that the tunnel has sealed lately: the SPI of
// its outbound SA, its ends, ports and underlay, a sequence number that was just used, and a length that it could have
// had. It can make the MTU smaller, never larger, and not smaller than every path must take; after ten minutes the
// tunnel tries again what its underlay takes.
#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "control/place.hpp"
#include "control/sas.hpp"
#include "control/tunnels.hpp"

namespace sekisho::control {

namespace {

constexpr std::chrono::minutes kAge{10};     // RFC 1191 §6.3, RFC 8201 §4
constexpr std::uint32_t kLately = 1U << 20;  // sequence numbers
constexpr std::uint16_t kLeastIpv4 = 576;    // RFC 791 §3.2: what every host takes
constexpr std::uint16_t kLeastIpv6 = 1280;   // RFC 8201 §4
constexpr std::array<std::uint16_t, 8> kPlateaus = {8166, 4352, 2002, 1492, 1006, 576, 508, 0};  // RFC 1191 §7

// What the path takes by a report; 0: it says nothing.
std::uint16_t outer_mtu(const dataplane::PathMtuReport& report) {
    const bool ipv4 = report.peer.address.is_ipv4();
    std::uint16_t mtu = report.mtu;
    if (mtu == 0 && ipv4)
        mtu = *std::find_if(kPlateaus.begin(), kPlateaus.end(), [&](auto each) { return each < report.length; });
    if (mtu >= report.length) return 0;  // that would not have been too long
    if (!ipv4) return mtu < kLeastIpv6 ? std::uint16_t{0} : mtu;
    return std::max(mtu, kLeastIpv4);
}

}  // namespace

std::uint16_t Sas::mtu_now(const Known& known) const {
    if (!known.path_mtu) return known.mtu;
    const std::uint16_t left = mtu_inside(known.path_mtu->outer, known.told.peer.family(), known.told.udp.has_value());
    return std::min(known.mtu, left);
}

void Sas::apply_mtu(const Known& known) const {
    if (tables_ == nullptr || known.id.index() >= tables_->tunnels.size()) return;
    const dataplane::Tunnel& tunnel = tables_->tunnels[known.id.index()];
    if (tunnel.exists) tables_->set_mtu(tunnel.attachment, mtu_now(known));
}

void Sas::look_at_paths() {
    parts_.associations.take_path_mtus([this](const dataplane::PathMtuReport& report) { believe(report); });
    if (narrowed_.empty()) return;
    const auto now = parts_.clock();
    std::erase_if(narrowed_, [&](const std::string& id) {
        Known& known = tunnels_.find(id)->second;
        if (now < known.path_mtu->until) return false;
        known.path_mtu.reset();
        apply_mtu(known);
        tell_of_path(id, known, "tries its underlay's again");
        return true;
    });
}

bool Sas::is_about(const dataplane::PathMtuReport& report, const Known& known) const {
    if (tables_ == nullptr || known.id.index() >= tables_->tunnels.size() || !known.current) return false;
    const dataplane::Tunnel& tunnel = tables_->tunnels[known.id.index()];
    const auto next = static_cast<std::uint32_t>(known.current->sa->sequence().next());
    const std::uint32_t ago = next - report.sequence;  // modulo 2^32: 1 is the latest
    return tunnel.exists && tunnel.underlay == report.underlay && known.local == report.local &&
           tunnel.in_udp == report.in_udp && tunnel.local_port == report.local_port && peer_now(known) == report.peer &&
           ago != 0 && ago <= kLately && ago <= known.current->sa->sequence().taken();
}

void Sas::believe(const dataplane::PathMtuReport& report) {
    const auto [first, last] = outbound_spis_.equal_range(report.spi);
    const auto found = std::find_if(
        first, last, [&](const auto& each) { return is_about(report, tunnels_.find(each.second)->second); });
    const std::uint16_t outer = outer_mtu(report);
    if (found == last || outer == 0) {
        ++path_mtus_refused_;
        return;
    }
    const std::string& id = found->second;
    Known& known = tunnels_.find(id)->second;
    const std::uint16_t before = mtu_now(known);
    // A later report of a larger one is about packets that were on their way before.
    if (known.path_mtu && known.path_mtu->outer < outer) return;
    known.path_mtu = PathMtu{outer, parts_.clock() + kAge};
    narrowed_.insert(id);
    apply_mtu(known);
    if (mtu_now(known) != before) tell_of_path(id, known, "follows the path to its peer");
}

void Sas::tell_of_path(const std::string& tunnel, const Known& known, std::string_view why) {
    parts_.events.post(EventKind::sa, {{"tunnel", tunnel}, {"event", "path_mtu"}, {"mtu", mtu_now(known)}});
    write(LogLevel::info, fmt::format("tunnel {}: its MTU is {} now, it {}", in_quotes(tunnel), mtu_now(known), why));
}

}  // namespace sekisho::control
