// Who may open to a port that is lent: RFC 4787 §5's three kinds of filtering, within what agreements let pass.
#include "tests/dataplane/support/shared.hpp"

using namespace sekisho;
using namespace sekisho::test;
using nat::Filtering;

namespace {

// Where the portal and the archive may open to the office behind the block, at any port that is lent; and it to both.
Policy filtering_policy(Filtering filtering) {
    Policy policy = shared_policy();
    for (const char* client : {"portal", "archive"}) {
        policy.agreement(client, "office").udp(1024, 65535).tracked();
        policy.agreement(client, "office").tcp(1024, 65535).tracked();
    }
    policy.agreement("office", "archive").udp(99).tracked();
    policy.blocks[0].rules.filtering = filtering;
    return policy;
}

struct FilteringHub : SharedHub {
    explicit FilteringHub(Filtering filtering) : FilteringHub(filtering_policy(filtering)) {}
    explicit FilteringHub(const Policy& policy) : SharedHub(policy) {}

    // Dropped, and its sender hears nothing (RFC 5382 REQ-4).
    void filters(const Frame& frame) {
        send("center", frame);
        CHECK(drops() == Drops{{DropReason::port_filtered, 1}});
        CHECK(left().empty());
    }
};

}  // namespace

TEST_CASE("filtering: independent of endpoints, any client of an agreement opens to a port that is lent",
          "[path][behind]") {
    FilteringHub hub(Filtering::endpoint_independent);
    const std::uint16_t port = hub.port_for(question_of("10.0.6.7", 4000));
    for (const char* peer : {"192.168.9.9:5000", "192.168.9.8:53", "100.64.3.8:99"})
        hub.passes("center", udp(peer, at(kShared, port)));
    // Both ways, as its session says.
    hub.send("center", udp("192.168.9.9:5001", at(kShared, port)).payload(40));
    CHECK(
        hub.left() ==
        Frames{hub.by("kita", udp(at(kEnds4.portal_hub, 5001), "10.0.6.7:4000").payload(40).ttl(63).to(kKitaGateway))});
    hub.send("kita", udp("10.0.6.7:4000", at(kEnds4.portal_hub, 5001)));
    CHECK(hub.left() == Frames{hub.by("center", udp(at(kShared, port), "192.168.9.9:5001").ttl(63).to(kPortal))});
    CHECK(hub.drops() == Drops{});
    // Agreements decide who may speak at all, and nobody is at a port that is not lent.
    hub.refuses("minami", udp("10.0.0.7:5000", at(kShared, port)), DropReason::no_agreement);
    hub.refuses("center", udp("192.168.9.9:5000", at(kShared, port ^ 1)), DropReason::no_agreement);
    hub.refuses("center", tcp("192.168.9.9:5000", at(kShared, port)).syn(), DropReason::no_agreement);
    hub.refuses("center", echo_request("192.168.9.9", kShared).rest_of_header(std::uint32_t{port} << 16),
                DropReason::no_agreement);
}

TEST_CASE("filtering: a connection is opened to a lent port by a SYN, and keeps the port while it lives",
          "[path][behind]") {
    FilteringHub hub(Filtering::endpoint_independent);
    hub.passes("kita", tcp("10.0.6.7:4000", at(kEnds4.portal_hub, 443)).syn());
    const std::uint16_t port = hub.port_of_left();
    const Frame forth = tcp("192.168.9.8:5000", at(kShared, port));
    const Frame back = tcp("10.0.6.7:4000", at("100.64.2.8", 5000));
    hub.refuses("center", Frame(forth).ack(), DropReason::no_session);
    hub.passes("center", Frame(forth).syn());
    hub.send("kita", Frame(back).syn().ack());
    CHECK(hub.drops() == Drops{});  // left() is a question for the neighbour
    hub.passes("center", Frame(forth).ack());
    hub.wait(250);  // the SYN that nobody answered is over
    CHECK(hub.sessions() == 2);
    CHECK(hub.ports().blocks_in_use() == 1);
    hub.know("kita", kEnds4.kita_gateway, kKitaGateway);
    hub.passes("center", Frame(forth).ack());
    CHECK(hub.left() == Frames{hub.by("kita", tcp("100.64.2.8:5000", "10.0.6.7:4000").ack().ttl(63).to(kKitaGateway))});
    hub.wait(7500);
    CHECK(hub.sessions() == 0);
    CHECK(hub.ports().blocks_in_use() == 0);
}

