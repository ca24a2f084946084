// Institutions behind a port block: what leaves, what comes back, and what does not; whole packets and the drop table.
#include "tests/dataplane/support/datagrams.hpp"
#include "tests/dataplane/support/shared.hpp"

using namespace sekisho;
using namespace sekisho::test;
using nat::PortProtocol;

TEST_CASE("behind: a question leaves with the shared address and a port of a block, and its answer comes back",
          "[path][behind]") {
    SharedHub hub;
    const std::uint16_t port = hub.port_for(question_of("10.0.5.7", 4000));
    CHECK(port >= 1024);
    CHECK(hub.left() == Frames{hub.by("center", udp(at(kShared, port), "192.168.9.9:53").ttl(63).to(kPortal))});
    CHECK(hub.ports().blocks_in_use() == 1);
    hub.send("center", udp("192.168.9.9:53", at(kShared, port)).payload(700));
    CHECK(
        hub.left() ==
        Frames{hub.by("kita", udp(at(kEnds4.portal_hub, 53), "10.0.5.7:4000").payload(700).ttl(63).to(kKitaGateway))});
    CHECK(hub.drops() == Drops{});
    // Its answer and no other.
    for (const Frame& other :
         {udp("192.168.9.9:54", at(kShared, port)), udp("192.168.9.8:53", at(kShared, port)),
          udp("192.168.9.9:53", at(kShared, port ^ 1)), tcp("192.168.9.9:53", at(kShared, port)).ack()})
        hub.refuses("center", other, DropReason::no_agreement);
    CHECK(hub.sessions() == 2);  // one, both directions
}

TEST_CASE("behind: TCP is opened by a SYN, and only what an agreement lets pass", "[path][behind]") {
    SharedHub hub;
    hub.refuses("kita", tcp("10.0.5.7:4000", at(kEnds4.portal_hub, 443)).ack(), DropReason::no_session);
    hub.refuses("kita", tcp("10.0.5.7:4000", at(kEnds4.portal_hub, 444)).syn(), DropReason::no_agreement);
    hub.refuses("kita", tcp("10.0.5.7:4000", at(kEnds4.minami_hub, 443)).syn(), DropReason::no_agreement);
    CHECK(hub.ports().blocks_in_use() == 0);
    hub.send("kita", tcp("10.0.5.7:4000", at(kEnds4.portal_hub, 443)).syn().options({2, 4, 0x05, 0xb4}));
    const std::uint16_t port = hub.port_of_left();
    CHECK(hub.left() ==
          Frames{
              hub.by("center",
                     tcp(at(kShared, port), "192.168.9.9:443").syn().options({2, 4, 0x05, 0xb4}).ttl(63).to(kPortal))});
    hub.passes("center", tcp("192.168.9.9:443", at(kShared, port)).syn().ack());
    hub.passes("kita", tcp("10.0.5.7:4000", at(kEnds4.portal_hub, 443)).ack());
    hub.refuses("center", tcp("192.168.9.9:443", at(kShared, port)).syn(), DropReason::not_a_reply);
    hub.passes("center", tcp("192.168.9.9:443", at(kShared, port)).fin().ack());
    hub.passes("kita", tcp("10.0.5.7:4000", at(kEnds4.portal_hub, 443)).fin().ack());
}

TEST_CASE("behind: simultaneous open works through a block", "[path][behind][conformance-54]") {
    SharedHub hub;
    const Frame forth = tcp("10.0.5.7:4000", at(kEnds4.portal_hub, 443));
    hub.send("kita", Frame(forth).syn());
    const Frame back = tcp("192.168.9.9:443", at(kShared, hub.port_of_left()));
    hub.passes("center", Frame(back).syn());
    hub.passes("kita", Frame(forth).syn().ack());
    hub.passes("center", Frame(back).syn().ack());
    hub.passes("kita", Frame(forth).ack());
}

