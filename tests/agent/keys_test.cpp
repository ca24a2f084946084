// SAs whose keys are in a real etcd, wrapped: installed, rekeyed, removed, refused; and where the keys are not.
#include <algorithm>
#include <filesystem>

#include <catch2/catch.hpp>
#include <fmt/format.h>

#include "control/client.hpp"
#include "tests/agent/agent_support.hpp"
#include "tests/control/sas_support.hpp"

using namespace sekisho;
using namespace sekisho::agent;
using namespace sekisho::agent::test;
using control::test::key_text;
using control::test::protected_draft;
using control::test::SaHub;
using control::test::seconds_from_now;

namespace {

// Key pairs of X25519 as an operator makes them.
struct KeyFiles {
    TemporaryDirectory directory;
    std::string secret(const std::string& name) const { return directory / (name + ".key"); }
    std::string open(const std::string& name) const { return directory / (name + ".pem"); }
    explicit KeyFiles(const std::vector<std::string>& names) {
        for (const std::string& name : names)
            REQUIRE(run("/bin/sh", {"-c", "openssl genpkey -algorithm x25519 -out " + secret(name) +
                                              " && openssl pkey -in " + secret(name) + " -pubout -out " + open(name)})
                        .exit_code == 0);
    }
};

json a_pair(std::uint32_t spi, const std::string& tunnel = "kita-esp") {
    return {{"tunnel", tunnel},
            {"created", control::time_text(seconds_from_now(-10))},
            {"inbound", {{"spi", spi}, {"key", key_text(2 * spi)}}},
            {"outbound", {{"spi", spi + 1}, {"key", key_text(2 * spi + 1)}}}};
}

// A store with the policy of a node with tunnels, keys, and whoever wraps them.
struct KeyStore {
    KeyFiles files{{"hub-1", "hub-2", "maker", "stranger"}};
    Etcd etcd;
    std::vector<std::string> agent_words = {
        "--node-key", files.secret("hub-1"), "--keys-from", files.open("maker"), "--drift", "report"};

    explicit KeyStore(const control::Draft& draft) {
        const std::string file = files.directory / "policy.json";
        control::test::write_file(file, draft.json().dump());
        const Ran ran = run(path_from("SEKISHO_AGENT"), {"--etcd", etcd.endpoint(), "--node", "hub-1", "import", file});
        INFO(ran.err);
        REQUIRE(ran.exit_code == 0);
    }
    Ran wrap(const std::vector<json>& sas, const std::string& by = "maker", const std::string& to = "hub-1",
             const std::vector<std::string>& more = {"--put"}) const {
        const std::string file = files.directory / "sas.json";
        control::test::write_file(file, json{{"sas", sas}}.dump());
        std::vector<std::string> words = {"--etcd", etcd.endpoint(), "--node",         "hub-1", "wrap",
                                          file,     "--by",          files.secret(by), "--to",  files.open(to)};
        words.insert(words.end(), more.begin(), more.end());
        return run(path_from("SEKISHO_AGENT"), words);
    }
    void put(const std::vector<json>& sas) const {
        const Ran ran = wrap(sas);
        INFO(ran.err);
        REQUIRE(ran.exit_code == 0);
    }
    std::string key(const std::string& name) const { return keys_prefix("hub", "hub-1") + name; }
    void put_text(const std::string& name, const std::string& value) const {
        REQUIRE(etcd.ctl({"put", key(name), value}).exit_code == 0);
    }
    void erase(const std::string& name) const { REQUIRE(etcd.ctl({"del", key(name)}).exit_code == 0); }
};

struct KeyCluster : KeyStore {
    SaHub hub;
    std::optional<Agent> agent;
    explicit KeyCluster(int tunnels = 1) : KeyStore(protected_draft(tunnels)), hub(protected_draft(tunnels)) {
        agent.emplace(hub.hub.socket(), etcd.options(), "hub-1", agent_words);
    }
    bool becomes(const std::string& states) {
        const bool came = comes_true([&] { return hub.states() == states; });
        if (!came) UNSCOPED_INFO(hub.states() << "\n" << agent->log());
        return came;
    }
    std::size_t lines(const char* what) const {
        std::size_t count = 0;
        for (const json& line : hub.hub.audit_lines()) count += line["what"] == what;
        return count;
    }
};

// Whether a key is in the text: as it is, as digits, or in base64.
bool holds(const std::string& text, std::uint32_t number) {
    const std::string digits = key_text(number);
    std::string raw;
    for (std::size_t i = 0; i < 24; i += 2) raw += static_cast<char>(std::stoul(digits.substr(i, 2), nullptr, 16));
    return text.find(digits.substr(0, 16)) != std::string::npos || text.find(raw) != std::string::npos;
}
bool holds_one(const std::string& text, std::uint32_t first, std::uint32_t last) {
    for (std::uint32_t number = first; number <= last; ++number)
        if (holds(text, number)) return true;
    return false;
}

// What a process can write to, all of it.
std::string memory_of(pid_t pid) {
    std::ifstream maps(fmt::format("/proc/{}/maps", pid)), memory(fmt::format("/proc/{}/mem", pid), std::ios::binary);
    if (!maps || !memory) sekisho::test::skip("/proc/PID/mem cannot be read here");
    std::string all;
    for (std::string line; std::getline(maps, line);) {
        unsigned long first = 0, end = 0;
        char rights[5] = {};
        if (std::sscanf(line.c_str(), "%lx-%lx %4s", &first, &end, rights) != 3 || rights[1] != 'w') continue;
        if (end - first > 1UL << 30) continue;  // a sanitizer's, which holds nothing of the program's
        std::string piece(end - first, '\0');
        memory.clear();
        memory.seekg(static_cast<std::streamoff>(first));
        memory.read(piece.data(), static_cast<std::streamsize>(piece.size()));
        all.append(piece, 0, static_cast<std::size_t>(std::max<std::streamsize>(0, memory.gcount())));
    }
    return all;
}

}  // namespace

