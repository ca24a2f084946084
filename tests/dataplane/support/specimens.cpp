// Each kind of packet once, and what answers it.
#include "tests/dataplane/support/specimens.hpp"

#include "tests/dataplane/support/ends.hpp"
#include "tests/dataplane/support/frame.hpp"
#include "tests/dataplane/support/pieces.hpp"
#include "tests/dataplane/support/test_hub.hpp"

namespace sekisho::test {

std::vector<Specimen> specimens_of(const Policy& policy) {
    std::vector<Specimen> specimens;
    const auto add = [&](std::string_view name, Frame frame) {
        const std::size_t line = policy.line_index(name);
        if (!frame.has_destination()) frame.to(policy.lines[line].mac_address);
        if (policy.lines[line].vlan_id != 0) frame.vlan(policy.lines[line].vlan_id);
        specimens.push_back({line, frame.bytes()});
    };
    for (const Ends& ends : {kEnds4, kEnds6}) {
        const bool ipv4 = ends.family == Family::ipv4;
        const Frame question = udp(at(ends.client, 4000), at(ends.portal_hub, 53));
        const Frame segment = tcp(at(ends.client, 4000), at(ends.portal_hub, 443)).syn().payload(12);
        for (const std::string_view line : {"kita", "kita-backup", "minami"}) {
            add(line, question);
            add(line, segment);
        }
        add("kita", Frame(question).checksum(0));
        add("kita", ipv4 ? Frame(question).options({7, 7, 4, 0, 0, 0, 0, 1})
                         : Frame(question).hop_by_hop().routing(4, 0).destination_options(1));
        add("kita", echo_request(ends.client, ends.portal_hub));
        add("kita", packet(ends.client, ends.archive, 50, Bytes(30, 7)));
        add("center", udp(at(ends.portal, 53), at(ends.client_hub, 4000)));
        add("center", tcp(at(ends.portal, 443), at(ends.client_hub, 4000)).syn().ack().data_offset(6).payload(9));
        add("center", tcp(at(ends.archive, 9), at(ends.client_hub, 4000)).rst());
        add("center", echo_reply(ends.portal, ends.client_hub));
        const Bytes delivered = udp(at(ends.client_hub, 4000), at(ends.portal, 53)).ip();
        const Bytes answered = tcp(at(ends.portal_hub, 443), at(ends.client, 4000)).ack().payload(5).ip();
        for (const unsigned type : ipv4 ? std::vector<unsigned>{3, 4, 5, 11, 12} : std::vector<unsigned>{1, 2, 3, 4}) {
            add("center", icmp_error(ends.portal, ends.client_hub, type, 0, delivered));
            add("kita", icmp_error(ends.router, ends.portal_hub, type, 1, answered));
        }
        add("kita", echo_request(ends.client, ends.kita_hub));
        add("kita", tcp(at(ends.client, 4000), at(ends.kita_hub, 179)).syn());
        add("kita", Frame(question).ttl(1));
        const Bytes in_pieces = Frame(question).dont_fragment(false).payload(120).ip();
        for (const Bytes& part : pieces(in_pieces, {48, 96}, 7)) {
            add("kita", carrying(part));
            add("minami", carrying(part));
        }
        const Bytes answer =
            tcp(at(ends.portal, 443), at(ends.client_hub, 4000)).ack().dont_fragment(false).payload(90).ip();
        for (const Bytes& part : pieces(answer, {24, 64}, 8)) add("center", carrying(part));
    }
    add("kita", arp(1, {.sender_mac = kKitaGateway, .sender = "10.255.0.2", .target = "10.255.0.1"}));
    add("minami", arp(2, {.sender_mac = kMinamiGateway,
                          .sender = "10.255.0.2",
                          .target_mac = policy.line("minami").mac_address.text(),
                          .target = "10.255.0.1"}));
    add("kita", neighbour_solicitation("fd00:ffff::2", "ff02::1:ff00:1", "fd00:ffff::1", kKitaGateway));
    add("kita", neighbour_advertisement("fd00:ffff::2", "fd00:ffff::1", "fd00:ffff::2", kKitaGateway, 0x6000'0000));
    return specimens;
}

}  // namespace sekisho::test