TEST_CASE("filtering: dependent on addresses, whom the port has a session with opens from any port, and nobody else",
          "[path][behind]") {
    FilteringHub hub(Filtering::address_dependent);
    const std::uint16_t port = hub.port_for(question_of("10.0.6.7", 4000));
    hub.passes("center", udp("192.168.9.9:5000", at(kShared, port)));
    hub.filters(udp("192.168.9.8:5000", at(kShared, port)));
    hub.filters(udp("100.64.3.8:99", at(kShared, port)));
    // Another endpoint's session is not this one's.
    const std::uint16_t other = hub.port_for(udp("10.0.6.7:4001", at(kEnds4.archive, 99)));
    hub.filters(udp("100.64.3.8:5000", at(kShared, port)));
    hub.passes("center", udp("100.64.3.8:5000", at(kShared, other)));
    hub.filters(udp("192.168.9.9:5000", at(kShared, other)));
    CHECK(hub.port_for(udp("10.0.6.7:4000", at(kEnds4.archive, 99))) == port);
    hub.passes("center", udp("100.64.3.8:5000", at(kShared, port)));
    // What was opened from outside keeps the port, but lets in no more when what was opened from inside is over.
    for (unsigned n = 0; n < 4; ++n) {
        hub.wait(100);
        hub.keep_neighbours();
        hub.passes("center", udp("192.168.9.9:5000", at(kShared, port)));
    }
    CHECK(hub.sessions() == 2);
    hub.filters(udp("192.168.9.9:5001", at(kShared, port)));
    hub.wait(400);
    CHECK(hub.sessions() == 0);
    CHECK(hub.ports().blocks_in_use() == 0);
    hub.refuses("center", udp("192.168.9.9:5000", at(kShared, port)), DropReason::no_agreement);
}

TEST_CASE("filtering: dependent on addresses and ports, only answers come in", "[path][behind]") {
    FilteringHub hub(Filtering::address_and_port_dependent);
    const std::uint16_t port = hub.port_for(question_of("10.0.6.7", 4000));
    hub.filters(udp("192.168.9.9:54", at(kShared, port)));
    hub.filters(udp("192.168.9.8:53", at(kShared, port)));
    hub.passes("center", udp("192.168.9.9:53", at(kShared, port)));
    // A static map is open to its agreements all the same.
    hub.passes("minami", tcp("10.0.0.7:4000", at(kShared, 8443)).syn());
}

TEST_CASE("filtering: gates and budgets hold for what is opened from outside, and nothing is kept of what was refused",
          "[path][behind]") {
    Policy policy = filtering_policy(Filtering::endpoint_independent);
    FilteringHub hub(policy);
    const std::uint16_t port = hub.port_for(question_of("10.0.6.7", 4000));
    policy.house("office").close();
    hub.commit(policy);
    hub.refuses("center", udp("192.168.9.9:5000", at(kShared, port)), DropReason::institution_closed);
    policy.house("office").close(false);
    hub.commit(policy);
    hub.worker().tracker.budget().set({0, 100});
    hub.refuses("center", udp("192.168.9.9:5000", at(kShared, port)), DropReason::institution_sessions_full);
    hub.wait(400);
    CHECK(hub.sessions() == 0);
    CHECK(hub.ports().blocks_in_use() == 0);
}

TEST_CASE("filtering: another generation may close what was open, and ends what came in by it", "[path][behind]") {
    Policy policy = filtering_policy(Filtering::endpoint_independent);
    FilteringHub hub(policy);
    const std::uint16_t port = hub.port_for(question_of("10.0.6.7", 4000));
    hub.passes("center", udp("192.168.9.9:5000", at(kShared, port)));
    policy.blocks[0].rules.filtering = Filtering::address_dependent;
    hub.commit(policy);
    hub.passes("center", udp("192.168.9.9:5000", at(kShared, port)));  // what there is goes on
    hub.filters(udp("192.168.9.8:5000", at(kShared, port)));
    policy.blocks[0].rules.filtering = Filtering::address_and_port_dependent;
    hub.commit(policy);
    hub.filters(udp("192.168.9.9:5000", at(kShared, port)));
    hub.passes("center", udp("192.168.9.9:53", at(kShared, port)));
    CHECK(hub.sessions() == 2);
}

// ------------------------------------------------------------------ both ends behind the same address (RFC 4787 REQ-9)

namespace {

// The ward may open to the office, at any port that is lent, and not the other way round.
Policy hairpin_policy(Filtering filtering) {
    Policy policy = filtering_policy(filtering);
    policy.agreement("ward", "office").udp(1024, 65535).tracked();
    policy.agreement("ward", "office").tcp(1024, 65535).tracked();
    return policy;
}

// What leaves, hairpinned: to the host, with the shared address and its peer's port outside.
Frame hairpinned(std::uint16_t from, std::string_view to) {
    return udp(at(kShared, from), to).ttl(63).to(kKitaGateway);
}

}  // namespace

