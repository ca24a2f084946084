// What the tests of the compiler share: policies in a few words, and one question put to a policy or to its tables.
//
// look_up() walks who, hub, matrix and where of compiled tables as the packet path does; decide() answers the same from
// the objects of the policy alone, without the compiler. The two know nothing of each other. Tests only.
#pragma once

#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <iterator>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "control/compile.hpp"
#include "control/policy.hpp"
#include "tests/support/random.hpp"

namespace sekisho::control::test {

// 2026-11-22T12:00:00+09:00.
inline constexpr std::chrono::system_clock::time_point kNow{std::chrono::seconds(1'795'316'400)};

IpPrefix prefix(std::string_view text);
IpAddress address(std::string_view text);

NodePorts ports();  // "p0" to "p3", of 8,900 bytes each

// Objects, added to the policy, with what the tests seldom vary left as it is there.
Operator& add_operator(Policy& policy, const std::string& id);
// On p0, the next VLAN; both families; its IPv4 subnet as told, its IPv6 subnet fd00:ffff:<VLAN>::/64.
Attachment& add_attachment(Policy& policy, const std::string& id, const std::string& of, std::string_view subnet);
// An underlay of its own at 172.<16 + VLAN / 256>.<VLAN % 256>.1/24, and a tunnel over it to .2 of that as the path of
// a new attachment, both families; returned is that.
Attachment& add_tunnel(Policy& policy, const std::string& id, const std::string& of);
Translation& add_translation(Policy& policy, const std::string& id, const std::string& of, std::string_view inside,
                             std::string_view hub);
Institution& add_institution(Policy& policy, const std::string& id, const std::string& of,
                             std::initializer_list<std::string_view> prefixes,
                             std::initializer_list<std::string> attachments);
Agreement& add_agreement(Policy& policy, const std::string& id, Protocol protocol, std::vector<PortRange> ports = {});
Route& add_route(Policy& policy, const std::string& of, std::string_view prefix, const std::string& attachment,
                 std::string_view gateway);
Gate& add_gate(Policy& policy, const std::string& id, GateTarget target, const std::string& target_id);

// kita and minami with the same 10.0.0.0/8, a clinic each, and an agreement by which kita reaches minami's TCP 443.
Policy two_operators();

struct Question {
    std::string attachment;
    IpAddress source;
    IpAddress destination;
    std::uint8_t protocol = 6;
    std::uint16_t source_port = 40000;
    std::uint16_t destination_port = 443;
    bool answers = false;  // TCP with ACK or RST, an echo reply
};

struct Answer {
    bool open = false;    // the attachment
    bool serves = false;  // the family there
    std::string source_institution;
    bool may_use = false;
    bool source_closed = false;
    std::string source_in_hub;
    std::string destination_institution;
    bool destination_closed = false;
    std::string destination_inside;
    std::string destination_operator;
    std::string way;       // "gateway <attachment> <address>", "connected <attachment>", "blackhole", "none"
    bool forward = false;  // the agreement's direction
    bool reverse = false;  // against it
    bool tracked = false;  // may open a session
    bool passes = false;

    friend bool operator==(const Answer&, const Answer&) = default;
};
std::ostream& operator<<(std::ostream& out, const Answer& answer);
std::ostream& operator<<(std::ostream& out, const Question& question);

Answer look_up(const Compiler& compiler, const dataplane::Tables& tables, const Question& question);
Answer decide(const Policy& policy, std::chrono::system_clock::time_point now, const Question& question);

// An attachment's tunnel in words, with its ends, MTU and the way to its peer; "none" if it is on a port. From tables
// and from the policy, as above.
std::string tunnel_of(const Compiler& compiler, const dataplane::Tables& tables, const std::string& attachment);
std::string tunnel_of(const Policy& policy, const std::string& attachment);

// Random policies that validate: operators that share their space, nested prefixes, gates, dates.
class RandomPolicies {
  public:
    explicit RandomPolicies(const std::string& who) : random_(who) {}
    Policy policy();
    void edit(Policy& policy);                // one object, or a few, added, changed or removed
    Question question(const Policy& policy);  // mostly about what the policy names, and its edges
    std::uint32_t below(std::uint32_t limit) { return static_cast<std::uint32_t>(random_.below(limit)); }

  private:
    void add_random_operator(Policy& policy);
    void add_random_attachment(Policy& policy);
    void add_random_tunnel(Policy& policy);
    void add_random_institution(Policy& policy);
    void add_random_agreement(Policy& policy);
    void add_random_route(Policy& policy);
    void add_random_gate(Policy& policy);
    void edit_attachment(Policy& policy);
    void drop_attachment(Policy& policy, const std::string& name, const std::string& other);
    void edit_tunnel(Policy& policy);
    void edit_ground(Policy& policy);
    void drop_operator(Policy& policy);
    IpPrefix near(const Policy& policy, bool finer);
    IpAddress inside(const IpPrefix& prefix);
    void date(std::string& from, std::string& until);
    template <class Map>
    const std::string& any_of(const Map& objects) {
        return std::next(objects.begin(),
                         static_cast<std::ptrdiff_t>(below(static_cast<std::uint32_t>(objects.size()))))
            ->first;
    }
    bool one_in(std::uint32_t n) { return below(n) == 0; }

    sekisho::test::Random random_;
    std::uint32_t next_ = 0;  // for names
};

// The tables or a failed test.
Compiled compile(Compiler& compiler, const Policy& policy, std::chrono::system_clock::time_point now = kNow);

}  // namespace sekisho::control::test
