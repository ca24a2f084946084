// The kernel's share: what goes to an attachment's TAP, within which budget, and what may come from there.
#include "dataplane/kernel/punt.hpp"
#include "tests/dataplane/support/datagrams.hpp"
#include "tests/dataplane/support/ends.hpp"
#include "tests/dataplane/support/test_hub.hpp"

using namespace sekisho;
using namespace sekisho::test;

namespace {

constexpr TapId kKita(5), kMinami(9);
using ToKernel = std::vector<std::pair<TapId, Bytes>>;

Policy with_taps() {
    Policy policy = standard_policy();
    policy.line("kita").tap(kKita.value());
    policy.line("minami").tap(kMinami.value());
    return policy;
}

// The frame as the kernel should see it: to the line's MAC address, without a tag.
Bytes seen(const TestHub& hub, std::string_view line, Frame frame) {
    if (!frame.has_destination()) frame.to(hub.policy().line(line).mac_address);
    return frame.bytes();
}

void expect_punt(TestHub& hub, std::string_view line, TapId tap, const Frame& frame) {
    hub.send(line, frame);
    CHECK(hub.left() == Frames{});
    CHECK(hub.drops() == Drops{});
    CHECK(hub.punted() == 1);
    CHECK(hub.consumed() == 0);
    CHECK(hub.to_kernel() == ToKernel{{tap, seen(hub, line, frame)}});
}

void expect_refused(TestHub& hub, std::string_view line, const Frame& frame, DropReason reason) {
    hub.kernel_sends(line, frame.bytes());
    CHECK(hub.left() == Frames{});
    CHECK(hub.drops() == Drops{{reason, 1}});
    CHECK(hub.made() == 1);
}

Frame from_hub(const TestHub& hub, std::string_view line, Frame frame) {
    return frame.from(hub.policy().line(line).mac_address).to(kKitaGateway);
}

}  // namespace

TEST_CASE("kernel: without a TAP nothing goes there", "[path][local][kernel]") {
    StandardHub hub(with_taps());
    hub.send("center", tcp("192.168.9.2:4000", "192.168.9.1:179").syn());
    CHECK(hub.drops() == Drops{{DropReason::no_kernel_port, 1}});
    CHECK(hub.to_kernel() == ToKernel{});
}

TEST_CASE("kernel: what only a kernel could answer goes to the line's own TAP, whole and without its tag",
          "[path][local][kernel]") {
    StandardHub hub(with_taps());
    const Ends ends = GENERATE(kEnds4, kEnds6);
    for (const auto& [line, tap] : {std::pair("kita", kKita), std::pair("minami", kMinami)}) {
        expect_punt(hub, line, tap, tcp(at(ends.kita_gateway, 4000), at(ends.kita_hub, 179)).syn());
        expect_punt(hub, line, tap, tcp(at(ends.kita_gateway, 179), at(ends.kita_hub, 4000)).ack().payload(900));
        expect_punt(hub, line, tap, udp(at(ends.kita_gateway, 49152), at(ends.kita_hub, 3784)).ttl(255));
        expect_punt(hub, line, tap, udp(at(ends.client, 500), at(ends.kita_hub, 500)).ttl(3));
        expect_punt(hub, line, tap, packet(ends.kita_gateway, ends.kita_hub, 50, Bytes(40)));
        expect_punt(hub, line, tap, echo_reply(ends.kita_gateway, ends.kita_hub));
    }
}

TEST_CASE("kernel: padding stays behind", "[path][local][kernel]") {
    StandardHub hub(with_taps());
    hub.send("kita", udp("10.255.0.2:500", "10.255.0.1:500").padded(10));
    CHECK(hub.to_kernel() == ToKernel{{kKita, seen(hub, "kita", udp("10.255.0.2:500", "10.255.0.1:500"))}});
}

TEST_CASE("kernel: what the hub answers itself stays the hub's", "[path][local][kernel]") {
    StandardHub hub(with_taps());
    const Ends ends = GENERATE(kEnds4, kEnds6);
    hub.send("kita", echo_request(ends.kita_gateway, ends.kita_hub));
    CHECK(hub.left().size() == 1);
    hub.send("kita", arp(1, {.sender_mac = kKitaGateway, .sender = "10.255.0.2", .target = "10.255.0.1"}));
    CHECK(hub.left().size() == 1);
    hub.send("kita", neighbour_solicitation("fd00:ffff::2", "ff02::1:ff00:1", "fd00:ffff::1", kKitaGateway)
                         .to(MacAddress::of_group(*Ipv6Address::parse("ff02::1:ff00:1"))));
    CHECK(hub.left().size() == 1);
    CHECK(hub.punted() == 0);
    CHECK(hub.to_kernel() == ToKernel{});
}

