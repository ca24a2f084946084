// From a frame back to the packet that one would imagine, and the comparison.
#include "tests/dataplane/support/explained.hpp"

#include "tests/dataplane/support/eal.hpp"
#include "tests/dataplane/support/test_hub.hpp"

namespace sekisho::test {
namespace {

using dataplane::ImaginedPacket;

struct Numbers final : dataplane::Explanation::Names {
    std::string attachment(AttachmentId id) const override { return std::to_string(id.value()); }
    std::string institution(InstitutionId id) const override { return std::to_string(id.value()); }
    std::string vrf(VrfId id) const override { return std::to_string(id.value()); }
};

IpAddress address_at(const Bytes& bytes, std::size_t at, bool ipv4) {
    std::uint64_t halves[2] = {0, 0};
    for (std::size_t i = 0; i < (ipv4 ? 4U : 16U); ++i) halves[i / 8] = halves[i / 8] << 8 | bytes.at(at + i);
    if (ipv4) return Ipv4Address(static_cast<std::uint32_t>(halves[0]));
    return Ipv6Address(halves[0], halves[1]);
}

// The IP packet and its family, without its link; empty when the frame is none of the line's own.
Bytes packet_of(const Line& line, const Bytes& frame, bool& ipv4) {
    const std::size_t link = line.vlan_id == 0 ? 14 : 18;
    if (frame.size() < link + 20) return {};
    if (!std::equal(line.mac_address.bytes().begin(), line.mac_address.bytes().end(), frame.begin())) return {};
    if (line.vlan_id != 0 && (get16(frame, 12) != 0x8100 || get16(frame, 14) != line.vlan_id)) return {};
    ipv4 = get16(frame, link - 2) == 0x0800;
    if (!ipv4 && get16(frame, link - 2) != 0x86dd) return {};
    return Bytes(frame.begin() + static_cast<std::ptrdiff_t>(link), frame.end());
}

std::optional<ImaginedPacket> imagine(const Line& line, std::size_t number, L4Port esp_port, const Bytes& frame) {
    bool ipv4 = true;
    const Bytes ip = packet_of(line, frame, ipv4);
    const std::size_t header = ipv4 ? 20 : 40;
    if (ip.size() < header + 8 || frame.size() > RTE_MBUF_DEFAULT_DATAROOM) return std::nullopt;
    ImaginedPacket imagined;
    imagined.attachment = AttachmentId(static_cast<std::uint16_t>(number));
    imagined.protocol = ip[ipv4 ? 9 : 6];
    imagined.ttl = ip[ipv4 ? 8 : 7];
    imagined.source = address_at(ip, ipv4 ? 12 : 8, ipv4);
    imagined.destination = address_at(ip, ipv4 ? 16 : 24, ipv4);
    imagined.length = static_cast<std::uint16_t>(ip.size());
    const std::uint8_t icmp = ipv4 ? kProtocolIcmp : kProtocolIcmpv6;
    if (ipv4) {
        if (ip[0] != 0x45 || get16(ip, 2) != ip.size() || (get16(ip, 6) & 0x3fff) != 0) return std::nullopt;
        if (sum_of_words({std::span(ip).first(20)}) != 0xffff) return std::nullopt;
        imagined.dont_fragment = (get16(ip, 6) & 0x4000) != 0;
    } else if (ip[0] >> 4 != 6 || get16(ip, 4) != ip.size() - 40U) {
        return std::nullopt;
    }
    if (line.is_underlay && imagined.protocol == kProtocolEsp)
        return std::nullopt;  // what is in it, explain is not told
    if (imagined.protocol == kProtocolTcp && (ip.size() < header + 20 || ip[header + 12] != 0x50)) return std::nullopt;
    if (imagined.protocol == icmp) {
        imagined.icmp_type = ip[header];
        const bool neighbour_discovery = !ipv4 && ip[header] >= 133 && ip[header] <= 137;
        if (is_icmp_error(icmp, ip[header]) || neighbour_discovery) return std::nullopt;
    } else if (imagined.protocol == kProtocolTcp || imagined.protocol == kProtocolUdp) {
        imagined.source_port = get16(ip, header);
        imagined.destination_port = get16(ip, header + 2);
        if (line.is_underlay && imagined.destination_port == esp_port.value()) return std::nullopt;  // likewise
        imagined.tcp_flags = imagined.protocol == kProtocolTcp ? ip[header + 13] : 0;
    } else if (!ipv4) {
        return std::nullopt;  // it may be an extension header
    }
    return imagined;
}

// What explain does not know of: neighbours, budgets, buffers, the way back of an answer, and checksums that are wrong
// on purpose.
bool depends_on_state(DropReason reason) {
    switch (reason) {
        case DropReason::local_rate:
        case DropReason::local_checksum:
        case DropReason::no_return_path:
        case DropReason::neighbour_hold_full:
        case DropReason::neighbour_table_full:
        case DropReason::neighbour_unresolved:
        case DropReason::fragmentation_no_buffer: return true;
        default: return false;
    }
}

std::string words_of(const dataplane::Explanation& explanation) {
    std::string words;
    for (const auto& step : explanation.steps) words += step.stage + ": " + step.words + "\n";
    if (explanation.dropped) words += "dropped: " + std::string(text_of(*explanation.dropped).name) + "\n";
    return words;
}

}  // namespace

std::string explained(const TestHub& hub, const dataplane::ImaginedPacket& packet) {
    const auto explanation = dataplane::explain(hub.tables(), hub.associations(), packet, Numbers(), Eal::made());
    REQUIRE(explanation);
    return words_of(*explanation);
}

void check_explained(const TestHub& hub, std::size_t line, const Bytes& frame) {
    const auto imagined = imagine(hub.policy().lines[line], line, hub.tables().attachments[line].esp_port, frame);
    if (!imagined) return;
    const Drops drops = hub.drops();
    for (const auto& [reason, count] : drops)
        if (depends_on_state(reason)) return;
    const auto explanation = dataplane::explain(hub.tables(), hub.associations(), *imagined, Numbers(), Eal::made());
    REQUIRE(explanation);
    for (const auto& step : explanation->steps)
        if (step.stage == std::string("recall")) return;  // by sessions, of which explain knows none
    INFO("explain says\n" << words_of(*explanation));
    if (!drops.empty()) {
        REQUIRE(explanation->dropped.has_value());
        CHECK(*explanation->dropped == drops.begin()->first);
        CHECK(explanation->error.empty() == (hub.made() == 0));
        return;
    }
    CHECK_FALSE(explanation->dropped.has_value());
    if (hub.consumed() != 0) CHECK_FALSE(explanation->egress.has_value());
    if (hub.consumed() != 0 || hub.left().size() != 1 || hub.held() != 0) return;
    REQUIRE(explanation->egress.has_value());
    const Line& egress = hub.policy().lines[explanation->egress->index()];
    if (egress.tunnel_number != TunnelId()) {  // the tests of tunnels look into what left
        CHECK_FALSE(explanation->next_hop.empty());
        return;
    }
    CHECK(egress.port == hub.left().front().port);
    bool ipv4 = true;
    Bytes swapped = hub.left().front().frame;  // packet_of() looks for the line's MAC address where frames come in
    std::swap_ranges(swapped.begin(), swapped.begin() + 6, swapped.begin() + 6);
    const Bytes ip = packet_of(egress, swapped, ipv4);
    REQUIRE_FALSE(ip.empty());
    CHECK(explanation->source == address_at(ip, ipv4 ? 12 : 8, ipv4).text());
    CHECK(explanation->destination == address_at(ip, ipv4 ? 16 : 24, ipv4).text());
}

}  // namespace sekisho::test
