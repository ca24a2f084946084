// Real TAPs in real network namespaces: made, lost, made again, and frames both ways.
#include "dataplane/kernel/taps.hpp"

#include <chrono>
#include <cstdlib>
#include <string>
#include <thread>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "tests/dataplane/support/frame.hpp"
#include "tests/support/skip.hpp"

using namespace sekisho;
using namespace sekisho::test;
using dataplane::TapInfo;
using dataplane::Taps;
using dataplane::TapSpec;

namespace {

bool can_run() {
    if (geteuid() == 0 && ::access("/dev/net/tun", R_OK | W_OK) == 0) return true;
    skip("needs root and /dev/net/tun: network namespaces and devices");
    return false;
}

bool run(const std::string& command) {
    return std::system((command + " 2>/dev/null >/dev/null").c_str()) == 0;
}

// A network namespace, as an operator's routing daemons have one.
class Space {
  public:
    explicit Space(const std::string& suffix) : name_("sk-taps-" + std::to_string(getpid()) + suffix) {}
    ~Space() { remove(); }
    Space(const Space&) = delete;
    Space& operator=(const Space&) = delete;

    const std::string& name() const { return name_; }
    void make() { REQUIRE(run("ip netns add " + name_)); }
    void remove() { run("ip netns delete " + name_); }
    bool inside(const std::string& command) const { return run("ip netns exec " + name_ + " " + command); }
    bool ip(const std::string& command) const { return run("ip -n " + name_ + " " + command); }

  private:
    std::string name_;
};

TapSpec spec(unsigned number, const Space& space, const std::string& interface) {
    TapSpec spec;
    spec.tap = TapId(number);
    spec.attachment = AttachmentId(static_cast<std::uint16_t>(number + 100));
    spec.network_namespace = space.name();
    spec.interface = interface;
    spec.mac = mac("02:00:00:00:0a:01");
    spec.mtu = 1400;
    return spec;
}

template <class Check>
bool within_seconds(int seconds, Check check) {
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
    while (!check())
        if (std::chrono::steady_clock::now() > until)
            return false;
        else
            std::this_thread::sleep_for(std::chrono::milliseconds(5));
    return true;
}

bool becomes(const Taps& taps, std::size_t index, bool open, const std::string& words) {
    const bool so = within_seconds(10, [&] {
        const auto info = taps.info();
        return info.size() > index && info[index].open == open && info[index].words.find(words) != std::string::npos;
    });
    if (!so)
        for (const TapInfo& each : taps.info())
            UNSCOPED_INFO(each.spec.interface << ": " << each.open << " " << each.words);
    return so;
}

}  // namespace

TEST_CASE("taps: frames go both ways, whole, once the interface is up", "[kernel][netns]") {
    if (!can_run()) return;
    Space space("a");
    space.make();
    dataplane::KernelShare share(2);
    Taps taps(share);
    taps.want({spec(1, space, "hub0")});
    REQUIRE(becomes(taps, 0, true, ""));
    CHECK(space.ip("link show dev hub0 | grep -q 'mtu 1400'"));
    CHECK(space.ip("link show dev hub0 | grep -q 02:00:00:00:0a:01"));

    // Down, it takes nothing, and says so.
    const Bytes request =
        echo_request("192.0.2.2", "192.0.2.1").from("02:00:00:00:0a:02").to("02:00:00:00:0a:01").bytes();
    REQUIRE(share.from(WorkerId(0)).put(TapId(1), AttachmentId(101), request));
    CHECK(within_seconds(5, [&] { return taps.info().at(0).not_taken == 1; }));

    REQUIRE(space.inside("sysctl -qw net.ipv6.conf.hub0.disable_ipv6=1"));
    REQUIRE(space.ip("address add 192.0.2.1/24 dev hub0"));
    REQUIRE(space.ip("link set hub0 up"));
    REQUIRE(space.ip("neigh replace 192.0.2.2 lladdr 02:00:00:00:0a:02 dev hub0"));
    for (const unsigned worker : {0U, 1U})
        REQUIRE(share.from(WorkerId(static_cast<std::uint16_t>(worker))).put(TapId(1), AttachmentId(101), request));
    for (int i = 0; i < 2; ++i) {
        REQUIRE(within_seconds(5, [&] { return share.to_keeper().front().has_value(); }));
        const auto frame = *share.to_keeper().front();
        CHECK(frame.tap == TapId(1));
        CHECK(frame.attachment == AttachmentId(101));
        REQUIRE(frame.bytes.size() == request.size());
        CHECK(Bytes(frame.bytes.begin(), frame.bytes.begin() + 6) == Bytes{2, 0, 0, 0, 0x0a, 2});
        CHECK(frame.bytes[34] == 0);  // an echo reply
        share.to_keeper().pop();
    }
    CHECK(within_seconds(5, [&] { return taps.info().at(0).to_kernel == 2 && taps.info().at(0).from_kernel == 2; }));
}

