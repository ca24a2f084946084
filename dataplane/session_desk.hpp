// What control asks of a worker's sessions, and how: shows those that match, or ends them.
//
// A worker's tables are its own. Control lays an order on the worker's desk; the worker works on it between two rounds,
// a few buckets at a time, and says when it is done. So nobody waits, a round costs some tens of microseconds more
// while an order is there, and an answer is no larger than the room that control made for it. Sessions that are opened
// meanwhile may be missed, and one that the table moves may be met twice or not at all.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <vector>

#include "dataplane/tables.hpp"
#include "dataplane/tracker.hpp"
#include "net/prefix.hpp"

namespace sekisho::dataplane {

// Which sessions: those that are all that is said.
struct SessionFilter {
    std::optional<VrfId> vrf;                // an end is of this operator
    std::optional<AttachmentId> attachment;  // an end's institution may use it
    std::optional<IpAddress> address;        // an end has it, in hub space or in its operator's
    std::optional<std::uint16_t> port;       // an end has it, here or there
    std::optional<std::uint8_t> protocol;
    std::optional<nat::TcpState> state;  // of TCP
};

struct SessionEnd {
    IpAddress inside = Ipv4Address();  // in its operator's space
    IpAddress hub = Ipv4Address();
    std::uint16_t inside_port = 0;
    std::uint16_t hub_port = 0;
    bool known = false;  // what follows, and `inside`; false: these tables know nobody there
    VrfId vrf;
    InstitutionId institution;
    AttachmentSets::Name attachments = AttachmentSets::kNone;  // that it may use
};

struct SessionInfo {
    SessionEnd client, service;
    std::uint8_t protocol = 0;
    nat::TcpState state = nat::TcpState::none;
    bool replied = false;
    std::uint64_t packets = 0, bytes = 0;  // both directions; packets modulo 2^32 each
    std::uint32_t idle = 0;                // seconds since the latest packet
    std::uint32_t left = 0;                // seconds until it ends if none comes
};

struct SessionOrder {
    SessionFilter filter;
    bool ends = false;       // those that match are ended, and not shown
    std::size_t most = 100;  // are shown of each worker
};
struct SessionAnswer {
    std::vector<SessionInfo> sessions;
    std::uint64_t matching = 0;  // all of them
};

// A session's two ends, by these tables.
template <class Record>
SessionInfo info_of(const Tables& tables, const nat::Sessions<Record>& sessions, nat::Slot slot,
                    std::uint32_t now) noexcept;
bool matches(const Tables& tables, const SessionFilter& filter, const SessionInfo& info) noexcept;

class SessionDesk {
  public:
    static constexpr std::size_t kMost = 1000;

    // Control: false while the last order is still worked on.
    bool put(const SessionOrder& order);
    // Control: the answer to the last order; nullptr while there is none. Good until the next put().
    const SessionAnswer* take() const noexcept {
        return answered_.load(std::memory_order_acquire) == asked_.load(std::memory_order_relaxed) ? &answer_ : nullptr;
    }

    // Worker, between walks: works on for a while if there is an order. `end(slot)` ends a session of the tracker's
    // table of that family.
    bool has_work() const noexcept {
        return asked_.load(std::memory_order_acquire) != answered_.load(std::memory_order_relaxed);
    }
    template <class End>
    void work(Tracker& tracker, const Tables& tables, std::uint32_t now, End&& end) noexcept {
        if (!look<Ipv4Address>(tracker, tables, now, end)) return;
        if (!look<Ipv6Address>(tracker, tables, now, end)) return;
        family_ = Family::ipv4;
        answered_.store(asked_.load(std::memory_order_relaxed), std::memory_order_release);
    }

  private:
    static constexpr std::uint32_t kBucketsAtOnce = 16;  // 500 records at most

    // True when all of this family's table was looked at, now or before.
    template <class Address, class End>
    bool look(Tracker& tracker, const Tables& tables, std::uint32_t now, End&& end) noexcept {
        if (family_ != Address::kFamily) return true;
        auto& sessions = tracker.of<Address>();
        const std::uint32_t last = std::min(sessions.buckets(), bucket_ + kBucketsAtOnce);
        for (; bucket_ < last; ++bucket_)
            sessions.for_each_in(bucket_, [&](nat::Slot slot) noexcept {
                if (sessions[slot].core.is(nat::SessionMarks::kReverse)) return;  // its twin tells of both
                if (!may_match(sessions[slot].key, sessions[slot].core)) return;
                const SessionInfo info = info_of(tables, sessions, slot, now);
                if (!matches(tables, order_.filter, info)) return;
                ++answer_.matching;
                if (order_.ends)
                    end(slot, Address());
                else if (answer_.sessions.size() < order_.most)
                    answer_.sessions.push_back(info);  // there is room: see put()
            });
        if (bucket_ < sessions.buckets()) return false;
        bucket_ = 0;
        if constexpr (Address::kFamily == Family::ipv4) {
            family_ = Family::ipv6;
            return false;  // a table a round
        }
        return true;
    }
    // What the record alone tells: most are settled by it.
    template <class Key>
    bool may_match(const Key& key, const nat::SessionCore& core) const noexcept {
        const SessionFilter& filter = order_.filter;
        if (filter.protocol && *filter.protocol != key.protocol) return false;
        if (filter.state && (key.protocol != kProtocolTcp || core.state != *filter.state)) return false;
        return true;
    }

    // Control writes the order and empties the answer while there is no work; the worker does the rest while there is.
    SessionOrder order_;
    SessionAnswer answer_;
    Family family_ = Family::ipv4;  // how far the worker is
    std::uint32_t bucket_ = 0;
    std::atomic<std::uint64_t> asked_{0};     // control writes
    std::atomic<std::uint64_t> answered_{0};  // the worker writes
};

}  // namespace sekisho::dataplane