TEST_CASE("kernel: neighbours' answers go to both, for the kernel asks, too", "[path][local][kernel]") {
    StandardHub hub(with_taps());
    const MacAddress own = hub.policy().line("kita").mac_address;
    const Frame reply =
        arp(2, {.sender_mac = kKitaGateway, .sender = "10.255.0.2", .target_mac = own.text(), .target = "10.255.0.1"});
    hub.send("kita", reply);
    CHECK(hub.consumed() == 1);
    CHECK(hub.punted() == 0);
    CHECK(hub.to_kernel() == ToKernel{{kKita, seen(hub, "kita", reply)}});
    const Frame advertisement =
        neighbour_advertisement("fd00:ffff::2", "fd00:ffff::1", "fd00:ffff::2", kKitaGateway, 0x6000'0000);
    hub.send("kita", advertisement);
    CHECK(hub.consumed() == 1);
    CHECK(hub.to_kernel() == ToKernel{{kKita, seen(hub, "kita", advertisement)}});
    // One that is malformed is nobody's.
    hub.send("kita", Frame(advertisement).checksum(1));
    CHECK(hub.drops() == Drops{{DropReason::nd_malformed, 1}});
    CHECK(hub.to_kernel() == ToKernel{});
}

TEST_CASE("kernel: fragments for the hub itself are put together there, or nowhere",
          "[path][local][kernel][fragment]") {
    StandardHub hub(with_taps());
    const Ends ends = GENERATE(kEnds4, kEnds6);
    const Bytes whole = udp(at(ends.kita_gateway, 500), at(ends.kita_hub, 500)).payload(2000).dont_fragment(false).ip();
    const unsigned type = ends.family == Family::ipv4 ? 0x0800 : 0x86dd;
    for (const Bytes& ip : pieces(whole, kCuts)) {
        expect_punt(hub, "kita", kKita, on_link(type, ip));
        hub.send("center", on_link(type, ip));
        CHECK(hub.drops().size() == 1);  // elsewhere that address is not the hub's
    }
    if (ends.family == Family::ipv4) return;
    // RFC 6980: neighbour discovery comes in no fragments.
    const Bytes ip = neighbour_solicitation("fd00:ffff::2", "ff02::1:ff00:1", "fd00:ffff::1", kKitaGateway).ip();
    hub.send("kita",
             on_link(0x86dd, piece(ip, 0, 24, true)).to(MacAddress::of_group(*Ipv6Address::parse("ff02::1:ff00:1"))));
    CHECK(hub.drops() == Drops{{DropReason::fragment_to_hub, 1}});
}

TEST_CASE("kernel: a flood of one class costs no other its budget", "[path][local][kernel]") {
    StandardHub hub(with_taps());
    const Ends ends = GENERATE(kEnds4, kEnds6);
    const Frame junk = tcp(at(ends.kita_gateway, 4000), at(ends.kita_hub, 22)).syn();
    hub.send("kita", std::vector<Frame>(300, junk));
    CHECK(hub.punted() == 100);
    CHECK(hub.drops() == Drops{{DropReason::local_rate, 200}});
    const Frame far_bfd = udp(at(ends.client, 49152), at(ends.kita_hub, 3784)).ttl(254);  // not from the link
    hub.send("kita", far_bfd);
    CHECK(hub.drops() == Drops{{DropReason::local_rate, 1}});
    hub.to_kernel();
    const Frame bgp = tcp(at(ends.kita_gateway, 4000), at(ends.kita_hub, 179)).ack();
    hub.send("kita", std::vector<Frame>(2500, bgp));
    CHECK(hub.punted() == 2000);
    CHECK(hub.drops() == Drops{{DropReason::local_rate, 500}});
    hub.to_kernel();
    expect_punt(hub, "kita", kKita, udp(at(ends.kita_gateway, 49152), at(ends.kita_hub, 3784)).ttl(255));
    expect_punt(hub, "minami", kMinami, junk);  // and no other attachment
    hub.wait(0.1);
    hub.to_kernel();
    hub.send("kita", std::vector<Frame>(300, junk));
    CHECK(hub.punted() == 100);  // 1,000 a second
}

TEST_CASE("kernel: a ring that nobody empties costs counted drops, and forwarding nothing", "[path][local][kernel]") {
    StandardHub hub(with_taps());
    const Frame large = tcp("10.255.0.2:4000", "10.255.0.1:179").ack().payload(1400);
    hub.send("kita", std::vector<Frame>(1500, large));
    const std::uint64_t taken = hub.punted();
    CHECK(taken > 500);
    CHECK(hub.drops() == Drops{{DropReason::kernel_port_full, 1500 - taken}});
    CHECK(hub.to_kernel().size() == taken);
    expect_punt(hub, "kita", kKita, large);
}

TEST_CASE("kernel: what the kernel sends leaves by its own line, with the line's tag", "[path][kernel]") {
    StandardHub hub(with_taps());
    const Ends ends = GENERATE(kEnds4, kEnds6);
    const Frame bfd = udp(at(ends.kita_hub, 49152), at(ends.kita_gateway, 3784)).ttl(255);
    for (const std::string_view line : {"kita", "minami"}) {
        hub.kernel_sends(line, from_hub(hub, line, bfd).bytes());
        CHECK(hub.left() == Frames{hub.by(line, Frame(bfd).to(kKitaGateway))});
        CHECK(hub.drops() == Drops{});
        CHECK(hub.made() == 1);
    }
    // As long as the line allows; to anybody behind it.
    const std::size_t header = ends.family == Family::ipv4 ? 28 : 48;
    const Frame longest = udp(at(ends.kita_hub, 500), at(ends.client, 500)).payload(1500 - header);
    hub.kernel_sends("kita", from_hub(hub, "kita", longest).bytes());
    CHECK(hub.left() == Frames{hub.by("kita", Frame(longest).to(kKitaGateway))});
}

TEST_CASE("kernel: it asks for neighbours as the hub does", "[path][kernel]") {
    StandardHub hub(with_taps());
    const std::string own = hub.policy().line("kita").mac_address.text();
    for (const std::string_view sender : {"10.255.0.1", "0.0.0.0"}) {
        const Frame question = arp(1, {.sender_mac = own, .sender = sender, .target = "10.255.0.2"});
        hub.kernel_sends("kita", question.bytes());
        CHECK(hub.left() == Frames{{0, question.bytes()}});
    }
    for (const std::string_view source : {"fd00:ffff::1", "fe80::1", "::"}) {
        const Frame question = neighbour_solicitation(source, "ff02::1:ff00:2", "fd00:ffff::2", "").from(own);
        hub.kernel_sends("kita", question.bytes());
        CHECK(hub.left() == Frames{{0, question.bytes()}});
    }
}

TEST_CASE("kernel: it speaks in the hub's name on that line and in no other", "[path][kernel]") {
    StandardHub hub(with_taps());
    const Ends ends = GENERATE(kEnds4, kEnds6);
    const auto refused = DropReason::kernel_frame_refused;
    const std::string own = hub.policy().line("kita").mac_address.text();
    // Another source: a host of the operator's, another line's address, another family's way round the check.
    for (const std::string_view source : {ends.client, ends.client_hub, ends.center_hub})
        expect_refused(hub, "kita", from_hub(hub, "kita", udp(at(source, 1), at(ends.kita_gateway, 1))), refused);
    const Frame good = from_hub(hub, "kita", udp(at(ends.kita_hub, 1), at(ends.kita_gateway, 1)));
    expect_refused(hub, "kita", Frame(good).from("02:00:00:00:0a:99"), refused);
    expect_refused(hub, "kita", Frame(good).vlan(20), refused);
    expect_refused(hub, "kita", Frame(good).ether_type(0x88cc), refused);
    for (const unsigned length : {0U, 13U, 14U, 33U}) {
        Bytes cut = good.bytes();
        cut.resize(length);
        hub.kernel_sends("kita", cut);
        CHECK(hub.drops() == Drops{{refused, 1}});
    }
    expect_refused(hub, "kita", arp(1, {.sender_mac = own, .sender = "10.255.0.2", .target = "10.255.0.3"}), refused);
    expect_refused(
        hub, "kita",
        arp(1, {.sender_mac = "02:00:00:00:0a:99", .sender = "10.255.0.1", .target = "10.255.0.3"}).from(own), refused);
}

TEST_CASE("kernel: what does not fit the line, or finds it closed or gone, is dropped by that name", "[path][kernel]") {
    StandardHub hub(with_taps());
    const Ends ends = GENERATE(kEnds4, kEnds6);
    const std::size_t header = ends.family == Family::ipv4 ? 28 : 48;
    const Frame good = from_hub(hub, "kita", udp(at(ends.kita_hub, 1), at(ends.kita_gateway, 1)));
    expect_refused(hub, "kita", Frame(good).payload(1501 - header), DropReason::packet_too_big);
    {
        const NoBuffers none;
        expect_refused(hub, "kita", good, DropReason::no_room);
    }
    Policy policy = with_taps();
    policy.line("kita").close();
    hub.commit(policy);
    expect_refused(hub, "kita", good, DropReason::egress_closed);
    // The line has another TAP now: the frame came from the one before.
    {
        policy.line("kita").close(false).tap(77);
        hub.commit(policy);
        dataplane::Walk walk(hub.tables(), hub.worker(), PortId(0), hub.now());
        const Bytes bytes = good.bytes();
        dataplane::take_from_kernel(walk, {kKita, AttachmentId(0), bytes});
        dataplane::take_from_kernel(walk, {kKita, AttachmentId(999), bytes});
        CHECK(hub.worker().outbox[0].count == 0);
    }
    CHECK(hub.drops() == Drops{{DropReason::egress_closed, 1}, {DropReason::handover_stale, 2}});
}
