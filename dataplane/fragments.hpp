// The datagrams that come in fragments: what their first one said of L4, and the later ones that came before it.
//
// The hub forwards fragments as fragments. Only the first has ports, flags or a type, so what an agreement asks about
// is kept here, for a short time and in bounded number, under (attachment, VRF, source, destination, identification,
// and for IPv4 the protocol). It keeps what the first one said and never a verdict or a row: whoever follows is judged
// by the tables of its own walk. Written and read by one worker.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "dataplane/by_number.hpp"
#include "dataplane/coverage.hpp"
#include "dataplane/packet.hpp"
#include "net/address.hpp"
#include "net/drop_reason.hpp"
#include "net/ids.hpp"

namespace sekisho::dataplane {

// Where a fragment lies in its datagram, as parse read it.
struct FragmentPlace {
    std::uint32_t identification = 0;
    std::uint16_t begin = 0;  // bytes of the fragmentable part
    std::uint16_t end = 0;
    bool last = false;
};

class Fragments {
  public:
    static constexpr std::size_t kDatagrams = 4096;
    static constexpr std::size_t kDatagramsPerAttachment = 1024;
    static constexpr std::size_t kHeld = 1024;
    static constexpr std::size_t kHeldPerAttachment = 256;
    static constexpr unsigned kSecondsForFirst = 1;   // since the first of those that wait for it came
    static constexpr unsigned kSecondsForOthers = 2;  // since the latest came

    struct Key {
        Ipv6Address source;  // IPv4 as ::ffff:a.b.c.d
        Ipv6Address destination;
        std::uint32_t identification = 0;
        AttachmentId attachment;
        VrfId vrf;
        std::uint8_t protocol = 0;  // IPv4 only (RFC 791 §3.2; RFC 8200 §4.5)
        friend bool operator==(const Key&, const Key&) noexcept = default;
    };
    enum class State : std::uint8_t {
        waiting,  // the first one has not come
        known,    // it has
        refused,  // whatever else comes is dropped for `reason`
    };
    struct Datagram {
        Key key;
        Coverage coverage;
        State state = State::waiting;
        DropReason reason{};  // refused
        // What the first one said: known.
        std::uint8_t protocol = 0;
        std::uint8_t l4_type = 0;
        bool l4_known = false;
        L4Port source_port;
        L4Port destination_port;

      private:
        friend class Fragments;
        std::uint64_t until = 0;  // TSC
        std::uint32_t held_first = kNone, held_last = kNone;
        std::uint32_t next_in_bucket = kNone;
        std::uint32_t before = kNone, behind = kNone;  // in its queue, by `until`
    };
    struct Held {
        Packet packet;
        PortId origin;  // whose account it is on

      private:
        friend class Fragments;
        std::uint32_t next = kNone;
    };

    explicit Fragments(std::uint64_t tsc_hz);

    Datagram* find(const Key& key) noexcept;
    // A new one, which waits for its first. Null when the attachment, or the table, has as many as it may.
    Datagram* add(const Key& key, std::uint64_t now) noexcept;
    // Its first one has come, or it was refused, or another one followed: it is kept a while longer.
    void settle(Datagram& datagram, State state, std::uint64_t now) noexcept;
    // Forgets it. Nothing may be held for it.
    void forget(Datagram& datagram) noexcept;

    bool may_hold(AttachmentId attachment) const noexcept {
        return free_held_ != kNone && held_count_[attachment] < kHeldPerAttachment;
    }
    // Takes the packet over; may_hold() has said that there is room.
    void hold(Datagram& datagram, const Packet& packet, PortId origin) noexcept;
    // Hands all that is held for it to `take(Held&)`, in order of arrival.
    template <class Take>
    void release(Datagram& datagram, Take&& take) noexcept {
        while (datagram.held_first != kNone) {
            Held& held = held_[datagram.held_first];
            take(held);
            const std::uint32_t number = datagram.held_first;
            datagram.held_first = held.next;
            --held_count_[datagram.key.attachment];
            held.next = free_held_;
            free_held_ = number;
        }
        datagram.held_last = kNone;
    }

    // Forgets the datagrams whose time is over, and hands what was held for them to `drop(Held&)`.
    template <class Drop>
    void expire(std::uint64_t now, Drop&& drop) noexcept {
        for (Queue* const queue : {&waiting_, &settled_})
            while (queue->first != kNone && datagrams_[queue->first].until <= now) give_up(*queue, drop);
    }
    // Forgets all of them: the hub stops.
    template <class Drop>
    void drop_all(Drop&& drop) noexcept {
        for (Queue* const queue : {&waiting_, &settled_})
            while (queue->first != kNone) give_up(*queue, drop);
    }

  private:
    static constexpr std::uint32_t kNone = 0xffff'ffffU;
    struct Queue {  // of datagrams, the one whose time is over first in front
        std::uint32_t first = kNone;
        std::uint32_t last = kNone;
    };

    template <class Drop>
    void give_up(Queue& queue, Drop&& drop) noexcept {
        Datagram& datagram = datagrams_[queue.first];
        release(datagram, drop);
        forget(datagram);
    }
    std::uint32_t number_of(const Datagram& datagram) const noexcept {
        return static_cast<std::uint32_t>(&datagram - datagrams_.get());
    }
    std::size_t bucket_of(const Key& key) const noexcept;
    Queue& queue_of(const Datagram& datagram) noexcept {
        return datagram.state == State::waiting ? waiting_ : settled_;
    }
    void enqueue(Datagram& datagram, std::uint64_t until) noexcept;
    void dequeue(Datagram& datagram) noexcept;

    std::uint64_t tsc_hz_;
    std::uint64_t seed_;  // so that nobody can choose identifications that meet in one bucket
    std::unique_ptr<Datagram[]> datagrams_;
    std::unique_ptr<Held[]> held_;
    std::vector<std::uint32_t> buckets_;   // the first datagram, or kNone; a power of two
    std::uint32_t free_datagram_ = kNone;  // linked by next_in_bucket
    std::uint32_t free_held_ = kNone;      // linked by next
    ByAttachment<std::uint16_t> datagram_count_;
    ByAttachment<std::uint16_t> held_count_;
    Queue waiting_, settled_;
};

}  // namespace sekisho::dataplane
