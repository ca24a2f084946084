// TLS, certificates that are users, and roles that are taken away.
#include <catch2/catch.hpp>
#include <fmt/format.h>

#include "tests/agent/agent_support.hpp"
#include "tests/agent/certificates.hpp"

using namespace sekisho;
using namespace sekisho::agent;
using namespace sekisho::agent::test;

namespace {

// etcd with authentication: root does what the tests do; the user hub-1 may read the policy and write its own state.
struct Guarded {
    Authority authority;
    Etcd etcd{{}, authority.issue("root")};
    TestHub hub;

    Guarded() {
        etcd.write(small_policy());
        for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{
                 {"user", "add", "root", "--no-password"},
                 {"user", "add", "hub-1", "--no-password"},
                 {"role", "add", "node"},
                 {"role", "grant-permission", "--prefix=true", "node", "read", "/sekisho/hub/policy/"},
                 {"role", "add", "state-1"},
                 {"role", "grant-permission", "state-1", "readwrite", "/sekisho/hub/state/hub-1"},
                 {"user", "grant-role", "hub-1", "node"},
                 {"user", "grant-role", "hub-1", "state-1"},
                 {"user", "grant-role", "root", "root"},
                 {"auth", "enable"}})
            REQUIRE(etcd.ctl(words).exit_code == 0);
    }
    EtcdOptions as(const Etcd::Tls& tls) const { return {{etcd.endpoint()}, tls.ca, tls.certificate, tls.key}; }
};

}  // namespace

TEST_CASE("tls: a certificate's common name is the user, whose role suffices", "[agent][tls]") {
    Guarded place;
    Agent agent(place.hub.socket(), place.as(place.authority.issue("hub-1")), "hub-1", {"--watch-life", "1"});
    REQUIRE(gets(place.hub, Kind::operators, "kita"));
    place.etcd.put("operators/chuo", an_operator("chuo"));
    CHECK(gets(place.hub, Kind::operators, "chuo"));
    CHECK(comes_true([&] { return place.etcd.state_of("hub-1").is_object(); }));
    std::this_thread::sleep_for(std::chrono::milliseconds(1200));  // another watch by now, on another connection
    place.etcd.put("operators/nishi", an_operator("nishi"));
    CHECK(gets(place.hub, Kind::operators, "nishi"));
    CHECK(agent.stop() == 0);
    CHECK(place.etcd.state_of("hub-1").is_null());
}

TEST_CASE("tls: a role that was taken away tells within the watch's life, and the node goes on", "[agent][tls]") {
    Guarded place;
    Agent agent(place.hub.socket(), place.as(place.authority.issue("hub-1")), "hub-1", {"--watch-life", "1"});
    REQUIRE(gets(place.hub, Kind::operators, "kita"));
    REQUIRE(agent.says("objects read"));
    REQUIRE(place.etcd.ctl({"user", "revoke-role", "hub-1", "node"}).exit_code == 0);
    REQUIRE(agent.says("permission denied"));
    place.etcd.put("operators/secret", an_operator("secret"));
    CHECK(comes_true([&] {
        const json state = place.etcd.state_of("hub-1");
        return state.is_object() && state["source"].is_string();
    }));
    CHECK_FALSE(seen(place.hub).has(Kind::operators, "secret"));
    CHECK(seen(place.hub).has(Kind::operators, "kita"));
    REQUIRE(place.etcd.ctl({"user", "grant-role", "hub-1", "node"}).exit_code == 0);
    CHECK(gets(place.hub, Kind::operators, "secret"));
}

