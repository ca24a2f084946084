// The agent as a program, beside a control side in this process whose node only remembers.
#pragma once

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "control/document_hash.hpp"
#include "control/signature.hpp"
#include "tests/agent/etcd_support.hpp"
#include "tests/control/hub_support.hpp"

namespace sekisho::agent::test {

using control::Kind;
using control::test::a_document;
using control::test::a_hub;
using control::test::an_operator;
using control::test::path_from;
using control::test::TestHub;
using control::test::write_file;

inline json an_attachment(const std::string& id, const std::string& operator_id, int number) {
    return {{"id", id},
            {"operator", operator_id},
            {"port", "port0"},
            {"vlan", number},
            {"method", "leased_line"},
            {"protection", "none"},
            {"session_management", "none"},
            {"family", "ipv4"},
            {"mac", fmt::format("02:00:00:00:00:{:02x}", number)},
            {"ipv4", fmt::format("192.0.2.{}/30", 4 * number + 1)},
            {"demarcation", "x"}};
}

// The agent's command line for a node of the cluster.
class Agent {
  public:
    Agent(const std::string& socket, const EtcdOptions& etcd, const std::string& node,
          const std::vector<std::string>& more = {})
        : arguments_({"--socket", socket, "--node", node, "--lease", "2", "run"}) {
        for (const std::string& endpoint : etcd.endpoints) arguments_.insert(arguments_.end(), {"--etcd", endpoint});
        if (!etcd.ca_file.empty()) arguments_.insert(arguments_.end(), {"--ca", etcd.ca_file});
        if (!etcd.certificate_file.empty())
            arguments_.insert(arguments_.end(), {"--cert", etcd.certificate_file, "--key", etcd.key_file});
        arguments_.insert(arguments_.end(), more.begin(), more.end());
        start();
    }
    Agent(const std::string& socket, const std::string& file, const std::vector<std::string>& more = {})
        : arguments_({"--socket", socket, "--file", file, "run"}) {
        arguments_.insert(arguments_.end(), more.begin(), more.end());
        start();
    }
    void start() { process_ = std::make_unique<Program>(path_from("SEKISHO_AGENT"), arguments_); }
    void kill() { process_.reset(); }
    void signal(int number) const { process_->signal(number); }
    int stop() {
        process_->signal(SIGTERM);
        return process_->wait();
    }
    pid_t pid() const { return process_->pid(); }
    std::string log() const { return process_->err(); }
    bool has_ended() const { return process_->has_ended(); }
    // Whether the log has the words by now.
    bool says(const std::string& words) const {
        return comes_true([&] { return log().find(words) != std::string::npos; });
    }

  private:
    std::vector<std::string> arguments_;
    std::unique_ptr<Program> process_;
};

// What runs on the hub.
struct Seen {
    std::uint64_t generation;
    std::string label;
    control::Document document;
    bool has(Kind kind, const std::string& id) const { return document.find(kind, id) != nullptr; }
};
inline Seen seen(const TestHub& hub) {
    return hub.on_loop([&] {
        const auto& running = *hub.generations->running();
        return Seen{running.number, running.label, running.document};
    });
}
// Waits until the hub runs a document that has the object, or has it no more.
inline bool gets(const TestHub& hub, Kind kind, const std::string& id, bool there = true) {
    return comes_true([&] { return seen(hub).has(kind, id) == there; });
}

// A key pair of the store's, made by openssl, and its signature of a document with these operators.
struct Signer {
    TemporaryDirectory directory;
    std::string secret = directory / "secret.pem", open = directory / "public.pem";
    Signer() {
        const auto made =
            control::test::run("/bin/sh", {"-c", "openssl genpkey -algorithm ed25519 -out " + secret +
                                                     " && openssl pkey -in " + secret + " -pubout -out " + open});
        REQUIRE(made.exit_code == 0);
    }
    control::SigningKeys keys() const {
        control::SigningKeys keys;
        REQUIRE(keys.add(open));
        return keys;
    }
    std::string sign(const std::vector<std::string>& operators) const {
        return control::sign(secret, control::hash_of(control::test::as_document(a_document(operators))).text).value();
    }
};

// A store with a small policy, and node hub-1 that has all of it.
inline Etcd::Changes small_policy() {
    Etcd::Changes changes = {{"hub", a_hub().dump()}, {"nodes/hub-1", json{{"id", "hub-1"}}.dump()}};
    for (const char* id : {"kita", "minami"})
        changes.emplace_back(std::string("operators/") + id, an_operator(id).dump());
    return changes;
}

// A store with the small policy, and a node with an agent that has it.
struct Cluster {
    Etcd etcd;
    TestHub hub;
    std::optional<Agent> agent;

    explicit Cluster(const std::vector<std::string>& more = {}, const std::vector<std::string>& etcd_more = {})
        : etcd(etcd_more) {
        etcd.write(small_policy());
        agent.emplace(hub.socket(), etcd.options(), "hub-1", more);
        REQUIRE(gets(hub, Kind::operators, "minami"));
    }
    // Waits until the state in the store fulfils it.
    template <class Condition>
    json state_when(Condition condition) const {
        json state;
        const bool came = comes_true([&] {
            state = etcd.state_of("hub-1");
            return state.is_object() && condition(state);
        });
        INFO(state.dump(1) << agent->log());
        CHECK(came);
        return state;
    }
    json state_with_refusal(const std::string& key) const {
        return state_when([&](const json& state) {
            return std::any_of(state["refused"].begin(), state["refused"].end(),
                               [&](const json& one) { return one["key"] == key; });
        });
    }
};

}  // namespace sekisho::agent::test