TEST_CASE("hairpin: two behind one address speak by their ports outside, and each sees the other's",
          "[path][behind][conformance-55]") {
    FilteringHub hub(hairpin_policy(Filtering::endpoint_independent));
    const std::uint16_t office = hub.port_for(question_of("10.0.6.7", 4000));
    hub.send("kita", udp("10.0.5.7:6000", at(kShared, office)));
    CHECK(hub.drops() == Drops{});
    const std::uint16_t ward = hub.port_of_left();
    CHECK(hub.left() == Frames{hub.by("kita", hairpinned(ward, "10.0.6.7:4000"))});
    hub.send("kita", udp("10.0.6.7:4000", at(kShared, ward)));
    CHECK(hub.left() == Frames{hub.by("kita", hairpinned(office, "10.0.5.7:6000"))});
    CHECK(hub.drops() == Drops{});
    // It has that port whomever it speaks to; and one session has both of them.
    CHECK(hub.port_for(question_of("10.0.5.7", 6000)) == ward);
    CHECK(hub.sessions() == 6);
    // Only what is agreed, and nobody with itself.
    hub.refuses("kita", udp("10.0.6.7:4001", at(kShared, ward)), DropReason::no_agreement);
    hub.refuses("kita", tcp("10.0.5.7:6000", at(kShared, office)).syn(), DropReason::no_agreement);
    hub.refuses("kita", udp("10.0.6.7:4000", at(kShared, office)), DropReason::no_agreement);
    // The port is the client's as long as the hairpinned session lives, and goes back with it.
    for (unsigned n = 0; n < 4; ++n) {
        hub.wait(100);
        hub.keep_neighbours();
        hub.passes("kita", udp("10.0.5.7:6000", at(kShared, office)));
    }
    CHECK(hub.sessions() == 2);
    CHECK(hub.ports().blocks_in_use() == 2);
    hub.wait(400);
    CHECK(hub.sessions() == 0);
    CHECK(hub.ports().blocks_in_use() == 0);
    CHECK(hub.ports().subscribers() == 0);
}

TEST_CASE("hairpin: errors about what was hairpinned are translated for its sender", "[path][behind][conformance-55]") {
    FilteringHub hub(hairpin_policy(Filtering::endpoint_independent));
    const std::uint16_t office = hub.port_for(question_of("10.0.6.7", 4000));
    hub.send("kita", udp("10.0.5.7:6000", at(kShared, office)));
    const std::uint16_t ward = hub.port_of_left();
    const Frame delivered = udp(at(kShared, ward), "10.0.6.7:4000").ttl(60);
    const Frame sent = udp("10.0.5.7:6000", at(kShared, office)).ttl(60);
    hub.send("kita", icmp_error("10.0.6.7", kShared, 3, 3, delivered.ip()));
    CHECK(hub.drops() == Drops{});
    CHECK(hub.left() ==
          Frames{hub.by("kita", icmp_error(kShared, "10.0.5.7", 3, 3, sent.ip()).ttl(63).to(kKitaGateway))});
}

TEST_CASE("hairpin: filtered until its peer has sent too, and then they meet", "[path][behind][conformance-55]") {
    const Filtering filtering = GENERATE(Filtering::address_dependent, Filtering::address_and_port_dependent);
    FilteringHub hub(hairpin_policy(filtering));
    const std::uint16_t office = hub.port_for(question_of("10.0.6.7", 4000));
    const std::uint16_t ward = hub.port_for(question_of("10.0.5.7", 6000));
    const auto is_filtered = [&](const Frame& frame) {
        hub.send("kita", frame);
        CHECK(hub.drops() == Drops{{DropReason::port_filtered, 1}});
        CHECK(hub.left().empty());
    };
    is_filtered(udp("10.0.5.7:6000", at(kShared, office)));
    is_filtered(udp("10.0.5.7:6000", at(kShared, office)));
    CHECK(hub.sessions() == 6);
    hub.send("kita", udp("10.0.6.7:4000", at(kShared, ward)));
    CHECK(hub.drops() == Drops{});
    CHECK(hub.left() == Frames{hub.by("kita", hairpinned(office, "10.0.5.7:6000"))});
    hub.send("kita", udp("10.0.5.7:6000", at(kShared, office)));
    CHECK(hub.left() == Frames{hub.by("kita", hairpinned(ward, "10.0.6.7:4000"))});
    is_filtered(udp("10.0.5.8:6000", at(kShared, office)));  // for another host nothing was sent
    hub.wait(400);
    CHECK(hub.sessions() == 0);
    CHECK(hub.ports().blocks_in_use() == 0);
}

TEST_CASE("hairpin: TCP opens at both ends at once, through filters that let neither in",
          "[path][behind][conformance-54][conformance-55]") {
    FilteringHub hub(hairpin_policy(Filtering::address_and_port_dependent));
    hub.passes("kita", tcp("10.0.6.7:4000", at(kEnds4.portal_hub, 443)).syn());
    const std::uint16_t office = hub.port_of_left();
    hub.passes("kita", tcp("10.0.5.7:6000", at(kEnds4.portal_hub, 443)).syn());
    const std::uint16_t ward = hub.port_of_left();
    const Frame forth = tcp("10.0.5.7:6000", at(kShared, office));
    const Frame back = tcp("10.0.6.7:4000", at(kShared, ward));
    hub.send("kita", Frame(forth).syn());
    CHECK(hub.drops() == Drops{{DropReason::port_filtered, 1}});
    hub.passes("kita", Frame(back).syn());
    hub.passes("kita", Frame(forth).syn());
    hub.passes("kita", Frame(back).syn().ack());
    hub.passes("kita", Frame(forth).ack());
}