TEST_CASE("tls: a user that was deleted tells within the watch's life, and the node goes on", "[agent][tls]") {
    Guarded place;
    Agent agent(place.hub.socket(), place.as(place.authority.issue("hub-1")), "hub-1", {"--watch-life", "1"});
    REQUIRE(gets(place.hub, Kind::operators, "kita"));
    const std::uint64_t generation = seen(place.hub).generation;
    REQUIRE(place.etcd.ctl({"user", "delete", "hub-1"}).exit_code == 0);
    // In etcd's words; which they are depends on what is asked first.
    CHECK(comes_true([&] {
        const std::string log = agent.log();
        return log.find("auth: user name not found") != std::string::npos ||
               log.find("permission denied") != std::string::npos ||
               log.find("invalid auth token") != std::string::npos;
    }));
    CHECK(agent.says("the node's state is not told: etcd https://"));
    std::this_thread::sleep_for(std::chrono::milliseconds(1500));  // the watch that was open has ended
    place.etcd.put("operators/secret", an_operator("secret"));
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
    CHECK_FALSE(seen(place.hub).has(Kind::operators, "secret"));
    CHECK(seen(place.hub).generation == generation);
    CHECK_FALSE(agent.has_ended());
}

TEST_CASE("tls: keys that the node's role may not read are no matter to its policy", "[agent][tls]") {
    Guarded place;
    const std::string key = place.hub.directory / "node.key";
    REQUIRE(run("/usr/bin/openssl", {"genpkey", "-algorithm", "x25519", "-out", key}).exit_code == 0);
    REQUIRE(run("/usr/bin/openssl", {"pkey", "-in", key, "-pubout", "-out", key + ".pem"}).exit_code == 0);
    Agent agent(place.hub.socket(), place.as(place.authority.issue("hub-1")), "hub-1",
                {"--node-key", key, "--keys-from", key + ".pem"});
    REQUIRE(gets(place.hub, Kind::operators, "kita"));
    CHECK(agent.says("keys: etcd https://"));
    CHECK(comes_true([&] {
        const json state = place.etcd.state_of("hub-1");
        return state.is_object() && state["keys"].is_object() && state["keys"]["trouble"].is_string() &&
               state["keys"]["trouble"].get<std::string>().find("permission denied") != std::string::npos;
    }));
    REQUIRE(place.etcd.ctl({"role", "grant-permission", "--prefix=true", "state-1", "read", "/sekisho/hub/keys/hub-1/"})
                .exit_code == 0);
    CHECK(agent.says("keys: 0 objects read"));
}

TEST_CASE("tls: wrong certificates are refused, and say so", "[agent][tls]") {
    Guarded place;
    Authority stranger("stranger");
    const Etcd::Tls good = place.authority.issue("hub-1");
    const auto refused = [&](const Etcd::Tls& tls, const std::string& words) {
        TestHub hub;
        Agent agent(hub.socket(), place.as(tls), "hub-1");
        INFO(words);
        CHECK(agent.says(words));
        INFO(agent.log());
        CHECK(agent.log().find("objects read") == std::string::npos);
        CHECK_FALSE(agent.has_ended());
        CHECK(seen(hub).generation == 0);
    };
    Etcd::Tls strangers = stranger.issue("hub-1");
    refused({good.ca, strangers.certificate, strangers.key}, "etcd https://");  // not signed by the store's authority
    refused({strangers.ca, good.certificate, good.key}, "etcd https://");       // the store is not who it should be
    refused(place.authority.issue("nobody"), "etcd https://");                  // no such user
    refused({good.ca, {}, {}}, "etcd https://");                                // nobody at all
    refused({good.ca, good.certificate, "/no/where.key"}, "/no/where.key: cannot be read");
}

TEST_CASE("tls: a certificate that was renewed comes into use without a restart", "[agent][tls]") {
    Guarded place;
    const Etcd::Tls nobody = place.authority.issue("nobody"), good = place.authority.issue("hub-1");
    const std::string certificate = place.hub.directory / "agent.pem", key = place.hub.directory / "agent.key";
    std::filesystem::copy(nobody.certificate, certificate);
    std::filesystem::copy(nobody.key, key);
    Agent agent(place.hub.socket(), place.as({good.ca, certificate, key}), "hub-1", {"--watch-life", "1"});
    REQUIRE(agent.says("etcd https://"));
    CHECK(seen(place.hub).generation == 0);
    std::filesystem::rename(good.key, key);
    std::filesystem::rename(good.certificate, certificate);
    CHECK(gets(place.hub, Kind::operators, "kita"));
}
