// Who may do what on the control socket: the rules, the table, and what a client of each role meets.
#include "control/roles.hpp"

#include <grp.h>
#include <set>
#include <sstream>
#include <sys/wait.h>

#include <catch2/catch.hpp>

#include "tests/control/hub_support.hpp"
#include "tests/support/skip.hpp"

using namespace sekisho;
using namespace sekisho::control;
using namespace sekisho::control::test;
using nlohmann::json;

namespace {

constexpr uid_t kNobody = 65534;

Roles roles_of(const std::vector<std::string>& rules) {
    Roles roles;
    for (const std::string& rule : rules) REQUIRE(roles.add(rule));
    return roles;
}

// Asks the hub as another user, in a process of its own: a line for each answer.
std::vector<json> ask_as(uid_t uid, gid_t gid, const std::string& socket, const std::vector<json>& requests) {
    int ends[2];
    REQUIRE(::pipe(ends) == 0);
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        ::close(ends[0]);
        // The test's own directory is its user's alone, so the connection is made first and the peer is who connects:
        // the groups and the user are changed before.
        std::string lines;
        if (::setgroups(0, nullptr) == 0 && ::setresgid(gid, gid, gid) == 0 && ::setresuid(uid, uid, uid) == 0) {
            try {
                RawClient client(socket);
                for (const json& request : requests) {
                    client.write(request.dump() + "\n");
                    if (const auto line = client.read_line()) lines += *line + "\n";
                }
            } catch (const std::exception&) {
                lines = "";
            }
        }
        [[maybe_unused]] const auto written = ::write(ends[1], lines.data(), lines.size());
        ::_exit(0);
    }
    ::close(ends[1]);
    std::string text;
    char bytes[4096];
    for (ssize_t got; (got = ::read(ends[0], bytes, sizeof bytes)) > 0;)
        text.append(bytes, static_cast<std::size_t>(got));
    ::close(ends[0]);
    ::waitpid(child, nullptr, 0);
    std::vector<json> answers;
    std::istringstream stream(text);
    for (std::string line; std::getline(stream, line);) answers.push_back(json::parse(line));
    return answers;
}

json request(const std::string& method, const json& params = json::object()) {
    return {{"jsonrpc", "2.0"}, {"id", 1}, {"method", method}, {"params", params}};
}

}  // namespace

TEST_CASE("roles: a rule that is none is refused by words", "[control]") {
    Roles roles;
    const auto refuses = [&](const std::string& rule, const std::string& words) {
        const auto added = roles.add(rule);
        REQUIRE_FALSE(added);
        INFO(added.error().words);
        CHECK(added.error().words.find(words) != std::string::npos);
    };
    refuses("admin", "ROLE=WHOM");
    refuses("admin=", "ROLE=WHOM");
    refuses("none=root", "ROLE=WHOM");
    refuses("boss=root", "ROLE=WHOM");
    refuses("viewer=no-such-user-here", "no user \"no-such-user-here\"");
    refuses("viewer=@no-such-group-here", "no group \"no-such-group-here\"");
    refuses("viewer=@", "no group \"\"");
    refuses("viewer=4294967296", "no user");
    CHECK(roles.of({1, kNobody, kNobody, {}}) == Role::viewer);  // none was taken: as without any
}

TEST_CASE("roles: root and the daemon's own user are admins, whatever is said", "[control]") {
    const Roles roles = roles_of({"viewer=root"});
    CHECK(roles.of({1, 0, 0, {}}) == Role::admin);
    CHECK(roles.of({1, ::geteuid(), 12345, {}}) == Role::admin);
}

TEST_CASE("roles: without a rule who may connect is a viewer; with one, who no rule names is nobody", "[control]") {
    CHECK(Roles().of({1, kNobody, kNobody, {}}) == Role::viewer);
    CHECK(roles_of({"operator=4000"}).of({1, kNobody, kNobody, {}}) == Role::none);
}

TEST_CASE("roles: a peer has the highest role of its user, its group and its supplementary groups", "[control]") {
    const Roles roles = roles_of({"viewer=*", "operator=@4001", "admin=4002", "operator=4003"});
    CHECK(roles.of({1, 4000, 4000, {}}) == Role::viewer);
    CHECK(roles.of({1, 4000, 4001, {}}) == Role::operator_);
    CHECK(roles.of({1, 4000, 4000, {7, 4001}}) == Role::operator_);
    CHECK(roles.of({1, 4002, 4001, {}}) == Role::admin);
    CHECK(roles.of({1, 4001, 4002, {}}) == Role::viewer);  // a user's number is no group's
}

