// One question put to compiled tables, in the order of the path: who, hub, cell and gates, where.
#include <fmt/format.h>

#include "net/headers.hpp"
#include "tests/control/compile_support.hpp"

namespace sekisho::control::test {
namespace {

using dataplane::Nexthop;
using dataplane::Tables;

std::string text_of(const Compiler& compiler, const Tables& tables, std::uint32_t id) {
    const Nexthop& nexthop = tables.nexthops.at(id);
    if (nexthop.kind == Nexthop::Kind::blackhole) return "blackhole";
    const std::string attachment = compiler.attachment_name(nexthop.attachment);
    if (nexthop.kind == Nexthop::Kind::connected) return "connected " + attachment;
    if (nexthop.kind == Nexthop::Kind::tunnel) return "tunnel " + attachment;
    return "gateway " + attachment + " " +
           (nexthop.family == Family::ipv4 ? nexthop.gateway4.text() : nexthop.gateway6.text());
}

void judge(const Tables& tables, dataplane::Permissions::Index cell, const Question& question, Answer& answer) {
    dataplane::PortClass to = dataplane::kOtherClass;
    dataplane::PortClass from = dataplane::kOtherClass;
    switch (question.protocol) {
        case kProtocolTcp:
            to = tables.tcp_classes.of(question.destination_port);
            from = tables.tcp_classes.of(question.source_port);
            break;
        case kProtocolUdp:
            to = tables.udp_classes.of(question.destination_port);
            from = tables.udp_classes.of(question.source_port);
            break;
        case kProtocolIcmp:
        case kProtocolIcmpv6: to = from = dataplane::kEchoClass; break;
        default: break;
    }
    answer.forward = tables.permissions.forward(cell, to);
    answer.reverse = tables.permissions.reverse(cell, from);
    answer.tracked = tables.tracks && tables.permissions.tracked(cell, to);
}

template <class Address>
Answer look_up(const Compiler& compiler, const Tables& tables, const Question& question, const Address& source,
               const Address& destination) {
    Answer answer;
    const dataplane::FamilyTables<Address>& family = tables.family<Address>();
    const AttachmentId id = compiler.attachment_id(question.attachment).value();
    const dataplane::Attachment& attachment = tables.attachments.at(id.index());
    if (attachment.tunnel == TunnelId()) {
        if (tables.attachment_of.at(attachment.port.index()).at(attachment.vlan.index()) != id) return answer;
    } else if (tables.tunnels.at(attachment.tunnel.index()).attachment != id) {
        return answer;
    }
    answer.open = attachment.open;
    answer.serves = Address::kFamily == Family::ipv4 ? attachment.serves_ipv4 : attachment.serves_ipv6;

    const lpm::Row who = family.who.find(attachment.vrf.value(), source);
    const dataplane::WhoRow<Address>* from = nullptr;
    if (who != lpm::kNoRow) {
        from = &family.who_rows.at(who);
        answer.source_institution = compiler.institution_name(from->institution);
        answer.may_use = tables.attachment_sets.has(from->attachments, id);
        answer.source_closed = tables.is_closed(from->institution);
        answer.source_in_hub = from->to_hub.apply(source).text();
    }
    const lpm::Row hub = family.hub.find(0, destination);
    const dataplane::HubRow<Address>* to = nullptr;
    if (hub != lpm::kNoRow) {
        to = &family.hub_rows.at(hub);
        const Address inside = to->to_operator.apply(destination);
        answer.destination_institution = compiler.institution_name(to->institution);
        answer.destination_closed = tables.is_closed(to->institution);
        answer.destination_inside = inside.text();
        answer.destination_operator = compiler.vrf_name(to->vrf);
        const lpm::Row where = family.where.find(to->vrf.value(), inside);
        answer.way = where == lpm::kNoRow ? "none" : text_of(compiler, tables, where);
        // A nexthop that is fixed in the row must be the one that the lookup would have given.
        if (to->nexthop != dataplane::kResolve && text_of(compiler, tables, to->nexthop.value()) != answer.way)
            answer.way += ", but fixed as " + text_of(compiler, tables, to->nexthop.value());
    }
    if (from != nullptr && to != nullptr)
        judge(tables, tables.matrices.at(attachment.vrf.index()).cell(from->matrix_row, to->group), question, answer);
    answer.passes = answer.open && answer.serves && from != nullptr && answer.may_use && !answer.source_closed &&
                    to != nullptr && !answer.destination_closed &&
                    (answer.forward || (answer.reverse && (question.answers || question.protocol == kProtocolUdp)));
    return answer;
}

std::string way_of(const Compiler& compiler, const Tables& tables, const dataplane::Tunnel& tunnel) {
    return tunnel.way == dataplane::kNoNexthop ? "none" : text_of(compiler, tables, tunnel.way.value());
}

}  // namespace

std::string tunnel_of(const Compiler& compiler, const Tables& tables, const std::string& attachment) {
    const dataplane::Attachment& user = tables.attachments.at(compiler.attachment_id(attachment).value().index());
    if (user.tunnel == TunnelId()) return "none";
    const dataplane::Tunnel& tunnel = tables.tunnels.at(user.tunnel.index());
    if (!tunnel.exists) return "hole";
    return compiler.tunnel_name(user.tunnel) + " of " + compiler.attachment_name(tunnel.attachment) + " over " +
           compiler.attachment_name(tunnel.underlay) + " from " + tunnel.local.text() + " to " + tunnel.peer.text() +
           (tunnel.in_udp
                ? fmt::format(" in UDP {} {} {}", tables.attachments[tunnel.underlay.index()].esp_port.value(),
                              tunnel.peer_port.value(), tunnel.keepalive)
                : "") +
           ", " + std::to_string(std::uint16_t{user.mtu}) + ", " + way_of(compiler, tables, tunnel);
}

Answer look_up(const Compiler& compiler, const Tables& tables, const Question& question) {
    if (question.source.is_ipv4())
        return look_up(compiler, tables, question, question.source.ipv4(), question.destination.ipv4());
    return look_up(compiler, tables, question, question.source.ipv6(), question.destination.ipv6());
}

}  // namespace sekisho::control::test
