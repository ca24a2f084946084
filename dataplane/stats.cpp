// Sums of counters. Any thread, on its own copies.
#include "dataplane/stats.hpp"

#include <algorithm>

namespace sekisho::dataplane {

PortCounters& PortCounters::operator+=(const PortCounters& other) noexcept {
    received += other.received;
    received_bytes += other.received_bytes;
    made += other.made;
    sent += other.sent;
    punted += other.punted;
    consumed += other.consumed;
    held += other.held;
    for (std::size_t i = 0; i < dropped.size(); ++i) dropped[i] += other.dropped[i];
    transmitted += other.transmitted;
    transmitted_bytes += other.transmitted_bytes;
    not_made_rate += other.not_made_rate;
    not_made_buffer += other.not_made_buffer;
    return *this;
}

PortCounters Counters::node() const noexcept {
    PortCounters sum;
    for (const PortCounters& port : ports) sum += port;
    return sum;
}

Counters& Counters::operator+=(const Counters& other) {
    ports.resize(std::max(ports.size(), other.ports.size()));
    for (std::size_t i = 0; i < other.ports.size(); ++i) ports[i] += other.ports[i];
    for (std::size_t i = 0; i < stages.size(); ++i) {
        stages[i].packets += other.stages[i].packets;
        stages[i].bursts += other.stages[i].bursts;
        stages[i].timed_packets += other.stages[i].timed_packets;
        stages[i].timed_cycles += other.stages[i].timed_cycles;
    }
    walks += other.walks;
    polls += other.polls;
    empty_polls += other.empty_polls;
    busy_cycles += other.busy_cycles;
    handed_over += other.handed_over;
    handed_in += other.handed_in;
    sessions += other.sessions;
    sessions_opened += other.sessions_opened;
    tsc_hz = std::max(tsc_hz, other.tsc_hz);
    return *this;
}

}  // namespace sekisho::dataplane
