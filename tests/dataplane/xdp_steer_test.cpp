// The XDP program of AF_XDP ports, run by the kernel on frames of ours (BPF_PROG_TEST_RUN); and what its port's
// configuration may say. No socket is bound here: what is the port's ends as a drop.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "dataplane/xdp/object.hpp"
#include "dataplane/xdp_steering.hpp"
#include "tests/dataplane/support/frame.hpp"
#include "tests/support/random.hpp"
#include "tests/support/skip.hpp"

using namespace sekisho;
using namespace sekisho::test;
using sekisho::dataplane::KernelService;

namespace {

constexpr auto kIpv4 = "192.0.2.1";
constexpr auto kIpv6 = "2001:db8::1";
constexpr auto kLinkLocal = "fe80::1";

class Program {
  public:
    Program() {
        object_ = bpf_object__open_mem(dataplane::kSteerObject.data(), dataplane::kSteerObject.size(), nullptr);
        REQUIRE(object_ != nullptr);
        bpf_program* const program = bpf_object__find_program_by_name(object_, STEER_PROGRAM);
        REQUIRE(program != nullptr);
        REQUIRE(bpf_object__load(object_) == 0);
        program_ = bpf_program__fd(program);
        for (const auto* const text : {kIpv4, kIpv6, kLinkLocal}) {
            const IpAddress own = address(text);
            steer_address key{};
            if (own.is_ipv4()) {
                key.bytes[10] = key.bytes[11] = 0xff;
                const Be32 wire = own.ipv4().wire();
                std::memcpy(key.bytes + 12, &wire, 4);
            } else {
                const Ipv6Wire wire = Ipv6Wire::from(own.ipv6());
                std::memcpy(key.bytes, &wire, 16);
            }
            set("sk_addresses", key);
        }
        for (const KernelService& service : dataplane::usual_kernel_services()) {
            steer_service key{};
            key.protocol = service.protocol;
            key.port = service.port;
            set("sk_services", key);
        }
        const std::uint32_t first = 0;
        const steer_owner owner{1, 1, 0};
        REQUIRE(bpf_map_update_elem(map("sk_owner"), &first, &owner, BPF_ANY) == 0);
    }
    ~Program() { bpf_object__close(object_); }
    Program(const Program&) = delete;
    Program& operator=(const Program&) = delete;

    // What becomes of the bytes, which must have an Ethernet header.
    int run(const Bytes& bytes) const {
        bpf_test_run_opts options{};
        options.sz = sizeof options;
        options.data_in = bytes.data();
        options.data_size_in = static_cast<std::uint32_t>(bytes.size());
        REQUIRE(bpf_prog_test_run_opts(program_, &options) == 0);
        return static_cast<int>(options.retval);
    }
    bool stays_with_kernel(const Frame& frame) const {
        const int action = run(frame.bytes());
        REQUIRE((action == XDP_PASS || action == XDP_DROP));
        return action == XDP_PASS;
    }
    std::uint64_t counter(std::uint32_t which) const {
        std::vector<std::uint64_t> each(static_cast<std::size_t>(libbpf_num_possible_cpus()));
        REQUIRE(bpf_map_lookup_elem(map("sk_counters"), &which, each.data()) == 0);
        std::uint64_t sum = 0;
        for (const std::uint64_t value : each) sum += value;
        return sum;
    }

  private:
    int map(const char* name) const { return bpf_object__find_map_fd_by_name(object_, name); }
    template <class Key>
    void set(const char* name, const Key& key) {
        const std::uint8_t yes = 1;
        REQUIRE(bpf_map_update_elem(map(name), &key, &yes, BPF_ANY) == 0);
    }

    bpf_object* object_ = nullptr;
    int program_ = -1;
};

// Loading a program needs rights that not everybody has.
bool may_load() {
    if (geteuid() == 0) return true;
    skip("needs root: it loads an XDP program");
    return false;
}

std::string at(const std::string& address, int port) {
    const bool ipv6 = address.find(':') != std::string::npos;
    return ipv6 ? "[" + address + "]:" + std::to_string(port) : address + ":" + std::to_string(port);
}

}  // namespace

