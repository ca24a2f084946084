// A hub without ports: frames go in by an attachment, walk the real path, and come out whole.
//
// After every walk it checks that each port's account balances and that exactly the packets that are held have a
// buffer; at its end, that none has. Its second has a million ticks and passes only when the test says so.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "dataplane/walk.hpp"
#include "net/drop_reason.hpp"
#include "tests/dataplane/support/frame.hpp"
#include "tests/dataplane/support/policy.hpp"

namespace sekisho::test {

struct Sent {  // a frame that left
    unsigned port = 0;
    Bytes frame;
    friend bool operator==(const Sent&, const Sent&) = default;
};
using Frames = std::vector<Sent>;
using Drops = std::map<DropReason, std::uint64_t>;

// Every reason for which a packet was dropped so far in this program.
std::set<DropReason>& provoked_reasons();

class TestHub {
  public:
    static constexpr std::uint64_t kHz = 1'000'000;

    explicit TestHub(const Policy& policy);
    ~TestHub();
    TestHub(const TestHub&) = delete;
    TestHub& operator=(const TestHub&) = delete;

    // A neighbour whose MAC address is known already.
    void know(std::string_view line, std::string_view neighbour, std::string_view mac_address);
    // Those that are known answer again, so that they do not age.
    void keep_neighbours();
    // The next generation; `policy` replaces the one before.
    void commit(const Policy& policy);
    // Moves time on, in tenths of a second, as the worker does: neighbours are asked again or given up.
    void wait(double seconds);

    // Walks the frames as one burst (of 64 at most, then the next), and then whatever waits, until nothing does. A
    // frame goes to the line's MAC address and carries its tag unless it says otherwise. left() and drops() are about
    // the last send() or wait().
    void send(std::string_view line, const std::vector<Frame>& frames);
    void send(std::string_view line, const Frame& frame) { send(line, std::vector<Frame>{frame}); }
    // While paused, send() leaves what waits for a next walk waiting.
    void pause(bool paused) { paused_ = paused; }
    // Whether wait() lets the hub tell its own addresses; otherwise no test sees frames that it did not ask for.
    void announces(bool does) { announces_ = does; }
    // Whether a send() of one frame compares what happened to it with what `explain` says.
    void explains(bool does) { explains_ = does; }
    void send_bytes(unsigned port, const std::vector<Bytes>& frames, std::size_t headroom);
    void send_buffer(unsigned port, rte_mbuf* mbuf);

    // A frame that the kernel sends by the line's TAP.
    void kernel_sends(std::string_view line, const Bytes& frame);
    // The frames that went to TAPs since it was asked last, oldest first.
    std::vector<std::pair<TapId, Bytes>> to_kernel();

    const Frames& left() const { return left_; }
    Drops drops() const;
    // What a frame looks like that leaves by this line: from its MAC address, with its tag.
    Sent by(std::string_view line, Frame frame) const;

    std::uint64_t punted() const;    // since the last send() or wait()
    std::uint64_t consumed() const;  // since the last send() or wait()
    std::uint64_t made() const;
    std::uint64_t not_made_rate() const;
    std::uint64_t not_made_buffer() const;
    std::uint64_t held() const;  // now
    std::uint64_t now() const { return now_; }
    const dataplane::Tables& tables() const { return *generations_.back(); }
    dataplane::WorkerState& worker() { return *state_; }
    const Policy& policy() const { return policy_; }
    // There are some if the first policy has a tunnel; what they give up is freed at once, for nothing walks then.
    dataplane::Associations* associations() const { return associations_.get(); }
    // Room behind received frames, for what is to be sealed; none unless said, so that any access there is seen.
    void tailroom(std::size_t bytes) { tailroom_ = bytes; }

  private:
    void begin();
    void walk(unsigned port, std::span<rte_mbuf* const> frames);
    void transmit(dataplane::Walk& walk);
    void settle();
    void check_accounts() const;
    Frame arriving(std::string_view line, Frame frame) const;
    dataplane::PortCounters since() const;

    Policy policy_;
    std::vector<std::unique_ptr<dataplane::Tables>> generations_;
    std::unique_ptr<dataplane::Associations> associations_;
    std::unique_ptr<dataplane::Team> team_;
    std::size_t tailroom_ = 0;
    std::unique_ptr<dataplane::WorkerState> state_;
    std::uint64_t now_ = 1000 * kHz;
    bool paused_ = false;
    bool announces_ = false;
    bool explains_ = true;
    Frames left_;
    dataplane::PortCounters before_;
};

// While it lives, the hub finds no buffer for what it would make itself.
class NoBuffers {
  public:
    NoBuffers();
    ~NoBuffers();
    NoBuffers(const NoBuffers&) = delete;
    NoBuffers& operator=(const NoBuffers&) = delete;

  private:
    std::vector<rte_mbuf*> hoard_;
};

// The stations around the standard policy's hub.
inline constexpr std::string_view kKitaGateway = "02:00:00:00:0a:01";
inline constexpr std::string_view kBackupGateway = "02:00:00:00:0a:02";
inline constexpr std::string_view kMinamiGateway = "02:00:00:00:0b:01";
inline constexpr std::string_view kCenterGateway = "02:00:00:00:0c:01";
inline constexpr std::string_view kPortal = "02:00:00:00:0c:09";  // 192.168.9.9 and fd99::9

// The standard policy, or a change of it, with these stations known.
class StandardHub : public TestHub {
  public:
    StandardHub() : StandardHub(standard_policy()) {}
    explicit StandardHub(const Policy& policy);
};

}  // namespace sekisho::test

namespace Catch {
template <>
struct StringMaker<sekisho::test::Sent> {
    static std::string convert(const sekisho::test::Sent& sent) {
        return "\nby port " + std::to_string(sent.port) + ", " + std::to_string(sent.frame.size()) + " bytes\n" +
               sekisho::test::hex_of(sent.frame) + "\n";
    }
};
template <>
struct StringMaker<sekisho::test::Drops::value_type> {
    static std::string convert(const sekisho::test::Drops::value_type& drop) {
        return std::string(sekisho::name_of(drop.first)) + ": " + std::to_string(drop.second);
    }
};
}  // namespace Catch