TEST_CASE("roles: the table has every method of the daemon once, and the daemon every method of the table",
          "[control]") {
    std::set<std::string_view> names;
    for (const MethodRow& row : kMethods) {
        CHECK(names.insert(row.name).second);
        CHECK(row.least != Role::none);
        CHECK(row.least_for_dry_run <= row.least);
    }
    TestHub hub;
    Asker asker(hub);
    for (const MethodRow& row : kMethods) {
        // A parameter that no method has: refused by the method, so there is one, and it has done nothing.
        const json error = asker.error(std::string(row.name), {{"no such parameter", 1}});
        INFO(row.name);
        CHECK(error["code"] == -32602);
    }
    CHECK(asker.error("no.such.method")["code"] == -32601);
}

TEST_CASE("roles: docs/control-socket.md has the table as it is in the code", "[control]") {
    std::ifstream stream(SEKISHO_DOCS "/control-socket.md");
    const std::string text(std::istreambuf_iterator<char>(stream), {});
    for (const Role role : {Role::viewer, Role::operator_, Role::admin}) {
        std::string row = "| `" + std::string(name_of(role)) + "` |";
        std::string separator = " ";
        for (const MethodRow& method : kMethods) {
            const bool whole = method.least == role;
            const bool dry = !whole && method.least_for_dry_run == role;
            if (!whole && !dry) continue;
            row += separator + "`" + std::string(method.name) + "`" + (dry ? " with `dry_run`" : "");
            separator = ", ";
        }
        INFO(row);
        CHECK(text.find("\n" + row + " |\n") != std::string::npos);
    }
}

TEST_CASE("roles: each role is refused what is above it, is told so, and the refusal is audited", "[control]") {
    if (::geteuid() != 0) {
        return sekisho::test::skip("needs root, to ask as other users");
    }
    TestHub hub({}, as_document(a_document({"kita"})), false, roles_of({"viewer=4001", "operator=@4002"}));
    REQUIRE(hub.started);
    std::filesystem::permissions(hub.directory.path(), std::filesystem::perms(0755));
    std::filesystem::permissions(hub.socket(), std::filesystem::perms(0666));

    const auto nobody = ask_as(4000, 4000, hub.socket(), {request("version"), request("whoami")});
    REQUIRE(nobody.size() == 2);
    for (const json& answer : nobody) CHECK(answer["error"]["data"]["name"] == "permission");

    const auto viewer = ask_as(4001, 4001, hub.socket(),
                               {request("whoami"), request("show.generation"), request("begin"),
                                request("gate.open", {{"id", "x"}}), request("commit", {{"transaction", 1}})});
    REQUIRE(viewer.size() == 5);
    CHECK(viewer[0]["result"] == json({{"role", "viewer"}, {"uid", 4001}, {"gid", 4001}}));
    CHECK(viewer[1]["result"]["generation"] == 1);
    for (std::size_t i = 2; i < 5; ++i) {
        CHECK(viewer[i]["error"]["code"] == 6);
        CHECK(viewer[i]["error"]["data"]["role"] == "viewer");
    }
    CHECK(viewer[4]["error"]["data"]["least"] == "admin");

    const auto engineer =
        ask_as(4000, 4002, hub.socket(),
               {request("whoami"), request("begin"),
                request("batch", {{"transaction", 1}, {"put", {{"operators", {an_operator("minami")}}}}}),
                request("commit", {{"transaction", 1}, {"dry_run", true}}),
                request("commit", {{"transaction", 1}, {"dry_run", "yes"}}), request("commit", {{"transaction", 1}})});
    REQUIRE(engineer.size() == 6);
    CHECK(engineer[0]["result"]["role"] == "operator");
    CHECK(engineer[3]["result"]["counts"]["operators"]["added"] == 1);
    CHECK(engineer[4]["error"]["code"] == 6);
    CHECK(engineer[5]["error"]["code"] == 6);
    CHECK(hub.node.generations() == std::vector<std::uint64_t>{1});

    const auto audited = [&] {
        std::vector<std::string> found;
        for (const json& line : hub.audit_lines())
            if (line["what"] == "permission")
                found.push_back(line["method"].get<std::string>() + " " + std::to_string(line["uid"].get<int>()));
        return found;
    };
    CHECK(comes_true([&] { return audited().size() == 7; }));
    CHECK(audited() == std::vector<std::string>{"version 4000", "whoami 4000", "begin 4001", "gate.open 4001",
                                                "commit 4001", "commit 4000", "commit 4000"});
}

TEST_CASE("roles: a client that asks for what is not its own cannot fill the audit log", "[control]") {
    if (::geteuid() != 0) {
        return sekisho::test::skip("needs root, to ask as another user");
    }
    TestHub hub;
    std::filesystem::permissions(hub.directory.path(), std::filesystem::perms(0755));
    std::filesystem::permissions(hub.socket(), std::filesystem::perms(0666));
    const auto answers = ask_as(4000, 4000, hub.socket(), std::vector<json>(500, request("begin")));
    CHECK(answers.size() == 500);
    CHECK(comes_true([&] { return hub.audit_lines().size() >= 50; }));
    CHECK(hub.audit_lines().size() < 250);
}