TEST_CASE("XDP: services of the interface's own addresses stay with the kernel", "[xdp]") {
    if (!may_load()) return;
    const Program program;
    for (const auto& [own, peer] : {std::pair(kIpv4, "192.0.2.9"), std::pair(kIpv6, "2001:db8::9")}) {
        INFO(own);
        CHECK(program.stays_with_kernel(tcp(at(peer, 40000), at(own, 22)).syn()));
        CHECK(program.stays_with_kernel(tcp(at(peer, 179), at(own, 40000)).ack()));  // the kernel called
        CHECK(program.stays_with_kernel(udp(at(peer, 500), at(own, 500))));
        CHECK(program.stays_with_kernel(udp(at(peer, 4500), at(own, 4500)).payload(32)));
        CHECK(program.stays_with_kernel(udp(at(peer, 49152), at(own, 3784)).ttl(255)));
        CHECK(program.stays_with_kernel(echo_request(peer, own)));
        CHECK_FALSE(program.stays_with_kernel(tcp(at(peer, 40000), at(own, 23)).syn()));
        CHECK_FALSE(program.stays_with_kernel(udp(at(peer, 40000), at(own, 22))));  // not TCP
        CHECK_FALSE(program.stays_with_kernel(packet(peer, own, 50, Bytes(16))));   // ESP is the port's
    }
    CHECK(program.stays_with_kernel(tcp(at("fe80::9", 40000), at(kLinkLocal, 179)).syn()));
}

TEST_CASE("XDP: what is sent to anybody else is the port's, whatever it asks for", "[xdp]") {
    if (!may_load()) return;
    const Program program;
    CHECK_FALSE(program.stays_with_kernel(tcp("192.0.2.9:40000", "192.0.2.2:22").syn()));
    CHECK_FALSE(program.stays_with_kernel(tcp("[2001:db8::9]:40000", "[2001:db8::2]:179").syn()));
    CHECK_FALSE(program.stays_with_kernel(udp("192.0.2.9:500", "100.64.0.1:500")));
    CHECK_FALSE(program.stays_with_kernel(echo_request("192.0.2.9", "192.0.2.2")));
    // From its own address is not to it.
    CHECK_FALSE(program.stays_with_kernel(tcp("192.0.2.1:40000", "192.0.2.2:22").syn()));
    CHECK_FALSE(program.stays_with_kernel(on_link(0x88cc, Bytes(46))));
    // An address of the untagged interface is none in a VLAN.
    CHECK_FALSE(program.stays_with_kernel(tcp("192.0.2.9:40000", "192.0.2.1:22").syn().vlan(7)));
    CHECK(program.counter(STEER_TO_KERNEL) == 0);
    CHECK(program.counter(STEER_NO_SOCKET) == 7);
}

TEST_CASE("XDP: ARP and neighbour discovery go to whom they ask for", "[xdp]") {
    if (!may_load()) return;
    const Program program;
    constexpr auto kMac = "02:00:00:00:00:09";
    CHECK(program.stays_with_kernel(arp(1, {.sender_mac = kMac, .sender = "192.0.2.9", .target = kIpv4})));
    CHECK(program.stays_with_kernel(
        arp(2, {.sender_mac = kMac, .sender = "192.0.2.9", .target_mac = "02:00:00:00:00:01", .target = kIpv4})));
    CHECK_FALSE(program.stays_with_kernel(arp(1, {.sender_mac = kMac, .sender = "192.0.2.9", .target = "192.0.2.2"})));
    CHECK(program.stays_with_kernel(neighbour_solicitation("2001:db8::9", "ff02::1:ff00:1", kIpv6, kMac)));
    CHECK_FALSE(
        program.stays_with_kernel(neighbour_solicitation("2001:db8::9", "ff02::1:ff00:2", "2001:db8::2", kMac)));
    CHECK(program.stays_with_kernel(neighbour_advertisement("2001:db8::9", kIpv6, "2001:db8::9", kMac, 0x60000000)));
    CHECK_FALSE(program.stays_with_kernel(
        neighbour_advertisement("2001:db8::9", "2001:db8::2", "2001:db8::9", kMac, 0x60000000)));
}

TEST_CASE("XDP: fragments to the interface's own addresses are the kernel's to put together", "[xdp]") {
    if (!may_load()) return;
    const Program program;
    CHECK(program.stays_with_kernel(
        udp("192.0.2.9:500", "192.0.2.1:500").dont_fragment(false).fragment(0, true).payload(64)));
    CHECK(program.stays_with_kernel(
        packet("192.0.2.9", kIpv4, kProtocolUdp, Bytes(64)).dont_fragment(false).fragment(1480, false)));
    CHECK(
        program.stays_with_kernel(packet("2001:db8::9", kIpv6, kProtocolUdp, Bytes(64)).fragment_header(1480, false)));
    CHECK_FALSE(program.stays_with_kernel(
        packet("192.0.2.9", "192.0.2.2", kProtocolUdp, Bytes(64)).dont_fragment(false).fragment(1480, false)));
}

