// Objects of the document, field by field. Control plane only.
#include "control/policy_reader.hpp"

#include <cassert>
#include <utility>

#include <nlohmann/json.hpp>

#include "control/policy_fields.hpp"

namespace sekisho::control {

namespace {

using nlohmann::json;

nat::Timeouts read_timers(Fields fields) {
    const nat::Timeouts usual;
    const auto seconds = [&](const char* name, std::uint32_t otherwise) {
        return static_cast<std::uint32_t>(fields.large_number(name, otherwise));
    };
    return {seconds("tcp_established", usual.tcp_established),
            seconds("tcp_transitory", usual.tcp_transitory),
            seconds("tcp_unsolicited", usual.tcp_unsolicited),
            seconds("udp", usual.udp),
            seconds("icmp", usual.icmp),
            seconds("other", usual.other)};
}

constexpr std::uint64_t kUsualHoldDownDays = 90;

Hub read_hub(Fields& fields) {
    return {fields.text("rules_version"), fields.prefixes("pools"), read_timers(fields.object("timers")),
            static_cast<std::uint32_t>(fields.large_number("hold_down_days", kUsualHoldDownDays))};
}

Operator read_operator(Fields& fields) {
    Operator op;
    op.id = fields.id("id");
    op.name = fields.text("name");
    Fields certification = fields.object("certification");
    op.certification = {certification.text("number"), certification.date("valid_from"),
                        certification.date("valid_until"),
                        certification.choice("expiry_action", ExpiryAction::warn, ExpiryAction::stop)};
    Fields assessment = fields.object("assessment");
    op.assessment = {assessment.text("body"), assessment.text("standard"), assessment.date("valid_from"),
                     assessment.date("valid_until")};
    op.network_namespace = fields.id("network_namespace");
    return op;
}

Allocation read_allocation(Fields& fields) {
    return {fields.id("id"), fields.id("operator"), fields.prefix("prefix"), fields.date("from"),
            fields.date("released")};
}

// fe80:: and the modified EUI-64 of the MAC address (RFC 4291, appendix A).
Ipv6Address link_local_of(const MacAddress& mac) {
    std::uint64_t identifier = 0;
    for (std::size_t i = 0; i < 6; ++i) {
        if (i == 3) identifier = identifier << 16 | 0xfffe;
        identifier = identifier << 8 | mac.bytes()[i];
    }
    return {0xfe80'0000'0000'0000ULL, identifier ^ 0x0200'0000'0000'0000ULL};
}

Attachment read_attachment(Fields& fields) {
    Attachment attachment;
    attachment.id = fields.id("id");
    attachment.operator_id = fields.id("operator");
    attachment.tunnel = fields.id("tunnel");
    if (attachment.is_tunnel())
        for (const char* field :
             {"port", "vlan", "mac", "link_local", "reachable_time", "kernel_interface", "underlay"})
            if (fields.has(field)) fields.refuse(field, "is of no use with a tunnel: that has no link of its own");
    if (!attachment.is_tunnel())
        for (const char* field : {"port", "mac"})
            if (!fields.has(field)) fields.refuse(field, "is missing: an attachment has port and mac, or a tunnel");
    attachment.port = fields.id("port");
    attachment.vlan = fields.number("vlan", 0);
    attachment.method = fields.choice("method", AttachmentMethod::ip_vpn, AttachmentMethod::designated);
    attachment.designation = fields.text("designation");
    attachment.protection = fields.choice("protection", Protection::none, Protection::esp);
    attachment.session_management =
        fields.choice("session_management", SessionManagement::none, SessionManagement::none);
    attachment.family = fields.choice("family", FamilyChoice::dual, FamilyChoice::dual);
    attachment.mac = fields.address<MacAddress>("mac", "a MAC address like 02:00:00:00:00:01").value_or(MacAddress());
    fields.interface("ipv4", attachment.ipv4, attachment.subnet4);
    fields.interface("ipv6", attachment.ipv6, attachment.subnet6);
    attachment.link_local = fields.address<Ipv6Address>("link_local", "an IPv6 address like fe80::1")
                                .value_or(attachment.is_tunnel() ? Ipv6Address() : link_local_of(attachment.mac));
    attachment.mtu = fields.number("mtu", attachment.is_tunnel() ? 0 : 1500);
    attachment.reachable_time = fields.number("reachable_time", 30);
    attachment.kernel_interface = fields.id("kernel_interface");
    fields.text("demarcation");
    attachment.underlay = fields.flag("underlay");
    return attachment;
}

crypto::PortRange selector_ports(Fields fields) {
    return {fields.number("first", 0), fields.number("last", 65535)};
}

Tunnel read_tunnel(Fields& fields) {
    Tunnel tunnel;
    tunnel.id = fields.id("id");
    tunnel.underlay = fields.id("underlay");
    tunnel.peer = fields.address<IpAddress>("peer", "an IPv4 or IPv6 address").value_or(IpAddress(Ipv4Address()));
    fields.each("selectors", [&](Fields& selector) {
        tunnel.selectors.push_back({selector.prefix("local"), selector.prefix("remote"), std::nullopt,
                                    selector_ports(selector.object("local_ports")),
                                    selector_ports(selector.object("remote_ports"))});
        if (selector.has("protocol"))
            tunnel.selectors.back().protocol = static_cast<std::uint8_t>(selector.number("protocol", 0));
    });
    tunnel.suite = fields.choice("suite", crypto::Suite::aes_gcm_256, crypto::Suite::aes_gcm_256);
    tunnel.esn = fields.flag("esn", true);
    tunnel.replay_window = static_cast<std::uint32_t>(fields.large_number("replay_window", tunnel.replay_window));
    Fields marks = fields.object("marks");
    if (marks.has("dscp")) tunnel.marks.dscp = static_cast<std::uint8_t>(marks.number("dscp", 0));
    tunnel.marks.df = marks.choice("df", crypto::DfMode::copy, crypto::DfMode::clear);
    tunnel.marks.ecn = marks.choice("ecn", crypto::EcnMode::normal, crypto::EcnMode::compatibility);
    Fields lifetimes = fields.object("lifetimes");
    Fields soft = lifetimes.object("soft");
    Fields hard = lifetimes.object("hard");
    const auto seconds = [](Fields& limits) { return std::chrono::seconds(limits.large_number("seconds", 0)); };
    tunnel.lifetimes = {soft.large_number("bytes", 0),
                        hard.large_number("bytes", 0),
                        soft.large_number("packets", 0),
                        hard.large_number("packets", 0),
                        seconds(soft),
                        seconds(hard)};
    tunnel.keys = fields.choice("keys", TunnelKeys::manual, TunnelKeys::ike);
    if (fields.has("udp")) {
        Fields udp = fields.object("udp");
        tunnel.udp =
            UdpEncapsulation{udp.number("peer_port", 4500), udp.number("local_port", 4500), udp.number("keepalive", 0)};
    }
    return tunnel;
}

Institution read_institution(Fields& fields) {
    Institution institution;
    institution.id = fields.id("id");
    institution.operator_id = fields.id("operator");
    institution.kind = fields.choice("kind", InstitutionKind::hospital, InstitutionKind::service_provider);
    for (const char* record : {"certificate", "application"}) fields.text(record);  // read to be refused, and not kept
    institution.prefixes = fields.prefixes("prefixes");
    institution.operator_prefixes = fields.prefixes("operator_prefixes");
    fields.each("links", [&](Fields& link) {
        for (const char* record : {"access_line_operator", "cpe", "demarcation"}) link.text(record);
        institution.links.push_back({link.choice("method", LinkMethod::ip_vpn, LinkMethod::other),
                                     link.text("guideline"), link.ids("attachments")});
    });
    return institution;
}

PortBlock read_port_block(Fields fields) {
    PortBlock block;
    const auto number = [&](const char* name, std::uint32_t otherwise) {
        return static_cast<std::uint32_t>(fields.large_number(name, otherwise));
    };
    block.by_institution = fields.id("per") == "institution";
    block.subscribers = number("subscribers", 0);
    block.blocks = number("blocks", block.blocks);
    block.hold_down = number("hold_down", block.hold_down);
    block.parity = fields.flag("parity");
    block.filtering = fields.choice("filtering", block.filtering, nat::Filtering::address_and_port_dependent);
    fields.each("static_maps", [&](Fields& map) {
        const auto address = [&](const char* name) {
            return map.address<Ipv4Address>(name, "an IPv4 address").value_or(Ipv4Address());
        };
        block.static_maps.push_back({map.choice("protocol", Protocol::tcp, Protocol::udp), address("hub_address"),
                                     map.number("hub_port", 0), address("operator_address"),
                                     map.number("operator_port", 0)});
    });
    return block;
}

Translation read_translation(Fields& fields) {
    Translation translation{fields.id("id"),
                            fields.id("operator"),
                            fields.choice("kind", TranslationKind::prefix_map, TranslationKind::family),
                            fields.prefix("operator_prefix"),
                            fields.prefix("hub_prefix"),
                            {}};
    const bool is_block = translation.kind == TranslationKind::port_block;
    if (is_block != fields.has("port_block"))
        fields.refuse("port_block", is_block ? "is missing: how the ports are lent" : "goes with kind port_block only");
    if (is_block && fields.has("port_block")) translation.port_block = read_port_block(fields.object("port_block"));
    return translation;
}

Agreement read_agreement(Fields& fields) {
    Agreement agreement;
    agreement.id = fields.id("id");
    Fields clients = fields.object("clients");
    agreement.client_operators = clients.ids("operators");
    agreement.client_institutions = clients.ids("institutions");
    agreement.client_prefixes = clients.prefixes("prefixes");
    Fields services = fields.object("services");
    agreement.service_institutions = services.ids("institutions");
    agreement.service_prefixes = services.prefixes("prefixes");
    agreement.protocol = fields.choice("protocol", Protocol::tcp, Protocol::any);
    agreement.ports = fields.ports("ports");
    agreement.state = fields.choice("state", AgreementState::tracked, AgreementState::stateless);
    agreement.from = fields.time("from");
    agreement.until = fields.time("until");
    return agreement;
}

Route read_route(Fields& fields) {
    Route route;
    route.operator_id = fields.id("operator");
    route.prefix = fields.prefix("prefix");
    route.blackhole = fields.flag("blackhole");
    fields.each("nexthops", [&](Fields& nexthop) {
        route.nexthops.push_back({nexthop.id("attachment"),
                                  nexthop.address<IpAddress>("gateway", "an IPv4 or IPv6 address"),
                                  nexthop.flag("backup"), nexthop.number("weight", 1)});
    });
    return route;
}

Gate read_gate(Fields& fields) {
    return {fields.id("id"),        fields.choice("target", GateTarget::operator_, GateTarget::agreement),
            fields.id("target_id"), fields.choice("reason", GateReason::maintenance, GateReason::revocation),
            fields.text("clause"),  fields.text("notice"),
            fields.time("from"),    fields.time("until")};
}

Object::Value read(Kind kind, Fields& fields) {
    switch (kind) {
        case Kind::hub: return read_hub(fields);
        case Kind::operators: return read_operator(fields);
        case Kind::allocations: return read_allocation(fields);
        case Kind::attachments: return read_attachment(fields);
        case Kind::tunnels: return read_tunnel(fields);
        case Kind::institutions: return read_institution(fields);
        case Kind::translations: return read_translation(fields);
        case Kind::agreements: return read_agreement(fields);
        case Kind::routes: return read_route(fields);
        case Kind::gates: return read_gate(fields);
    }
    assert(false);
    return Hub();
}

}  // namespace

std::optional<Object::Value> read_object(Kind kind, const json& object, const std::string& place,
                                         std::vector<Error>& errors) {
    const std::size_t before = errors.size();
    Fields fields(object, place + " .", errors);
    Object::Value value = read(kind, fields);
    if (errors.size() != before) return std::nullopt;
    return value;
}

}  // namespace sekisho::control
