// The TCP machine as a table, and its timers.
#include <vector>

#include <catch2/catch.hpp>

#include "nat/timeouts.hpp"

using namespace sekisho;
using namespace sekisho::nat;

namespace {

constexpr Direction kForward = Direction::forward;
constexpr Direction kReverse = Direction::reverse;
constexpr std::uint8_t kSynAck = kTcpSyn | kTcpAck;
constexpr std::uint8_t kFinAck = kTcpFin | kTcpAck;

struct Step {
    Direction direction;
    std::uint8_t flags;
};
TcpState after(const std::vector<Step>& steps) {
    TcpState state = TcpState::none;
    for (const Step& step : steps) state = next(state, step.flags, step.direction);
    return state;
}
const std::vector<Step> kHandshake = {{kForward, kTcpSyn}, {kReverse, kSynAck}, {kForward, kTcpAck}};
std::vector<Step> connected_then(const std::vector<Step>& more) {
    std::vector<Step> steps = kHandshake;
    steps.insert(steps.end(), more.begin(), more.end());
    return steps;
}

}  // namespace

TEST_CASE("TCP: every state, flag and direction leads where the table says", "[nat]") {
    using S = TcpState;
    struct Row {
        S from;
        std::uint8_t flags;
        S forward, reverse;
    };
    const Row table[] = {
        {S::none, kTcpSyn, S::opening, S::unsolicited},
        {S::none, kSynAck, S::none, S::none},
        {S::none, kTcpAck, S::none, S::none},
        {S::none, kFinAck, S::none, S::none},
        {S::none, kTcpRst, S::none, S::none},
        {S::opening, kTcpSyn, S::opening, S::answered},
        {S::opening, kSynAck, S::opening, S::answered},
        {S::opening, kTcpAck, S::opening, S::opening},
        {S::opening, kFinAck, S::opening, S::opening},
        {S::opening, kTcpRst, S::reset, S::reset},
        {S::unsolicited, kTcpSyn, S::answered, S::unsolicited},
        {S::unsolicited, kSynAck, S::answered, S::unsolicited},
        {S::unsolicited, kTcpAck, S::unsolicited, S::unsolicited},
        {S::unsolicited, kTcpRst, S::reset, S::reset},
        {S::answered, kTcpSyn, S::answered, S::answered},
        {S::answered, kSynAck, S::answered, S::answered},
        {S::answered, kTcpAck, S::established, S::answered},
        {S::answered, kFinAck, S::forward_closed, S::reverse_closed},
        {S::answered, kTcpRst, S::reset, S::reset},
        {S::established, kTcpSyn, S::established, S::established},
        {S::established, kTcpAck, S::established, S::established},
        {S::established, kFinAck, S::forward_closed, S::reverse_closed},
        {S::established, kTcpRst, S::reset, S::reset},
        {S::forward_closed, kTcpAck, S::forward_closed, S::forward_closed},
        {S::forward_closed, kFinAck, S::forward_closed, S::closed},
        {S::forward_closed, kTcpRst, S::reset, S::reset},
        {S::reverse_closed, kTcpAck, S::reverse_closed, S::reverse_closed},
        {S::reverse_closed, kFinAck, S::closed, S::reverse_closed},
        {S::reverse_closed, kTcpRst, S::reset, S::reset},
        {S::closed, kTcpAck, S::closed, S::closed},
        {S::closed, kFinAck, S::closed, S::closed},
        {S::closed, kTcpSyn, S::opening, S::closed},
        {S::closed, kTcpRst, S::reset, S::reset},
        {S::reset, kTcpAck, S::established, S::established},
        {S::reset, kTcpSyn, S::opening, S::reset},
        {S::reset, kTcpRst, S::reset, S::reset},
    };
    for (const Row& row : table) {
        CAPTURE(kTcpStateNames[static_cast<std::size_t>(row.from)], int{row.flags});
        CHECK(next(row.from, row.flags, kForward) == row.forward);
        CHECK(next(row.from, row.flags, kReverse) == row.reverse);
    }
}

