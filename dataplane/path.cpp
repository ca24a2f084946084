// THE PATH: the stages in packet order. Lanes only flow down; what must go up, a reply that we make, waits for the next
// walk.
//
//   received ─▶ (spread) ─┐
//   handed in: parse ─────┴─▶ parse ─┬─▶ reassemble ─▶ (ESP in fragments: what is whole is parsed, and opened beside
//   the others)
//                                    ├─▶ open ─▶ (ESP: what was in it is parsed, and goes on beside the others)
//   handed in: opened ───────────────┼─▶ local ─▶ (answers wait for the next walk)
//                                    ├─▶ follow ─┐ (later fragments wait for their first)
//   resumed ─▶ (fragments) ──────────┼───────────┴─▶ recognise ─▶ (of a flow admitted lately: on to seal or depart)
//                                    │                  └▶ admit ──┬─▶ fit ─▶ translate ─┬─▶ seal ─┐ (by a tunnel)
//                                    │                     └▶ recall ┤ (of a session)    │         │
//                                    └─▶ admit_errors ─────────────┘                     ├─────────┴▶ depart ▶ transmit
//   resumed ─▶ (our own replies) ─▶ route_back ──────────────────────────────────────────┤                   │
//   handed in: depart ───────────────────────────────────────────────────────────────────┘                   │
//   handed in: transmit ─────────────────────────────────────────────────────────────────────────────────────┘
//
// A packet that leaves this drawing was counted: dropped by its reason, consumed, held for a neighbour, or handed over
// to another worker (spread; recall, what is of another's session; local and depart, what is the keeper's; transmit,
// where the port has too few queues). Spreading and transmitting, and what is handed in, are the worker's: worker.cpp.
#include "dataplane/path.hpp"

#include "dataplane/run.hpp"
#include "dataplane/stages.hpp"