TEST_CASE("keys: SAs whose keys are in the store are installed, and the keys are nowhere else", "[agent][keys]") {
    KeyCluster cluster;
    cluster.put({a_pair(4096)});
    REQUIRE(cluster.becomes("inbound 4096 open, outbound 4097 current"));
    const std::string label = cluster.hub.all()[0]["label"];
    CHECK(label.starts_with("keys/kita-esp/4096#"));
    CHECK(cluster.lines("sa.install") == 1);
    CHECK(comes_true([&] {
        const json state = cluster.etcd.state_of("hub-1");
        return state.is_object() && state["keys"].is_object() && state["keys"]["sas"] == 2 &&
               state["keys"]["objects"] == 1 && state["keys"]["refused"].empty();
    }));

    // Not where anybody could look for them afterwards.
    std::string texts = cluster.agent->log() + cluster.etcd.ctl({"get", "--prefix", "/", "-w", "json"}).out +
                        cluster.etcd.get(cluster.key("kita-esp/4096")) + cluster.hub.all().dump();
    for (const auto& file : std::filesystem::recursive_directory_iterator(cluster.hub.hub.directory_of_state))
        if (file.is_regular_file()) texts += control::test::content_of(file.path());
    CHECK(texts.find("sa.install") != std::string::npos);  // the audit log is in there
    CHECK_FALSE(holds_one(texts, 8192, 8193));
    CHECK_FALSE(holds_one(memory_of(cluster.agent->pid()), 8192, 8193));

    // An agent that starts finds them there, and the same object written again changes nothing.
    cluster.agent->kill();
    cluster.agent->start();
    REQUIRE(cluster.agent->says("keys: 1 objects read"));
    cluster.put_text("kita-esp/4096", cluster.etcd.get(cluster.key("kita-esp/4096")).substr(0, std::string::npos));
    cluster.put({a_pair(5000)});
    REQUIRE(cluster.becomes("inbound 4096 open, inbound 5000 open, outbound 5001 current"));
    CHECK(cluster.lines("sa.install") == 1);
    CHECK(cluster.lines("sa.remove") == 0);

    // An object that went while nobody looked goes, too.
    cluster.agent->kill();
    cluster.erase("kita-esp/4096");
    cluster.agent->start();
    REQUIRE(cluster.becomes("inbound 5000 open, outbound 5001 current"));
    cluster.erase("kita-esp/5000");
    CHECK(cluster.becomes(""));
}