TEST_CASE("TCP: a handshake is established, its answer alone is not", "[nat]") {
    CHECK(after({{kForward, kTcpSyn}, {kReverse, kSynAck}}) == TcpState::answered);
    CHECK(after(kHandshake) == TcpState::established);
    CHECK(after({{kForward, kTcpSyn}, {kReverse, kSynAck}, {kReverse, kTcpAck}}) == TcpState::answered);
}

TEST_CASE("TCP: simultaneous open is established", "[nat][conformance-54]") {
    const std::vector<Step> both = {{kForward, kTcpSyn}, {kReverse, kTcpSyn}};
    CHECK(after(both) == TcpState::answered);
    std::vector<Step> rest = both;
    for (const Step& step : {Step{kForward, kSynAck}, {kReverse, kSynAck}, {kForward, kTcpAck}}) rest.push_back(step);
    CHECK(after(rest) == TcpState::established);
    // The other side's SYN first: held, and answered by ours.
    CHECK(after({{kReverse, kTcpSyn}, {kForward, kTcpSyn}}) == TcpState::answered);
}

TEST_CASE("TCP: one FIN leaves half of it open, two close it", "[nat]") {
    CHECK(after(connected_then({{kForward, kFinAck}})) == TcpState::forward_closed);
    CHECK(after(connected_then({{kForward, kFinAck}, {kReverse, kTcpAck}})) == TcpState::forward_closed);
    CHECK(after(connected_then({{kForward, kFinAck}, {kReverse, kFinAck}})) == TcpState::closed);
    CHECK(after(connected_then({{kReverse, kFinAck}, {kForward, kFinAck}})) == TcpState::closed);
}

TEST_CASE("TCP: after a reset, data revives the connection", "[nat]") {
    CHECK(after(connected_then({{kReverse, kTcpRst}})) == TcpState::reset);
    CHECK(after(connected_then({{kReverse, kTcpRst}, {kForward, kTcpAck}})) == TcpState::established);
}

TEST_CASE("timers: TCP's are those of RFC 5382 and RFC 7857", "[nat][conformance-53]") {
    const Timeouts timeouts;
    CHECK(timeouts.of(kProtocolTcp, TcpState::established) == 7440);
    CHECK(timeouts.of(kProtocolTcp, TcpState::forward_closed) == 7440);
    for (const TcpState state : {TcpState::opening, TcpState::answered, TcpState::closed, TcpState::reset})
        CHECK(timeouts.of(kProtocolTcp, state) == 240);
    CHECK(timeouts.of(kProtocolTcp, TcpState::unsolicited) == 6);
}

TEST_CASE("timers: UDP's are five minutes, ICMP's one", "[nat][conformance-52]") {
    const Timeouts timeouts;
    CHECK(timeouts.of(kProtocolUdp, TcpState::none) == 300);
    CHECK(timeouts.of(kProtocolIcmp, TcpState::none) == 60);
    CHECK(timeouts.of(kProtocolIcmpv6, TcpState::none) == 60);
    CHECK(timeouts.of(47, TcpState::none) == 300);
}

TEST_CASE("timers: what an RFC forbids, or a table cannot keep, is refused by name", "[nat]") {
    Timeouts timeouts;
    CHECK(timeouts.check());
    timeouts.udp = 119;
    REQUIRE(!timeouts.check());
    CHECK(timeouts.check().error().words == "udp 119: from 120 (RFC 4787 REQ-5) to 32000 seconds");
    timeouts = {};
    timeouts.tcp_established = 32'001;
    CHECK(!timeouts.check());
    timeouts = {};
    timeouts.tcp_transitory = 239;
    CHECK(!timeouts.check());
    timeouts = {};
    timeouts.tcp_unsolicited = 5;
    CHECK(!timeouts.check());
    timeouts = {};
    timeouts.icmp = 59;
    CHECK(!timeouts.check());
    timeouts = {};
    timeouts.other = 0;
    CHECK(!timeouts.check());
}