TEST_CASE("taps: what is missing is said, waited for, and found", "[kernel][netns]") {
    if (!can_run()) return;
    Space space("b");
    dataplane::KernelShare share(1);
    Taps taps(share);
    taps.want({spec(1, space, "hub0"), spec(2, space, "hub1")});
    REQUIRE(becomes(taps, 0, false, "there is no network namespace " + space.name()));
    space.make();
    REQUIRE(space.ip("tuntap add dev hub1 mode tap"));
    REQUIRE(becomes(taps, 0, true, ""));
    REQUIRE(becomes(taps, 1, false, "has an interface hub1 already"));
    REQUIRE(space.ip("link delete hub1"));
    REQUIRE(becomes(taps, 1, true, ""));

    // The namespace goes, and another of its name comes.
    space.remove();
    REQUIRE(becomes(taps, 0, false, ""));
    REQUIRE(becomes(taps, 1, false, "there is no network namespace"));
    space.make();
    REQUIRE(becomes(taps, 0, true, ""));
    CHECK(space.ip("link show dev hub0"));

    // Somebody in it deletes the interface.
    REQUIRE(space.ip("link delete hub0"));
    REQUIRE(within_seconds(10, [&] { return space.ip("link show dev hub0"); }));
    REQUIRE(becomes(taps, 0, true, ""));
}

TEST_CASE("taps: a change of what is wanted ends what is not, and leaves the rest alone", "[kernel][netns]") {
    if (!can_run()) return;
    Space space("c");
    space.make();
    dataplane::KernelShare share(1);
    {
        Taps taps(share);
        taps.want({spec(1, space, "hub0"), spec(2, space, "hub1")});
        REQUIRE(becomes(taps, 1, true, ""));
        REQUIRE(space.ip("address add 192.0.2.1/24 dev hub1"));
        // hub0's name is another attachment's now; hub1 stays as it is.
        taps.want({spec(2, space, "hub1"), spec(3, space, "hub0")});
        REQUIRE(within_seconds(10, [&] { return taps.info().size() == 2 && taps.info().at(1).spec.tap == TapId(3); }));
        REQUIRE(becomes(taps, 1, true, ""));
        CHECK(space.ip("address show dev hub1 | grep -q 192.0.2.1"));
        // Another MTU makes another interface.
        TapSpec changed = spec(2, space, "hub1");
        changed.mtu = 9000;
        taps.want({changed});
        REQUIRE(within_seconds(10, [&] { return space.ip("link show dev hub1 | grep -q 'mtu 9000'"); }));
        CHECK(within_seconds(10, [&] { return !space.ip("link show dev hub0"); }));
        taps.want({});
        CHECK(within_seconds(10, [&] { return !space.ip("link show dev hub1"); }));
        taps.want({spec(4, space, "hub2")});
        REQUIRE(becomes(taps, 0, true, ""));
    }
    CHECK_FALSE(space.ip("link show dev hub2"));  // gone with its owner
}
