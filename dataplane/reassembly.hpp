// ESP for the hub that comes in fragments: put together in one buffer before it is opened (RFC 4303 §3.4.1).
//
// A worker's own, and bounded: so many datagrams, for a short time, none longer than a buffer. All fragments of a
// datagram come to one worker (spread.hpp). A fragment's bytes are copied and the fragment is consumed; what is being
// put together is a packet that the hub made and holds. No byte is taken twice: a datagram whose fragments contradict
// each other is lost (RFC 5722). A full set of places gives up its oldest: fragments can be sent by anybody, and what
// is opened in the end must be authentic all the same.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "dataplane/coverage.hpp"
#include "dataplane/packet.hpp"
#include "net/address.hpp"
#include "net/drop_reason.hpp"
#include "net/ids.hpp"

namespace sekisho::dataplane {

class Reassembly {
  public:
    static constexpr std::size_t kSets = 64;  // a datagram has one, by its key
    static constexpr std::size_t kWays = 4;   // so many at a time in each
    static constexpr unsigned kSeconds =
        2;  // since the first that came; IP's own limit is a minute, ESP's packets are younger

    struct Key {
        Ipv6Address source;  // IPv4 as ::ffff:a.b.c.d
        Ipv6Address destination;
        std::uint32_t identification = 0;
        AttachmentId attachment;
        PortId origin;
        std::uint8_t protocol = 0;
        bool ipv6 = false;
        friend bool operator==(const Key&, const Key&) noexcept = default;
    };
    enum class State : std::uint8_t {
        none,
        gathering,
        refused,    // whatever else comes is dropped for `reason`
        of_kernel,  // no ESP: its fragments are the kernel's
    };
    struct Datagram {
        Key key;
        State state = State::none;
        DropReason reason{};
        std::uint8_t ecn_seen = 0;      // a bit for each value of it
        std::uint16_t link_length = 0;  // of the first fragment, once it came: its Ethernet header
        std::uint16_t ip_length = 0;    // and its IP header, which lies before the payload
        std::uint16_t end = 0;          // of the payload, once the last one came
        rte_mbuf* mbuf = nullptr;       // while it is gathering
        Coverage coverage;
        std::uint64_t until = 0;  // TSC

        bool has_first() const noexcept { return ip_length != 0; }
    };

    explicit Reassembly(std::uint64_t tsc_hz);

    Datagram* find(const Key& key) noexcept;
    // A new one without a buffer, in the place of the oldest of its set if that is full; then `evicted(Datagram&)` is
    // called first, and takes its buffer.
    template <class Evicted>
    Datagram& add(const Key& key, std::uint64_t now, Evicted&& evicted) noexcept {
        Datagram& place = place_for(key);
        if (place.state == State::gathering) evicted(place);
        place = Datagram();
        place.key = key;
        place.state = State::gathering;
        place.until = now + kSeconds * tsc_hz_;
        ++count_;
        return place;
    }
    void forget(Datagram& datagram) noexcept {
        datagram.state = State::none;
        --count_;
    }
    // Forgets those whose time is over; with `now` the end of time, all. `late(Datagram&)` takes the buffers of those
    // that were gathering.
    template <class Late>
    void expire(std::uint64_t now, Late&& late) noexcept {
        if (count_ == 0) return;
        for (std::size_t i = 0; i < kSets * kWays; ++i) {
            Datagram& datagram = datagrams_[i];
            if (datagram.state == State::none || datagram.until > now) continue;
            if (datagram.state == State::gathering) late(datagram);
            forget(datagram);
        }
    }

  private:
    Datagram* set_of(const Key& key) noexcept;
    Datagram& place_for(const Key& key) noexcept;

    std::uint64_t tsc_hz_;
    std::uint64_t seed_;  // so that nobody can choose identifications that meet in one set
    std::size_t count_ = 0;
    std::unique_ptr<Datagram[]> datagrams_;
};

}  // namespace sekisho::dataplane
