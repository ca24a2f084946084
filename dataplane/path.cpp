// THE PATH: the stages in packet order. Lanes only flow down; what must go up, a reply that we make, waits for the next
// walk.
//
//   received ─▶ (spread) ─┐
//   handed in: parse ─────┴─▶ parse ─┬─▶ local ─▶ (answers wait for the next walk)
//                                    ├─▶ admit ────────┬─▶ fit ─▶ translate ─┬─▶ depart ─┬─▶ transmit
//                                    └─▶ admit_errors ─┘                     │           │
//   resumed; handed in: depart ────────────────────────────▶ route_back ─────┘           │
//   handed in: transmit ─────────────────────────────────────────────────────────────────┘
//
// A packet that leaves this drawing was counted: dropped by its reason, consumed, held for a neighbour, or handed over
// to another worker (spread; local and depart, what is the keeper's; transmit, where the port has too few queues).
// Spreading and transmitting, and what is handed in, are the worker's: worker.cpp.
#include "dataplane/path.hpp"

#include "dataplane/run.hpp"
#include "dataplane/stages.hpp"

namespace sekisho::dataplane {
namespace {

// Stages 4 to 6, the same for both families.
template <class Address>
void forward(Walk& walk, const Lane& packets, const Lane& errors, Lane& leaving) noexcept {
    Lane admitted;
    run<Stage::admit>(walk, packets, [&] { admit<Address>(walk, packets, admitted); });
    run<Stage::admit_errors>(walk, errors, [&] { admit_errors<Address>(walk, errors, admitted); });
    Lane fitting;
    run<Stage::fit>(walk, admitted, [&] { fit<Address>(walk, admitted, fitting); });
    run<Stage::translate>(walk, fitting, [&] { translate<Address>(walk, fitting); });
    for (const std::size_t i : fitting) leaving.add(i);
}

// What waited: our own replies still need their way back, the rest only its Ethernet header.
void resume(Walk& walk, Lane& leaving) noexcept {
    Lane returning;
    for (std::size_t i = walk.received; i < walk.count; ++i)
        if (walk.packets[i].is(Packet::kReturn))
            returning.add(i);
        else
            leaving.add(i);
    if (!returning.empty()) route_back(walk, returning, leaving);
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
    Lane to_hub, ipv4, ipv6, errors4, errors6, leaving;
    run<Stage::parse>(walk, walk.received, [&] { parse(walk, {to_hub, ipv4, ipv6, errors4, errors6}); });
    run<Stage::local>(walk, to_hub, [&] { local(walk, to_hub); });
    resume(walk, leaving);  // first: what waited for a neighbour came before what was received now
    forward<Ipv4Address>(walk, ipv4, errors4, leaving);
    forward<Ipv6Address>(walk, ipv6, errors6, leaving);
    run<Stage::depart>(walk, leaving, [&] { depart(walk, leaving); });
    walk.free_dropped();
}

}  // namespace sekisho::dataplane