TEST_CASE("behind: one endpoint has one port, whomever it speaks to, and one address for all protocols",
          "[path][behind][conformance-51][conformance-57]") {
    SharedHub hub;
    const std::uint16_t port = hub.port_for(question_of("10.0.5.7", 4000));
    CHECK(hub.port_for(udp("10.0.5.7:4000", at(kEnds4.archive, 99))) == port);
    CHECK(hub.port_for(question_of("10.0.5.7", 4001)) != port);
    CHECK(hub.port_for(question_of("10.0.6.7", 4000)) != port);
    hub.passes("kita", tcp("10.0.5.7:4000", at(kEnds4.portal_hub, 443)).syn());
    hub.port_of_left();
    hub.passes("kita", echo_request("10.0.5.7", kEnds4.portal_hub));
    CHECK(read(packet_in(hub.left().front().frame))->source == address(kShared));
    CHECK(hub.ports().subscribers() == 2);
}

TEST_CASE("behind: an echo has another identifier outside, and its reply the sender's again", "[path][behind]") {
    SharedHub hub;
    hub.send("kita", echo_request("10.0.5.7", kEnds4.portal_hub).payload(56));
    REQUIRE(hub.left().size() == 1);
    const Bytes left = packet_in(hub.left().front().frame);
    const unsigned id = get16(left, 24);
    CHECK(hub.left() ==
          Frames{hub.by(
              "center",
              echo_request(kShared, "192.168.9.9").rest_of_header(id << 16 | 1).payload(56).ttl(63).to(kPortal))});
    hub.send("center", echo_reply("192.168.9.9", kShared).rest_of_header(id << 16 | 1).payload(56));
    CHECK(hub.left() ==
          Frames{hub.by("kita", echo_reply(kEnds4.portal_hub, "10.0.5.7").payload(56).ttl(63).to(kKitaGateway))});
    hub.refuses("center", echo_reply("192.168.9.9", kShared).rest_of_header((id ^ 1) << 16 | 1),
                DropReason::no_agreement);
    hub.refuses("center", echo_request("192.168.9.9", kShared).rest_of_header(id << 16 | 1), DropReason::not_a_reply);
    hub.send("kita", icmp("10.0.5.7", kEnds4.portal_hub, 13));  // a timestamp request
    CHECK(hub.drops() == Drops{{DropReason::icmp_refused, 1}});
}

TEST_CASE("behind: what has no ports cannot pass, whatever the agreement says", "[path][behind]") {
    SharedHub hub;
    hub.refuses("kita", packet("10.0.5.7", kEnds4.archive, 50, Bytes(40, 0x5a)), DropReason::port_protocol);
    hub.refuses("center", packet(kEnds4.archive, kShared, 47, Bytes(40, 0x5a)), DropReason::port_protocol);
}

TEST_CASE("behind: a static map leads to its server, from others and from behind the same address",
          "[path][behind][conformance-55]") {
    SharedHub hub;
    // From another operator, by prefix map.
    hub.send("minami", tcp("10.0.0.7:4000", at(kShared, 8443)).syn());
    CHECK(hub.left() == Frames{hub.by("kita", tcp("100.64.16.7:4000", "10.0.5.9:443").syn().ttl(63).to(kKitaGateway))});
    hub.send("kita", tcp("10.0.5.9:443", "100.64.16.7:4000").syn().ack());
    CHECK(hub.left() ==
          Frames{hub.by("minami", tcp(at(kShared, 8443), "10.0.0.7:4000").syn().ack().ttl(63).to(kMinamiGateway))});
    CHECK(hub.ports().blocks_in_use() == 0);
    // Hairpinned: both are behind it, and each sees the other's outside endpoint (RFC 4787 REQ-9).
    hub.send("kita", tcp("10.0.6.7:4000", at(kShared, 8443)).syn());
    CHECK(hub.drops() == Drops{});
    const std::uint16_t port = hub.port_of_left();
    CHECK(hub.left() == Frames{hub.by("kita", tcp(at(kShared, port), "10.0.5.9:443").syn().ttl(63).to(kKitaGateway))});
    hub.send("kita", tcp("10.0.5.9:443", at(kShared, port)).syn().ack());
    CHECK(hub.left() ==
          Frames{hub.by("kita", tcp(at(kShared, 8443), "10.0.6.7:4000").syn().ack().ttl(63).to(kKitaGateway))});
    // Nobody else, nothing else.
    hub.refuses("center", tcp("192.168.9.9:4000", at(kShared, 8443)).syn(), DropReason::no_agreement);
    hub.refuses("minami", tcp("10.0.0.7:4000", at(kShared, 8444)).syn(), DropReason::no_agreement);
    hub.refuses("minami", udp("10.0.0.7:4000", at(kShared, 8443)), DropReason::no_agreement);
    hub.refuses("minami", tcp("10.0.0.8:4000", at(kShared, 8443)).ack(), DropReason::no_session);
}

