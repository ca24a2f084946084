// Which nexthops may be used, and what the hub says of its own addresses: the keeper's work between walks.
//
// A member of a group is usable while its attachment is open, its port is not known to be down, and its gateway, which
// is asked again and again whether something is sent to it or not, answers or was not asked yet; a tunnel, while it has
// an SA and its underlay such a nexthop. RFC 5227 §2.3 and §3
// and RFC 4861 §7.2.6 for announcements: when an attachment comes up, or its MAC or addresses change, twice.
#include "dataplane/local.hpp"
#include "dataplane/stages.hpp"

namespace sekisho::dataplane {
namespace {

constexpr std::uint8_t kAnnouncements = 2;
constexpr std::uint64_t kAnnounceInterval = 2;              // seconds
constexpr std::size_t kAnnouncedAtOnce = 8;                 // attachments, each with three messages at most
constexpr std::uint64_t kPrime = 0x0000'0100'0000'01b3ULL;  // of FNV

// What a line's neighbours must be told of, in a word; 0 when there is nobody to tell.
std::uint64_t fingerprint(const Walk& walk, const Attachment& attachment) noexcept {
    if (!attachment.open || walk.worker.team.is_down(attachment.port)) return 0;
    std::uint64_t hash = 0xcbf2'9ce4'8422'2325ULL;
    for (const std::uint64_t word :
         {attachment.mac.bits(), std::uint64_t{attachment.ipv4.value()}, attachment.ipv6.high(), attachment.ipv6.low(),
          attachment.link_local.high(), attachment.link_local.low(),
          std::uint64_t{attachment.port.value()} << 16 | attachment.vlan.value()})
        hash = (hash ^ word) * kPrime ^ hash >> 29;
    return hash | 1;
}

bool is_usable(Walk& walk, const Nexthop& nexthop) noexcept;

// A tunnel is, while it has an SA to seal with and its peer is reached.
bool is_usable(Walk& walk, TunnelId id) noexcept {
    const Tables& tables = walk.tables;
    if (id.index() >= tables.tunnels.size() || !tables.tunnels[id.index()].exists) return false;
    const Tunnel& tunnel = tables.tunnels[id.index()];
    const Associations* const associations = walk.worker.associations;
    if (associations == nullptr || associations->outbound(id) == nullptr) return false;
    if (!tables.attachments[tunnel.underlay.index()].open || tunnel.way == kNoNexthop) return false;
    const Nexthop& way = tables.nexthops[tunnel.way.index()];
    if (way.kind != Nexthop::Kind::group) return way.kind != Nexthop::Kind::tunnel && is_usable(walk, way);
    return tables.groups[way.group].in_use(tables.usable_members[way.group].load(std::memory_order_relaxed)) != 0;
}

bool is_usable(Walk& walk, const Nexthop& nexthop) noexcept {
    if (nexthop.kind == Nexthop::Kind::blackhole) return false;
    const Attachment& attachment = walk.tables.attachments[nexthop.attachment.index()];
    if (attachment.tunnel != TunnelId()) return attachment.open && is_usable(walk, attachment.tunnel);
    const bool reaches = attachment.open && !walk.worker.team.is_down(attachment.port);
    if (nexthop.kind == Nexthop::Kind::connected || !attachment.open) return reaches;
    Neighbours& neighbours = walk.worker.neighbours;
    const std::uint32_t neighbour = nexthop.family == Family::ipv4
                                        ? neighbours.find_or_add(nexthop.attachment, nexthop.gateway4)
                                        : neighbours.find_or_add(nexthop.attachment, nexthop.gateway6);
    if (neighbour == Neighbours::kNone) return reaches;
    neighbours.watch(neighbour, walk.now, walk.worker.resume[walk.origin.index()].room() > 0,
                     [&](const Neighbours::Question& question) noexcept { ask_neighbour(walk, question); });
    return reaches && !neighbours.is_gone(neighbour);
}

}  // namespace

void judge_nexthops(Walk& walk) noexcept {
    const Tables& tables = walk.tables;
    for (std::size_t g = 0; g < tables.groups.size(); ++g) {
        const NexthopGroup& group = tables.groups[g];
        unsigned usable = 0;
        for (std::size_t m = 0; m < group.size(); ++m)
            if (is_usable(walk, tables.nexthops[group.member(m).nexthop.index()])) usable |= 1U << m;
        tables.set_usable(g, static_cast<NexthopGroup::Usable>(usable));
    }
}

void announce(Walk& walk, AttachmentId id) noexcept {
    const Attachment& attachment = walk.tables.attachments[id.index()];
    if (attachment.serves_ipv4) send_arp_announcement(walk, id);
    if (!attachment.serves_ipv6) return;
    send_unsolicited_advertisement(walk, id, attachment.link_local);
    if (!attachment.ipv6.is_unspecified()) send_unsolicited_advertisement(walk, id, attachment.ipv6);
}

void announce_attachments(Walk& walk) noexcept {
    const std::uint64_t look = ++walk.worker.looks_at_lines;
    std::size_t told = 0;
    for (const AttachmentId line : walk.tables.lines) {
        Announced& each = walk.worker.announced[line];
        if (each.seen + 1 != look) each = {};  // it was away
        each.seen = look;
        const std::uint64_t now_is = fingerprint(walk, walk.tables.attachments[line.index()]);
        if (now_is != each.fingerprint) each = {now_is, walk.now, look, now_is == 0 ? std::uint8_t{0} : kAnnouncements};
        if (each.left == 0 || walk.now < each.next || told == kAnnouncedAtOnce) continue;
        ++told;
        --each.left;
        each.next = walk.now + kAnnounceInterval * walk.worker.tsc_hz;
        announce(walk, line);
    }
}

void claimed(Walk& walk, AttachmentId attachment, Conflicts::Which which, const MacAddress& by) noexcept {
    if (by == walk.tables.attachments[attachment.index()].mac) return;  // our own frame, come back by a loop
    if (!walk.worker.team.conflicts.note(attachment, which, by, walk.now)) return;
    const Attachment& own = walk.tables.attachments[attachment.index()];
    if (which == Conflicts::Which::ipv4)
        send_arp_announcement(walk, attachment);
    else
        send_unsolicited_advertisement(walk, attachment, which == Conflicts::Which::ipv6 ? own.ipv6 : own.link_local);
}

}  // namespace sekisho::dataplane