namespace sekisho::dataplane {
namespace {

struct Leaving {
    Lane& whole;
    Lane& in_fragments;
    Lane& tunnelled;  // whole or not
};

// Stages 4 to 6 for those that no cache knows, or where there is none.
template <class Address>
void forward_strangers(Walk& walk, const Lane& packets, const Lane& errors, Leaving leaving, bool learns) noexcept {
    Lane admitted, unsettled, settled;
    run<Stage::admit>(walk, packets, [&] { admit<Address>(walk, packets, {admitted, unsettled}); });
    Lane behind, too_long, tunnelled;
    const bool is_first = leaving.whole.empty();  // nothing to be put behind of
    Lane& fitting = is_first ? leaving.whole : behind;
    const FitOut fit_out{fitting, too_long, tunnelled};
    run<Stage::fit>(walk, admitted, [&] { fit<Address>(walk, admitted, fit_out); });
    if (learns) {
        run<Stage::remember>(walk, fitting, [&] { remember<Address>(walk, fitting); });
        run<Stage::remember>(walk, tunnelled, [&] { remember<Address>(walk, tunnelled); });
    }
    run<Stage::recall>(walk, unsettled, [&] { recall<Address>(walk, unsettled, settled); });
    run<Stage::admit_errors>(walk, errors, [&] { admit_errors<Address>(walk, errors, settled); });
    run<Stage::fit>(walk, settled, [&] { fit<Address>(walk, settled, fit_out); });
    run<Stage::translate>(walk, fitting, [&] { translate<Address>(walk, fitting); });
    run<Stage::translate>(walk, too_long, [&] { translate<Address>(walk, too_long); });
    run<Stage::translate>(walk, tunnelled, [&] { translate<Address>(walk, tunnelled); });
    for (const std::size_t i : behind) leaving.whole.add(i);
    for (const std::size_t i : too_long) leaving.in_fragments.add(i);
    for (const std::size_t i : tunnelled) leaving.tunnelled.add(i);
}

// Stages 4 to 6, the same for both families.
template <class Address>
void forward(Walk& walk, const Lane& packets, const Lane& errors, Leaving leaving) noexcept {
    FlowCache* const cache = walk.worker.flow_cache.get();
    if (cache == nullptr || !cache->of<Address>().worth.ask(packets.size()))
        return forward_strangers<Address>(walk, packets, errors, leaving, false);
    Lane strangers;
    run<Stage::recognise>(walk, packets, [&] {
        recognise<Address>(walk, packets, {leaving.whole, leaving.tunnelled, strangers});
    });
    forward_strangers<Address>(walk, strangers, errors, leaving, true);
}

// A fragment that has its first one now is still to be admitted, by an attachment that another generation may have
// closed or given away.
void resume_fragment(Walk& walk, std::size_t i, Lane& ipv4, Lane& ipv6) noexcept {
    Packet& packet = walk.packets[i];
    packet.unmark(Packet::kFollowing);
    const auto& attachments = walk.tables.attachments;
    if (packet.attachment.index() >= attachments.size()) return walk.drop(i, DropReason::attachment_closed);
    const Attachment& attachment = attachments[packet.attachment.index()];
    if (!attachment.open || attachment.vrf != packet.vrf) return walk.drop(i, DropReason::attachment_closed);
    const bool is_ipv6 = packet.is(Packet::kIpv6);
    if (!(is_ipv6 ? attachment.serves_ipv6 : attachment.serves_ipv4))
        return walk.drop(i, DropReason::family_not_served);
    (is_ipv6 ? ipv6 : ipv4).add(i);
}

// What waited: our own replies still need their way back, fragments a verdict, the rest only its Ethernet header.
void resume(Walk& walk, Lane& ipv4, Lane& ipv6, Leaving leaving) noexcept {
    Lane returning;
    for (std::size_t i = walk.received; i < walk.count; ++i)
        if (walk.packets[i].is(Packet::kReturn))
            returning.add(i);
        else if (walk.packets[i].is(Packet::kFollowing))
            resume_fragment(walk, i, ipv4, ipv6);
        else if (walk.packets[i].is(Packet::kTooLong))
            leaving.in_fragments.add(i);
        else
            leaving.whole.add(i);
    if (!returning.empty()) route_back(walk, returning, leaving.whole, leaving.tunnelled);
}

}  // namespace

void take_resumed(Walk& walk) noexcept {
    ResumeQueue& queue = walk.worker.resume[walk.origin.index()];
    walk.count = walk.received;
    while (walk.count < walk.received + kResumed && queue.pop(walk.packets[walk.count])) {
        --walk.account.held;
        ++walk.count;
    }
}

void walk_path(Walk& walk) noexcept {
    ++walk.worker.walk_number;
    Lane outer_fragments, esp, to_hub, ipv4, ipv6, errors4, errors6, fragments4, fragments6, whole, in_fragments,
        tunnelled;
    const ParseOut parsed{outer_fragments, esp, to_hub, ipv4, ipv6, errors4, errors6, fragments4, fragments6};
    const Leaving leaving{whole, in_fragments, tunnelled};
    if (walk.worker.flow_cache) walk.worker.flow_cache->begin(walk.tables);
    run<Stage::parse>(walk, walk.received, [&] { walk.opened ? parse_opened(walk, parsed) : parse(walk, parsed); });
    run<Stage::reassemble>(walk, outer_fragments, [&] { reassemble(walk, outer_fragments, parsed); });
    run<Stage::open>(walk, esp, [&] { open(walk, esp, parsed); });
    run<Stage::local>(walk, to_hub, [&] { local(walk, to_hub); });
    resume(walk, ipv4, ipv6, leaving);  // first: what waited for a neighbour came before what was received now
    run<Stage::fragments>(walk, fragments4, [&] { follow<Ipv4Address>(walk, fragments4, ipv4); });
    run<Stage::fragments>(walk, fragments6, [&] { follow<Ipv6Address>(walk, fragments6, ipv6); });
    forward<Ipv4Address>(walk, ipv4, errors4, leaving);
    forward<Ipv6Address>(walk, ipv6, errors6, leaving);
    run<Stage::seal>(walk, tunnelled, [&] { seal(walk, tunnelled, whole); });
    run<Stage::depart>(walk, whole, [&] { depart(walk, whole); });
    run<Stage::depart>(walk, in_fragments, [&] { depart_in_fragments(walk, in_fragments); });
    walk.free_dropped();
}

}  // namespace sekisho::dataplane
