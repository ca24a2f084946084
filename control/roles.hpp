// Roles: what a client of the control socket may ask, and who has which role.
//
// One table says for every method the least role that may call it; the daemon, docs/control-socket.md's table and the
// tests all read that. Who has a role is this node's configuration (--role), judged by what the kernel knows of the
// peer: its user, its group and its supplementary groups when it connected. Names become numbers once, at start.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "control/peer.hpp"
#include "net/expected.hpp"

namespace sekisho::control {

enum class Role : std::uint8_t { none, viewer, operator_, admin };  // each may what those before it may

std::string_view name_of(Role role) noexcept;  // "operator"; as in --role
std::optional<Role> role_named(std::string_view name) noexcept;

struct MethodRow {
    std::string_view name;
    Role least;                      // that may call it
    Role least_for_dry_run = least;  // likewise, when its parameter "dry_run" is true
};

inline constexpr std::array kMethods = {
    MethodRow{"version", Role::viewer},
    MethodRow{"whoami", Role::viewer},
    MethodRow{"explain", Role::viewer},
    MethodRow{"events", Role::viewer},
    MethodRow{"show.generation", Role::viewer},
    MethodRow{"show.tables", Role::viewer},
    MethodRow{"show.policy", Role::viewer},
    MethodRow{"show.operators", Role::viewer},
    MethodRow{"show.allocations", Role::viewer},
    MethodRow{"show.attachments", Role::viewer},
    MethodRow{"show.institutions", Role::viewer},
    MethodRow{"show.translations", Role::viewer},
    MethodRow{"show.agreements", Role::viewer},
    MethodRow{"show.tunnels", Role::viewer},
    MethodRow{"show.routes", Role::viewer},
    MethodRow{"show.rows", Role::viewer},
    MethodRow{"show.gates", Role::viewer},
    MethodRow{"show.ports", Role::viewer},
    MethodRow{"show.counters", Role::viewer},
    MethodRow{"show.drops", Role::viewer},
    MethodRow{"show.stages", Role::viewer},
    MethodRow{"show.neighbours", Role::viewer},
    MethodRow{"show.taps", Role::viewer},
    MethodRow{"show.workers", Role::viewer},
    MethodRow{"show.generations", Role::viewer},
    MethodRow{"show.schedule", Role::viewer},
    MethodRow{"show.drift", Role::viewer},
    MethodRow{"show.sessions", Role::viewer},
    MethodRow{"show.blocks", Role::viewer},
    MethodRow{"who", Role::viewer},
    MethodRow{"session.clear", Role::operator_},
    MethodRow{"gate.close", Role::operator_},
    MethodRow{"gate.open", Role::operator_},
    MethodRow{"begin", Role::operator_},
    MethodRow{"batch", Role::operator_},
    MethodRow{"diff", Role::operator_},
    MethodRow{"abort", Role::operator_},
    MethodRow{"commit", Role::admin, Role::operator_},
    MethodRow{"confirm", Role::admin},
    MethodRow{"rollback", Role::admin, Role::operator_},
    MethodRow{"schedule.cancel", Role::admin},
    MethodRow{"show.sa", Role::viewer},
    MethodRow{"show.ledger", Role::viewer},
    MethodRow{"show.compliance", Role::viewer},
    MethodRow{"sa.remove", Role::admin},
    MethodRow{"sa.install", Role::admin},
    MethodRow{"sa.rekey", Role::admin},
    MethodRow{"sa.switch", Role::admin},
    MethodRow{"ledger.new", Role::admin},
    MethodRow{"ledger.witness", Role::admin},
    MethodRow{"ledger.answer", Role::admin},
};

const MethodRow* method_named(std::string_view name) noexcept;  // nullptr when there is none

// Who has which role on this node.
class Roles {
  public:
    // Root and the daemon's own user are admins, whatever else is said: they could write its state directory anyway.
    // Without any rule, everybody who may connect is a viewer.
    Roles();

    // Adds a rule, "admin=root", "operator=@noc", "viewer=*": a user or, after @, a group, by name or number; * is
    // everybody who may connect. Errors name the rule: no such role, user or group.
    Expected<void> add(const std::string& rule);

    // The highest that any rule gives.
    Role of(const Peer& peer) const noexcept;

  private:
    struct Rule {
        enum class Whom : std::uint8_t { everybody, user, group };
        Role role = Role::none;
        Whom whom = Whom::everybody;
        std::uint32_t id = 0;
    };
    std::vector<Rule> rules_;
    bool told_ = false;  // by add()
    uid_t own_;
};

// The number of a group by its name or number; error not_found names it.
Expected<gid_t> group_named(const std::string& name);

}  // namespace sekisho::control