TEST_CASE("behind: a server that opens itself has its static map's port", "[path][behind]") {
    Policy policy = shared_policy();
    policy.blocks[0].door(PortProtocol::udp, "100.64.9.1:5353", "10.0.5.9:53");
    SharedHub hub(policy);
    CHECK(hub.port_for(question_of("10.0.5.9", 53)) == 5353);
    CHECK(hub.ports().blocks_in_use() == 0);
    hub.passes("center", udp("192.168.9.9:53", at(kShared, 5353)));
}

TEST_CASE("behind: errors about what came from a block go back, translated outside and inside",
          "[path][behind][conformance-56]") {
    SharedHub hub;
    const std::uint16_t port = hub.port_for(question_of("10.0.5.7", 4000));
    const Frame delivered = udp(at(kShared, port), "192.168.9.9:53").ttl(60);
    const Frame sent = udp("10.0.5.7:4000", at(kEnds4.portal_hub, 53)).ttl(60);
    hub.send("center", icmp_error("192.168.9.9", kShared, 3, 3, delivered.ip()));
    CHECK(hub.drops() == Drops{});
    CHECK(hub.left() ==
          Frames{hub.by("kita", icmp_error(kEnds4.portal_hub, "10.0.5.7", 3, 3, sent.ip()).ttl(63).to(kKitaGateway))});
    // From a router that no map covers: traceroute, and path MTU discovery with eight bytes of the packet.
    hub.send("center", icmp_error("172.16.0.1", kShared, 11, 0, first(delivered.ip(), 28)));
    CHECK(hub.drops() == Drops{});
    CHECK(
        hub.left() ==
        Frames{hub.by(
            "kita", icmp_error(kEnds4.portal_hub, "10.0.5.7", 11, 0, first(sent.ip(), 28)).ttl(63).to(kKitaGateway))});
    // About what was never sent.
    hub.send("center", icmp_error("192.168.9.9", kShared, 3, 3, udp(at(kShared, port ^ 1), "192.168.9.9:53").ip()));
    CHECK(hub.drops() == Drops{{DropReason::icmp_error_unmatched, 1}});
    hub.send("center", icmp_error("192.168.9.9", kShared, 3, 3, udp(at(kShared, 8443), "192.168.9.9:53").ip()));
    CHECK(hub.drops() == Drops{{DropReason::icmp_error_unmatched, 1}});
}

TEST_CASE("behind: an error from behind a block is about what was delivered there, and has the shared address",
          "[path][behind][conformance-56]") {
    SharedHub hub;
    const std::uint16_t port = hub.port_for(question_of("10.0.5.7", 4000));
    hub.passes("center", udp("192.168.9.9:53", at(kShared, port)));
    const Frame delivered = udp(at(kEnds4.portal_hub, 53), "10.0.5.7:4000").ttl(60);
    const Frame sent = udp("192.168.9.9:53", at(kShared, port)).ttl(60);
    for (const char* reporter : {"10.0.5.7", "10.0.6.9", "10.0.200.1"}) {  // the host, a neighbour of its, a router
        hub.send("kita", icmp_error(reporter, kEnds4.portal_hub, 3, 3, delivered.ip()));
        CHECK(hub.drops() == Drops{});
        CHECK(hub.left() ==
              Frames{hub.by("center", icmp_error(kShared, "192.168.9.9", 3, 3, sent.ip()).ttl(63).to(kPortal))});
    }
    // About an echo, whose identifier is another outside.
    hub.send("kita", echo_request("10.0.5.7", kEnds4.portal_hub));
    const unsigned id = get16(packet_in(hub.left().front().frame), 24);
    const Frame reply_delivered = echo_reply(kEnds4.portal_hub, "10.0.5.7").ttl(60);
    const Frame reply_sent = echo_reply("192.168.9.9", kShared).rest_of_header(id << 16 | 1).ttl(60);
    hub.send("kita", icmp_error("10.0.5.7", kEnds4.portal_hub, 3, 1, reply_delivered.ip()));
    CHECK(hub.left() ==
          Frames{hub.by("center", icmp_error(kShared, "192.168.9.9", 3, 1, reply_sent.ip()).ttl(63).to(kPortal))});
    CHECK(hub.drops() == Drops{});
}