TEST_CASE("keys: a rekey opens, switches, and then removes; at a time, if that is said", "[agent][keys]") {
    KeyCluster cluster;
    cluster.put({a_pair(4096)});
    REQUIRE(cluster.becomes("inbound 4096 open, outbound 4097 current"));
    json later = a_pair(5000);
    later["from"] = control::time_text(seconds_from_now(3));
    cluster.put({later});
    REQUIRE(cluster.becomes("inbound 4096 open, inbound 5000 open, outbound 4097 current, outbound 5001 waiting"));
    REQUIRE(cluster.becomes("inbound 4096 open, inbound 5000 open, outbound 5001 current"));
    cluster.erase("kita-esp/4096");
    REQUIRE(cluster.becomes("inbound 5000 open, outbound 5001 current"));
    // A new one in place of the old in one breath: there is an outbound SA at every moment.
    control::test::Asker listener(cluster.hub.hub);
    listener.result("events", {{"kinds", {"sa"}}});
    cluster.put({a_pair(6000)});
    cluster.erase("kita-esp/5000");
    REQUIRE(cluster.becomes("inbound 6000 open, outbound 6001 current"));
    const json event = listener.answer()["params"];
    CHECK(event["spi"] == 5000);
    CHECK(event["direction"] == "inbound");
    CHECK(cluster.lines("sa.switch") == 2);
}

TEST_CASE("keys: what is refused is named, and the others go on", "[agent][keys]") {
    KeyCluster cluster(5);
    cluster.put({a_pair(4096)});
    REQUIRE(cluster.becomes("inbound 4096 open, outbound 4097 current"));
    REQUIRE(cluster.wrap({a_pair(5000, "kita-esp-1")}, "stranger").exit_code == 0);
    REQUIRE(cluster.wrap({a_pair(6000, "kita-esp-2")}, "maker", "hub-2").exit_code == 0);
    json twice = a_pair(4096, "kita-esp-3"), old = a_pair(7000, "kita-esp-3");
    twice["inbound"]["key"] = key_text(1);
    twice["outbound"]["key"] = key_text(2);
    old["created"] = control::time_text(seconds_from_now(-5000));
    cluster.put({twice, old, a_pair(8000, "osaka"), a_pair(9000, "kita-esp-4")});
    cluster.put_text("kita-esp-4/half", R"({"node": "hub-1", "tunnel": "kita-esp-4")");
    cluster.put_text("nonsense", "{}");
    const std::vector<std::pair<std::string, std::string>> refusals = {
        {"kita-esp-1/5000", ".wrapped: is not for this node's key"},
        {"kita-esp-2/6000", ".wrapped: is not for this node's key"},
        {"kita-esp-3/4096", "inbound SPI 0x00001000 is that of tunnel \"kita-esp\""},
        {"kita-esp-3/7000", "it is older than the ledger"},
        {"osaka/8000", "the running policy has no such tunnel"},
        {"kita-esp-4/half", "line 1"},
        {"nonsense", "keys are under keys/NODE/TUNNEL/NAME"}};
    for (const auto& refusal : refusals) {
        const std::string name = refusal.first, words = refusal.second;
        INFO(name);
        CHECK(comes_true([&] {
            const json state = cluster.etcd.state_of("hub-1");
            if (!state.is_object() || !state["keys"].is_object()) return false;
            for (const json& one : state["keys"]["refused"])
                if (one["key"] == "keys/hub-1/" + name &&
                    one["words"].get<std::string>().find(words) != std::string::npos)
                    return true;
            return false;
        }));
        CHECK(cluster.agent->says("keys/hub-1/" + name + " is refused: "));
    }
    CHECK(cluster.becomes("inbound 4096 open, outbound 4097 current, inbound 9000 open, outbound 9001 current"));
    const Ran fleet = run(path_from("SEKISHO_AGENT"), {"--etcd", cluster.etcd.endpoint(), "fleet"});
    CHECK(fleet.out.find("hub-1: refused: keys/hub-1/osaka/8000: ") != std::string::npos);

    SECTION("an object whose keys change under their SPIs is refused, and what was there stays") {
        json other = a_pair(4096);
        other["inbound"]["key"] = key_text(3);
        other["outbound"]["key"] = key_text(4);
        cluster.put({other});
        CHECK(cluster.agent->says("keys/hub-1/kita-esp/4096 is refused: .inbound.spi, .outbound.spi: an SA of this"));
        CHECK(cluster.hub.all().size() == 4);
    }
    SECTION("a tunnel that comes gets what waits for it") {
        json tunnel = protected_draft(1).at("/tunnels/0"), attachment = protected_draft(1).at("/attachments/1");
        tunnel["id"] = "osaka";
        attachment["id"] = "kita-osaka";
        attachment["tunnel"] = "osaka";
        attachment["ipv4"] = "198.51.110.9/32";
        attachment["ipv6"] = "2001:db8:0:1ff::99/128";
        cluster.etcd.write({{"tunnels/osaka", tunnel.dump()}, {"attachments/kita-osaka", attachment.dump()}});
        CHECK(comes_true([&] { return cluster.hub.states().find("outbound 8001 current") != std::string::npos; }));
    }
    SECTION("SAs that an engineer installed stay") {
        cluster.hub.asker.result("sa.install", {{"sas", {cluster.hub.pair(12000, "kita-esp-1")}}});
        cluster.erase("kita-esp/4096");
        CHECK(cluster.becomes("inbound 12000 open, outbound 12001 current, inbound 9000 open, outbound 9001 current"));
    }
}

