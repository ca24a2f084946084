#include "control/roles.hpp"

#include <algorithm>
#include <charconv>
#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include <fmt/format.h>

#include "control/place.hpp"

namespace sekisho::control {

namespace {

constexpr std::array<std::string_view, 4> kRoleNames = {"none", "viewer", "operator", "admin"};
constexpr std::size_t kMostOfAnEntry = std::size_t{1} << 20;  // bytes of a group with its members

std::optional<std::uint32_t> as_number(const std::string& text) {
    std::uint32_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return number;
}

// Calls getpwnam_r or getgrnam_r with as much room as the entry needs; the entry's number, or nothing.
template <class Entry, class Get, class Number>
std::optional<std::uint32_t> look_up(const std::string& name, Get get, Number number) {
    for (std::vector<char> room(4096); room.size() <= kMostOfAnEntry; room.resize(room.size() * 4)) {
        Entry entry{};
        Entry* found = nullptr;
        const int error = get(name.c_str(), &entry, room.data(), room.size(), &found);
        if (error == ERANGE) continue;
        if (found == nullptr) return std::nullopt;
        return number(entry);
    }
    return std::nullopt;
}

Expected<uid_t> user_named(const std::string& name) {
    if (const auto number = as_number(name)) return *number;
    const auto found = look_up<passwd>(name, ::getpwnam_r, [](const passwd& entry) { return entry.pw_uid; });
    if (!found) return Error{ErrorCode::not_found, "this machine has no user " + in_quotes(name)};
    return *found;
}

}  // namespace

Expected<gid_t> group_named(const std::string& name) {
    if (const auto number = as_number(name)) return *number;
    const auto found = look_up<group>(name, ::getgrnam_r, [](const group& entry) { return entry.gr_gid; });
    if (!found) return Error{ErrorCode::not_found, "this machine has no group " + in_quotes(name)};
    return *found;
}

std::string_view name_of(Role role) noexcept {
    return kRoleNames[static_cast<std::size_t>(role)];
}

std::optional<Role> role_named(std::string_view name) noexcept {
    for (const Role role : {Role::viewer, Role::operator_, Role::admin})
        if (name_of(role) == name) return role;
    return std::nullopt;
}

const MethodRow* method_named(std::string_view name) noexcept {
    const auto at =
        std::find_if(kMethods.begin(), kMethods.end(), [&](const MethodRow& row) { return row.name == name; });
    return at == kMethods.end() ? nullptr : &*at;
}

Roles::Roles() : own_(::geteuid()) {}

Expected<void> Roles::add(const std::string& text) {
    const std::size_t equals = text.find('=');
    const auto role = role_named(text.substr(0, equals));
    if (equals == std::string::npos || equals + 1 == text.size() || !role)
        return Error{
            ErrorCode::invalid,
            fmt::format("{}: ROLE=WHOM is expected, a role of viewer, operator and admin, and a user, @group or *",
                        in_quotes(text))};
    const std::string whom = text.substr(equals + 1);
    Rule rule;
    rule.role = *role;
    if (whom != "*") {
        const bool is_group = whom.front() == '@';
        rule.whom = is_group ? Rule::Whom::group : Rule::Whom::user;
        const auto id = is_group ? group_named(whom.substr(1)) : user_named(whom);
        if (!id) return id.error().at(in_quotes(text));
        rule.id = *id;
    }
    rules_.push_back(rule);
    told_ = true;
    return {};
}

Role Roles::of(const Peer& peer) const noexcept {
    if (peer.uid == 0 || peer.uid == own_) return Role::admin;
    if (!told_) return Role::viewer;
    Role highest = Role::none;
    for (const Rule& rule : rules_) {
        const bool meant = rule.whom == Rule::Whom::everybody ||
                           (rule.whom == Rule::Whom::user && rule.id == peer.uid) ||
                           (rule.whom == Rule::Whom::group && peer.is_in(rule.id));
        if (meant) highest = std::max(highest, rule.role);
    }
    return highest;
}

}  // namespace sekisho::control