TEST_CASE("XDP: extension headers and options are followed, a bounded way", "[xdp]") {
    if (!may_load()) return;
    const Program program;
    CHECK(program.stays_with_kernel(tcp("192.0.2.9:40000", "192.0.2.1:22").options(Bytes{1, 1, 1, 1}).syn()));
    const auto ssh = [] { return tcp("[2001:db8::9]:40000", "[2001:db8::1]:22").syn(); };
    CHECK(program.stays_with_kernel(ssh().hop_by_hop().destination_options(2)));
    Frame four = ssh(), five = ssh();
    for (int i = 0; i < 4; ++i) four.destination_options();
    for (int i = 0; i < 5; ++i) five.destination_options();
    CHECK(program.stays_with_kernel(four));
    CHECK_FALSE(program.stays_with_kernel(five));
}

TEST_CASE("XDP: a frame that ends early is the port's, which says why it is wrong", "[xdp]") {
    if (!may_load()) return;
    const Program program;
    for (const Frame& whole : {tcp("192.0.2.9:40000", "192.0.2.1:22").syn(),
                               tcp("[2001:db8::9]:40000", "[2001:db8::1]:22").hop_by_hop().syn(),
                               arp(1, {.sender_mac = "02:00:00:00:00:09", .sender = "192.0.2.9", .target = kIpv4})}) {
        const Bytes bytes = whole.bytes();
        std::size_t least = bytes.size();
        while (least > 14 &&
               program.run(Bytes(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(least))) == XDP_PASS)
            --least;
        CHECK(least > 14 + 20);  // it passed only as long as what it is known by was there
        for (std::size_t length = 14; length <= least; ++length)
            CHECK(program.run(Bytes(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(length))) == XDP_DROP);
    }
}

TEST_CASE("XDP: random changes of frames are judged, and never anything but the kernel's or the port's", "[xdp]") {
    if (!may_load()) return;
    const Program program;
    Random random("xdp");
    const std::vector<Bytes> seeds = {
        tcp("192.0.2.9:40000", "192.0.2.1:22").syn().bytes(),
        udp("[2001:db8::9]:500", "[2001:db8::1]:500").hop_by_hop().fragment_header(0, true).bytes(),
        arp(1, {.sender_mac = "02:00:00:00:00:09", .sender = "192.0.2.9", .target = kIpv4}).bytes()};
    for (int i = 0; i < 5000; ++i) {
        Bytes bytes = seeds[random.below(seeds.size())];
        for (std::size_t change = random.below(4); change-- > 0;)
            bytes[random.below(bytes.size())] = static_cast<std::uint8_t>(random.below(256));
        bytes.resize(14 + random.below(bytes.size() - 13));
        const int action = program.run(bytes);
        REQUIRE((action == XDP_PASS || action == XDP_DROP));
    }
}

TEST_CASE("XDP: what the kernel keeps is read from text", "[xdp]") {
    const auto services = dataplane::parse_kernel_services("icmp,tcp/22,udp/65535");
    REQUIRE(services.has_value());
    CHECK(*services == std::vector<KernelService>{{1, 0}, {6, 22}, {17, 65535}});
    REQUIRE(dataplane::parse_kernel_services("none").has_value());
    CHECK(dataplane::parse_kernel_services("none")->empty());
    for (const auto* const text :
         {"", "tcp", "tcp/", "tcp/0", "tcp/65536", "tcp/22x", "sctp/22", "tcp/22,", "icmp,none", "TCP/22"}) {
        INFO(text);
        const auto wrong = dataplane::parse_kernel_services(text);
        REQUIRE_FALSE(wrong.has_value());
        CHECK(wrong.error().words.find("tcp/PORT") != std::string::npos);
    }
    std::string many = "tcp/1";
    for (int port = 2; port <= STEER_MAX_SERVICES + 1; ++port) many += ",tcp/" + std::to_string(port);
    CHECK(dataplane::parse_kernel_services(many).error().code == ErrorCode::limit);
}

TEST_CASE("XDP: a port that cannot be is refused by name", "[xdp]") {
    using dataplane::XdpSteering;
    CHECK(XdpSteering::wanted_by("net_af_xdp0,iface=eth1"));
    CHECK_FALSE(XdpSteering::wanted_by("net_af_xdp0,iface=eth1,xdp_prog=mine.o"));
    CHECK_FALSE(XdpSteering::wanted_by("net_tap0,iface=eth1"));
    CHECK(XdpSteering::prepare("kita0", "net_af_xdp0", {}).error().words ==
          "port kita0: net_af_xdp0 names no interface (iface=)");
    CHECK(XdpSteering::prepare("kita0", "net_af_xdp0,iface=sk-none", {}).error().words ==
          "port kita0: there is no interface sk-none");
}
