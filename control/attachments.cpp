// Placing attachments. Compiler thread only.
#include "control/attachments.hpp"

#include <algorithm>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "control/interner.hpp"
#include "control/place.hpp"

namespace sekisho::control {
namespace {

using dataplane::Tables;

constexpr std::uint16_t kMaxVlan = 4094;  // IEEE 802.1Q: 4095 is reserved

Expected<dataplane::Attachment> attachment_of(const Attachment& told, const Numbers& numbers, const InForce& in_force,
                                              const std::string& name, const NodePorts& ports) {
    if (told.protection != Protection::none || told.underlay)
        return Error{ErrorCode::unsupported, "protection by ESP does not work in this version"};
    const auto owner = numbers.operators.number_of(told.operator_id);
    if (!owner) return owner.error();
    const auto port = ports.find ? ports.find(told.port) : std::nullopt;
    if (!port || port->index() >= ports.count)
        return Error{ErrorCode::not_found, "this node has no port " + in_quotes(told.port)};
    if (ports.mtu && told.mtu > ports.mtu(*port))
        return Error{ErrorCode::limit, fmt::format("MTU {}: its port {} carries {} bytes", told.mtu,
                                                   in_quotes(told.port), ports.mtu(*port))};
    if (told.vlan > kMaxVlan)
        return Error{ErrorCode::invalid, fmt::format("VLAN {}: must be 0 (untagged) to {}", told.vlan, kMaxVlan)};

    dataplane::Attachment result;
    result.port = *port;
    result.vlan = VlanId(told.vlan);
    result.vrf = VrfId(static_cast<VrfId::Value>(*owner));
    result.owner = OperatorId(static_cast<OperatorId::Value>(*owner));
    result.open = !in_force.closed_attachments.contains(name);
    result.serves_ipv4 = told.serves(Family::ipv4);
    result.serves_ipv6 = told.serves(Family::ipv6);
    result.mtu = told.mtu;
    result.reachable_time = told.reachable_time;
    result.mac = told.mac;
    if (result.serves_ipv4) {
        if (!told.ipv4) return Error{ErrorCode::invalid, "it serves IPv4 and has no IPv4 address"};
        result.ipv4 = *told.ipv4;
        result.subnet4 = told.subnet4;
    }
    if (result.serves_ipv6) {
        if (!told.link_local.is_link_local())
            return Error{ErrorCode::invalid, "it serves IPv6 and has no link-local address"};
        result.link_local = told.link_local;
        if (told.ipv6) {
            result.ipv6 = *told.ipv6;
            result.subnet6 = told.subnet6;
        }
    }
    return result;
}

}  // namespace

Expected<void> place_attachments(const Policy& policy, const Numbers& numbers, const InForce& in_force,
                                 const NodePorts& ports, Tables& tables) {
    tables.attachments.resize(numbers.attachments.size());
    tables.attachment_of.resize(ports.count);
    for (auto& by_vlan : tables.attachment_of) by_vlan.fill(Tables::kNoAttachment);
    const std::vector<std::string> names = numbers.attachments.names();
    std::size_t i = 0;
    for (const auto& [name, told] : policy.attachments) {
        const std::uint32_t number = numbers.attachments[i++];
        auto attachment = attachment_of(told, numbers, in_force, name, ports);
        if (!attachment) return attachment.error().at(place_of("attachments", name));
        std::uint16_t& place = tables.attachment_of[attachment->port.index()][attachment->vlan.index()];
        if (place != Tables::kNoAttachment)
            return Error{ErrorCode::invalid,
                         fmt::format("{} and {} both have port {}, VLAN {}", place_of("attachments", names[place]),
                                     in_quotes(name), in_quotes(told.port), told.vlan)};
        place = static_cast<std::uint16_t>(number);
        tables.attachments[number] = *attachment;
    }
    return {};
}

void place_taps(const Policy& policy, const Numbers& numbers, TapNumbers& known, Tables& tables) {
    std::size_t i = 0;
    for (const auto& [name, told] : policy.attachments) {
        const std::uint32_t number = numbers.attachments[i++];
        if (told.kernel_interface.empty()) continue;
        const std::string& space = policy.operators.at(told.operator_id).network_namespace;
        const auto next = TapId(static_cast<TapId::Value>(known.size() + 1));
        const TapId tap = known.try_emplace({name, space, told.kernel_interface}, next).first->second;
        tables.attachments[number].tap = tap;
        tables.taps.push_back({tap, AttachmentId(static_cast<AttachmentId::Value>(number)), space,
                               told.kernel_interface, told.mac, told.mtu});
    }
}

Expected<std::vector<std::uint16_t>> share_attachments(const Policy& policy, const Numbers& numbers, Tables& tables) {
    std::vector<std::uint16_t> set_of(numbers.institutions.size());
    Sets sets;
    std::size_t i = 0;
    for (const auto& [name, institution] : policy.institutions) {
        const std::uint32_t number = numbers.institutions[i++];
        std::vector<std::uint32_t> members;
        for (const Link& link : institution.links)
            for (const std::string& attachment : link.attachments) {
                const auto id = numbers.attachments.number_of(attachment);
                if (!id) return id.error().at(place_of("institutions", name));
                if (policy.attachments.at(attachment).operator_id != institution.operator_id)
                    return Error{ErrorCode::invalid,
                                 fmt::format("attachment {} is not of operator {}", in_quotes(attachment),
                                             in_quotes(institution.operator_id))}
                        .at(place_of("institutions", name));
                members.push_back(*id);
            }
        std::sort(members.begin(), members.end());
        members.erase(std::unique(members.begin(), members.end()), members.end());
        if (members.size() == 1) {
            set_of[number] = static_cast<std::uint16_t>(Tables::kOneAttachment | members.front());
            continue;
        }
        const Sets::Id set = sets.intern(std::move(members));
        if (set >= Tables::kOneAttachment)
            return Error{ErrorCode::limit,
                         fmt::format("more than {} different sets of attachments", Tables::kOneAttachment - 1)}
                .at(place_of("institutions", name));
        set_of[number] = static_cast<std::uint16_t>(set);
    }
    tables.attachment_set_words = numbers.attachments.size() / 64 + 1;
    tables.attachment_sets.assign(sets.size() * tables.attachment_set_words, 0);
    for (Sets::Id set = 0; set < sets.size(); ++set)
        for (const std::uint32_t member : sets[set])
            tables.attachment_sets[set * tables.attachment_set_words + member / 64] |= std::uint64_t{1} << member % 64;
    return set_of;
}

}  // namespace sekisho::control
