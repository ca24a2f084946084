// Datagrams on both sides of the hub, and what to expect of their pieces: for the tests of fragments.
//
// `sent` is what a station of the standard policy sends, `delivered` the same translated, built from the beginning.
#pragma once

#include "tests/dataplane/support/ends.hpp"
#include "tests/dataplane/support/expect.hpp"
#include "tests/dataplane/support/pieces.hpp"
#include "tests/dataplane/support/test_hub.hpp"

namespace sekisho::test {

struct Datagram {
    std::string_view from, to;  // lines
    std::string_view next_hop;
    Bytes sent, delivered;

    Frame piece_sent(std::size_t begin, std::size_t end, bool more, std::uint32_t id = 0x1234) const {
        return carrying(piece(sent, begin, end, more, id));
    }
    Sent piece_delivered(const TestHub& hub, std::size_t begin, std::size_t end, bool more,
                         std::uint32_t id = 0x1234) const {
        return hub.by(to, carrying(piece(delivered, begin, end, more, id)).to(next_hop));
    }
};

inline Datagram datagram(std::string_view from, std::string_view to, std::string_view next_hop, Frame sent,
                         Frame delivered) {
    sent.dont_fragment(false);
    delivered.dont_fragment(false).ttl(63);
    return {from, to, next_hop, sent.ip(), delivered.ip()};
}
inline Datagram question(const Ends& ends, unsigned port = 53, std::size_t size = 2500) {
    return datagram("kita", "center", kPortal, udp(at(ends.client, 4000), at(ends.portal_hub, port)).payload(size),
                    udp(at(ends.client_hub, 4000), at(ends.portal, port)).payload(size));
}
inline Datagram answer(const Ends& ends, std::size_t size = 2500) {
    return datagram("center", "kita", kKitaGateway, udp(at(ends.portal, 53), at(ends.client_hub, 4000)).payload(size),
                    udp(at(ends.portal_hub, 53), at(ends.client, 4000)).payload(size));
}
inline Datagram segment(const Ends& ends) {
    return datagram("kita", "center", kPortal, tcp(at(ends.client, 4000), at(ends.portal_hub, 443)).ack().payload(2000),
                    tcp(at(ends.client_hub, 4000), at(ends.portal, 443)).ack().payload(2000));
}
inline Datagram ping(const Ends& ends) {
    return datagram("kita", "center", kPortal, echo_request(ends.client, ends.portal_hub).payload(2000),
                    echo_request(ends.client_hub, ends.portal).payload(2000));
}
inline Datagram any_protocol(const Ends& ends) {
    return datagram("kita", "center", kCenterGateway, packet(ends.client, ends.archive, 50, Bytes(2000, 0x5a)),
                    packet(ends.client_hub, ends.archive, 50, Bytes(2000, 0x5a)));
}

inline const std::vector<std::size_t> kCuts = {64, 1480};

inline std::vector<Frame> frames_of(const Datagram& datagram, const std::vector<std::size_t>& order) {
    const std::vector<Bytes> all = pieces(datagram.sent, kCuts);
    std::vector<Frame> frames;
    for (const std::size_t i : order) frames.push_back(carrying(all[i]));
    return frames;
}
inline Frames delivered_of(const TestHub& hub, const Datagram& datagram, const std::vector<std::size_t>& order) {
    const std::vector<Bytes> all = pieces(datagram.delivered, kCuts);
    Frames frames;
    for (const std::size_t i : order) frames.push_back(hub.by(datagram.to, carrying(all[i]).to(datagram.next_hop)));
    return frames;
}

inline void expect_to_wait(TestHub& hub, std::string_view line, const Frame& frame) {
    const std::uint64_t before = hub.held();
    hub.send(line, frame);
    CHECK(hub.left() == Frames{});
    CHECK(hub.drops() == Drops{});
    CHECK(hub.held() == before + 1);
}

}  // namespace sekisho::test