TEST_CASE("keys: a daemon that was restarted gets its SAs again, without the store, too", "[agent][keys]") {
    KeyStore store(protected_draft(3));
    TemporaryDirectory directory;
    const std::string socket = directory / "s", prefix = "sk-keys-" + std::to_string(::getpid());
    control::test::make_ledger(directory / "state");
    std::optional<Program> daemon;
    const auto start = [&] {
        daemon.reset();
        daemon.emplace(path_from("SEKISHOD"),
                       std::vector<std::string>{"--socket", socket, "--state-dir", directory / "state", "--file-prefix",
                                                prefix, "--no-huge", "--memory", "128", "--buffers", "4096", "--port",
                                                "kita0=net_null0", "--port", "minami0=net_null1", "--port",
                                                "chuo0=net_null2", "--manual-keys", "local_ledger"});
    };
    const auto sas = [&]() -> std::size_t {
        auto client = control::Client::connect(socket);
        if (!client) return 0;
        const auto answer = client->call("show.sa");
        const auto* result = std::get_if<json>(&answer);
        return result == nullptr ? 0 : (*result)["items"].size();
    };
    start();
    store.put({a_pair(4096), a_pair(5000, "kita-esp-1"), a_pair(6000, "kita-esp-2")});
    Agent agent(socket, store.etcd.options(), "hub-1", store.agent_words);
    INFO(daemon->err() << agent.log());
    REQUIRE(comes_true([&] { return sas() == 6; }));
    start();  // kill -9, and again
    CHECK(comes_true([&] { return sas() == 6; }));
    store.etcd.stop();
    start();
    CHECK(comes_true([&] { return sas() == 6; }));
    // And not those whose object went while it was away.
    store.etcd.start();
    store.erase("kita-esp-2/6000");
    CHECK(comes_true([&] { return sas() == 4; }));
    daemon.reset();
    std::filesystem::remove_all("/run/dpdk/" + prefix);
}

TEST_CASE("keys: what wrap is given is wiped, and what it prints is no secret", "[agent][keys]") {
    KeyStore store(protected_draft(1));
    const Ran printed = store.wrap({a_pair(4096)}, "maker", "hub-1", {});
    REQUIRE(printed.exit_code == 0);
    const json line = json::parse(printed.out);
    CHECK(line["key"] == "/sekisho/hub/keys/hub-1/kita-esp/4096");
    CHECK_FALSE(holds_one(printed.out, 8192, 8193));
    json wrong = a_pair(4096);
    wrong["inbound"]["spi"] = 7;
    const Ran refused = store.wrap({a_pair(5000), wrong}, "maker", "hub-1", {});
    CHECK(refused.exit_code == 1);
    CHECK(refused.out.empty());
    CHECK(refused.err.find("sas[1]: .inbound.spi: 256 to 4294967295 is expected") != std::string::npos);
    CHECK_FALSE(holds_one(refused.err, 8192, 8193));
    const Ran nothing =
        run(path_from("SEKISHO_AGENT"), {"--node", "hub-1", "wrap", "/dev/null", "--by", store.files.secret("maker"),
                                         "--to", store.files.open("hub-1")});
    CHECK(nothing.exit_code == 1);
    const Ran no_key = store.wrap({a_pair(4096)}, "nobody");
    CHECK(no_key.exit_code == 3);
    CHECK(no_key.err.find("nobody.key: cannot be read") != std::string::npos);
}
