// Attachments, with the hub's own addresses on them, and static routes (clauses 2-1, 2-2, 2-3(3), 2-6). Compiler
// thread.
#include <algorithm>
#include <map>
#include <utility>

#include "control/findings.hpp"
#include "control/policy_reader.hpp"
#include "control/tunnels.hpp"

namespace sekisho::control {

namespace {

// Why a station may not have `address` on `subnet`; nullopt when it may. RFC 3021 and RFC 6164: a subnet of two, or of
// one, has neither a network nor a broadcast address.
template <class Address>
std::optional<std::string> misplaced(const Address& address, const Prefix<Address>& subnet) {
    const std::string text = address.text();
    if (!subnet.contains(address)) return text + " is not inside " + subnet.text();
    if (subnet.length() >= Address::kBits - 1) return std::nullopt;
    if (address == subnet.first())
        return text +
               (Address::kFamily == Family::ipv4 ? " is the network address of "
                                                 : " is the subnet-router anycast address of ") +
               subnet.text();
    if (Address::kFamily == Family::ipv4 && address == subnet.last())
        return text + " is the broadcast address of " + subnet.text();
    return std::nullopt;
}

template <class Address>
void check_own_address(const Attachment& attachment, const std::optional<Address>& address,
                       const Prefix<Address>& subnet, ObjectFindings& about) {
    const bool ipv4 = Address::kFamily == Family::ipv4;
    const char* const field = ipv4 ? "ipv4" : "ipv6";
    const bool served = attachment.serves(Address::kFamily);
    const std::string family = "family " + std::string(name_of(attachment.family));
    if (served && !address) return about.wrong(field, "is missing: " + family + " needs the hub's own address");
    if (!served && address) return about.wrong(field, address->text() + " is of no use with " + family);
    if (!address) return;
    if (const auto why = unusable(subnet)) return about.wrong(field, subnet.text() + " " + std::string(*why));
    if (const auto why = misplaced(*address, subnet)) about.wrong(field, *why);
}

// What an attachment's packets may be as long as; a tunnel's is what its underlay leaves, or less if the document says
// so.
void check_mtu(const Policy& policy, const Attachment& attachment, ObjectFindings& about) {
    if (attachment.is_tunnel() && attachment.mtu == 0) return;
    const std::string family = "with family " + std::string(name_of(attachment.family));
    const unsigned least = attachment.serves(Family::ipv6) ? 1280 : 576;  // RFC 8200 §5, RFC 791 §3.2
    if (attachment.mtu < least || attachment.mtu > 9000)
        about.wrong("mtu", std::to_string(attachment.mtu) + " is not " + std::to_string(least) + " to 9000, " + family);
    const auto tunnel = policy.tunnels.find(attachment.tunnel);
    if (tunnel == policy.tunnels.end()) return;
    if (const std::uint16_t left = mtu_left(policy, tunnel->second); left != 0 && attachment.mtu > left)
        about.wrong("mtu", std::to_string(attachment.mtu) + " is more than the " + std::to_string(left) +
                               " bytes that " + place_of("attachments", tunnel->second.underlay) + " leaves " +
                               place_of("tunnels", tunnel->first));
}

// By operator and name: whose TAP it is.
using Interfaces = std::map<std::pair<std::string_view, std::string_view>, std::string_view>;

void check_is_free(const Attachment& attachment, Interfaces& interfaces, ObjectFindings& about) {
    const std::string& name = attachment.kernel_interface;
    const auto [taken, free] = interfaces.try_emplace({attachment.operator_id, name}, attachment.id);
    if (!free)
        about.wrong("kernel_interface",
                    in_quotes(name) + " is that of " + place_of("attachments", taken->second) + " already");
}

std::vector<Claim> claims_of(const Attachment& attachment) {
    std::vector<Claim> claims;
    if (attachment.ipv4) claims.push_back({attachment.subnet4, "attachments", attachment.id, "ipv4", std::nullopt, ""});
    if (attachment.ipv6) claims.push_back({attachment.subnet6, "attachments", attachment.id, "ipv6", std::nullopt, ""});
    return claims;
}

// Hub numbers on a line are hub numbers of its operator: anything else there would shadow somebody's, and routers that
// answer from them would be taken for spoofers.
void check_subnet_in_hub_space(const Policy& policy, const HubSpace& hub, const Claim& subnet,
                               std::string_view operator_id, Findings& findings) {
    const Claim* pool = hub.pools.meeting(subnet.prefix);
    if (pool == nullptr) return;
    if (const Claim* claim = hub.translations.covering(subnet.prefix);
        claim != nullptr && claim->owner == operator_id) {
        const Translation& translation = policy.translations.find(std::string(claim->id))->second;
        if (translation.operator_prefix == translation.hub_prefix) return;
    }
    findings.add(ErrorCode::invalid, subnet.place(),
                 "the subnet " + subnet.prefix.text() + " overlaps the pool " + pool->prefix.text() + " of " +
                     pool->place() + ", and no translation of operator " + in_quotes(operator_id) +
                     " has it in hub space as it is");
}

// The way out itself; the route's prefix is known to be usable.
template <class Address>
void check_gateway(const Address& gateway, const Attachment& attachment, const std::optional<Address>& own,
                   const Prefix<Address>& subnet, const std::string& field, ObjectFindings& about) {
    bool ours = own == gateway;
    if constexpr (Address::kFamily == Family::ipv6) {
        ours = ours || gateway == attachment.link_local;
        if (gateway.is_link_local() && !ours) return;
    }
    if (ours)
        return about.wrong(field,
                           gateway.text() + " is the hub's own address on attachment " + in_quotes(attachment.id));
    if (!own) return;  // said where the attachment is checked
    if (const auto why = misplaced(gateway, subnet))
        about.wrong(field, *why + ", the subnet of attachment " + in_quotes(attachment.id));
}

void check_nexthop(const Policy& policy, const Route& route, std::size_t index, ObjectFindings& about) {
    const RouteNexthop& nexthop = route.nexthops[index];
    const std::string field = indexed("nexthops", index);
    const auto found = policy.attachments.find(nexthop.attachment);
    if (found == policy.attachments.end())
        return about.dangling(field + ".attachment", "attachment", nexthop.attachment);
    const Attachment& attachment = found->second;
    if (attachment.operator_id != route.operator_id)
        about.wrong(field + ".attachment", "attachment " + in_quotes(attachment.id) + " belongs to operator " +
                                               in_quotes(attachment.operator_id) + ", not " +
                                               in_quotes(route.operator_id));
    if (!attachment.serves(route.prefix.family()))
        return about.wrong(field + ".attachment", "attachment " + in_quotes(attachment.id) + " has family " +
                                                      std::string(name_of(attachment.family)) + " and cannot carry " +
                                                      route.prefix.text());
    if (!nexthop.gateway) return;
    if (attachment.is_tunnel())
        about.wrong(field + ".gateway", nexthop.gateway->text() + " is of no use: attachment " +
                                            in_quotes(attachment.id) + " is a tunnel, whose peer is the next hop");
    else if (nexthop.gateway->family() != route.prefix.family())
        about.wrong(field + ".gateway", nexthop.gateway->text() + " and " + route.prefix.text() + " differ in family");
    else if (nexthop.gateway->is_ipv4())
        check_gateway(nexthop.gateway->ipv4(), attachment, attachment.ipv4, attachment.subnet4, field + ".gateway",
                      about);
    else
        check_gateway(nexthop.gateway->ipv6(), attachment, attachment.ipv6, attachment.subnet6, field + ".gateway",
                      about);
}

// Several nexthops of one route: all different, and not all of them for when the others are down.
void check_choice(const Route& route, ObjectFindings& about) {
    const auto& all = route.nexthops;
    for (std::size_t i = 0; i < all.size(); ++i)
        for (std::size_t j = 0; j < i; ++j)
            if (all[i].attachment == all[j].attachment && all[i].gateway == all[j].gateway)
                about.wrong(indexed("nexthops", i), "is the same as " + indexed("nexthops", j));
    if (!all.empty() && std::all_of(all.begin(), all.end(), [](const RouteNexthop& each) { return each.backup; }))
        about.wrong("nexthops", "are all backup: at least one must not be");
}

}  // namespace

void check_attachment(const Policy& policy, const Attachment& attachment, ObjectFindings& about) {
    if (!policy.operators.contains(attachment.operator_id))
        about.dangling("operator", "operator", attachment.operator_id);
    if ((attachment.method == AttachmentMethod::designated) == attachment.designation.empty())
        about.wrong("designation", attachment.designation.empty()
                                       ? "is missing: the document that designates the method (clause 2-1)"
                                       : "only method designated has one (clause 2-1)");
    check_protection(policy, attachment, about);
    check_own_address(attachment, attachment.ipv4, attachment.subnet4, about);
    check_own_address(attachment, attachment.ipv6, attachment.subnet6, about);
    check_mtu(policy, attachment, about);
    if (attachment.is_tunnel()) return;
    if (attachment.mac.is_group())
        about.wrong("mac", attachment.mac.text() + " is a group address");
    else if (!attachment.mac.is_locally_administered())
        about.wrong("mac", attachment.mac.text() + " is not locally administered: the first byte must be 02 or alike");
    if (attachment.serves(Family::ipv6) && !attachment.link_local.is_link_local())
        about.wrong("link_local", attachment.link_local.text() + " is not inside fe80::/10");
    if (attachment.reachable_time < 1 || attachment.reachable_time > 3600)
        about.wrong("reachable_time", std::to_string(attachment.reachable_time) + " is not 1 to 3600 seconds");
    if (attachment.vlan > 4094) about.wrong("vlan", std::to_string(attachment.vlan) + " is not 0 to 4094");
}

void check_kernel_interface(const Policy& policy, const Attachment& attachment, ObjectFindings& about) {
    const std::string& name = attachment.kernel_interface;
    // The kernel has interfaces of its own by the first of these names, and settings by the others.
    if (name == "lo" || name == "all" || name == "default")
        about.wrong("kernel_interface", in_quotes(name) + " is a name that the kernel uses itself");
    const auto owner = policy.operators.find(attachment.operator_id);
    if (owner != policy.operators.end() && owner->second.network_namespace.empty())
        about.wrong("kernel_interface", "needs a network_namespace of operator " + in_quotes(attachment.operator_id));
}

void check_subnets(const Policy& policy, const HubSpace& hub, const Attachment& attachment, Findings& findings) {
    for (const Claim& claim : claims_of(attachment))
        check_subnet_in_hub_space(policy, hub, claim, attachment.operator_id, findings);
}

void check_attachments(const Policy& policy, const HubSpace& hub, Findings& findings) {
    std::map<std::pair<std::string_view, std::uint16_t>, std::string_view> places;
    std::map<std::string_view, std::vector<Claim>> subnets;  // by operator
    Interfaces interfaces;
    for (const auto& [id, attachment] : policy.attachments) {
        ObjectFindings about(findings, "attachments", id);
        check_attachment(policy, attachment, about);
        if (!attachment.is_tunnel()) {
            const auto [place, free] = places.try_emplace({attachment.port, attachment.vlan}, id);
            if (!free)
                about.wrong("port", "port " + in_quotes(attachment.port) + " vlan " + std::to_string(attachment.vlan) +
                                        " is that of " + place_of("attachments", place->second) + " already");
        }
        if (!attachment.kernel_interface.empty()) {
            check_kernel_interface(policy, attachment, about);
            check_is_free(attachment, interfaces, about);
        }
        check_subnets(policy, hub, attachment, findings);
        auto& claims = subnets[attachment.operator_id];
        for (Claim& claim : claims_of(attachment)) claims.push_back(std::move(claim));
    }
    for (auto& [operator_id, claims] : subnets) {
        AddressSpace(std::move(claims), [&](const Claim& cover, const Claim& claim) {
            findings.add(ErrorCode::invalid, claim.place(),
                         "the subnet " + claim.prefix.text() + " overlaps " + cover.prefix.text() + " of " +
                             cover.place() + ", which has the same operator");
        });
    }
}

Subnets subnets_of(const Policy& policy, std::string_view operator_id) {
    Subnets subnets;
    for (const auto& [id, attachment] : policy.attachments) {
        if (!operator_id.empty() && attachment.operator_id != operator_id) continue;
        if (attachment.ipv4) subnets.try_emplace({attachment.operator_id, IpPrefix(attachment.subnet4)}, id);
        if (attachment.ipv6) subnets.try_emplace({attachment.operator_id, IpPrefix(attachment.subnet6)}, id);
    }
    return subnets;
}

void check_route(const Policy& policy, const Route& route, const Subnets& subnets, ObjectFindings& about) {
    if (!policy.operators.contains(route.operator_id)) about.dangling("operator", "operator", route.operator_id);
    if (route.prefix.length() == 0)
        about.wrong("prefix", route.prefix.text() + " is a default route: the hub takes none (clause 2-6)");
    else if (const auto why = unusable(route.prefix))
        about.wrong("prefix", route.prefix.text() + " " + std::string(*why));
    if (const auto subnet = subnets.find({route.operator_id, route.prefix}); subnet != subnets.end())
        about.wrong("prefix", route.prefix.text() + " is the subnet of " + place_of("attachments", subnet->second) +
                                  ", which needs no route");
    if (route.blackhole != route.nexthops.empty())
        about.wrong("nexthops", route.blackhole ? "a blackhole has none" : "is missing: one, unless blackhole is true");
    check_choice(route, about);
    for (std::size_t i = 0; i < route.nexthops.size(); ++i) check_nexthop(policy, route, i, about);
}

void check_routes(const Policy& policy, Findings& findings) {
    const Subnets subnets = subnets_of(policy, "");
    for (const auto& [id, route] : policy.routes) {
        ObjectFindings about(findings, "routes", id);
        check_route(policy, route, subnets, about);
    }
}

}  // namespace sekisho::control