TEST_CASE("behind: fragments go by their first, in any order", "[path][behind][conformance-61]") {
    const std::vector<std::size_t> order = GENERATE(
        std::vector<std::size_t>{0, 1, 2}, std::vector<std::size_t>{2, 1, 0}, std::vector<std::size_t>{1, 0, 2});
    SharedHub hub;
    const std::uint16_t port = hub.port_for(question_of("10.0.5.7", 4000));
    const Datagram question =
        datagram("kita", "center", kPortal, udp("10.0.5.7:4000", at(kEnds4.portal_hub, 53)).payload(2500),
                 udp(at(kShared, port), "192.168.9.9:53").payload(2500));
    hub.send("kita", frames_of(question, order));
    CHECK(hub.drops() == Drops{});
    REQUIRE(hub.left().size() == 3);
    std::vector<Bytes> pieces;
    for (const Sent& sent : hub.left()) pieces.push_back(packet_in(sent.frame));
    CHECK(reassembled(pieces) == question.delivered);
    const Datagram answer =
        datagram("center", "kita", kKitaGateway, udp("192.168.9.9:53", at(kShared, port)).payload(2500),
                 udp(at(kEnds4.portal_hub, 53), "10.0.5.7:4000").payload(2500));
    hub.send("center", frames_of(answer, order));
    CHECK(hub.drops() == Drops{});
    pieces.clear();
    for (const Sent& sent : hub.left()) pieces.push_back(packet_in(sent.frame));
    CHECK(reassembled(pieces) == answer.delivered);
}

TEST_CASE("behind: over the quota, and in an empty pool, new sessions are counted drops, and those that are go on",
          "[path][behind][conformance-58]") {
    Policy policy = shared_policy();
    policy.blocks[0].quota(1);
    SharedHub hub(policy);
    std::vector<Frame> questions;
    for (unsigned port = 0; port < 300; ++port) questions.push_back(question_of("10.0.5.7", 20'000 + port));
    hub.send("kita", questions);
    CHECK(hub.drops() == Drops{{DropReason::port_quota_full, 300 - nat::kBlockPorts}});
    hub.passes("kita", question_of("10.0.5.7", 20'000));
    hub.passes("kita", question_of("10.0.5.8", 20'000));  // another host's quota is its own
    questions.clear();
    for (unsigned host = 0; host < 256; ++host)
        questions.push_back(question_of("10.0.6." + std::to_string(host), 20'000));
    hub.send("kita", questions);
    CHECK(hub.drops() == Drops{{DropReason::port_pool_full, 256 - 250}});  // of 252 blocks two are lent
    hub.passes("kita", question_of("10.0.5.7", 20'000));
    hub.passes("kita", question_of("10.0.6.7", 20'000));
}

TEST_CASE("behind: blocks are a host's or an institution's, as the policy says", "[path][behind]") {
    Policy policy = shared_policy();
    policy.blocks[0].quota(1).by_institution();
    SharedHub hub(policy);
    for (unsigned host = 1; host < 200; ++host) hub.passes("kita", question_of("10.0.5." + std::to_string(host), 4000));
    hub.passes("kita", question_of("10.0.6.1", 4000));
    CHECK(hub.ports().blocks_in_use() == 2);
    CHECK(hub.ports().subscribers() == 2);
}

TEST_CASE("behind: low ports get low ones, and parity is kept where it is asked for",
          "[path][behind][conformance-63]") {
    Policy policy = shared_policy();
    policy.blocks[0].rules.keeps_parity = true;
    SharedHub hub(policy);
    for (const unsigned port : {20'000U, 20'001U, 20'002U, 123U, 122U}) {
        const std::uint16_t outside = hub.port_for(question_of("10.0.5.7", port));
        CHECK(outside % 2 == port % 2);
        CHECK((outside < 1024) == (port < 1024));
    }
}
