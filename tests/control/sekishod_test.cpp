// The daemon from outside, on ports that lead nowhere: start, ready, signal, restart, and what it refuses.
#include <map>
#include <set>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include <catch2/catch.hpp>

#include "crypto/aead.hpp"
#include "tests/control/hub_support.hpp"
#include "tests/control/program_support.hpp"
#include "tests/support/skip.hpp"

using namespace sekisho;
using namespace sekisho::control;
using namespace sekisho::control::test;
using nlohmann::json;

namespace {

struct Place {
    TemporaryDirectory directory;
    std::string socket = directory / "control.sock";
    std::string prefix = "sk-test-" + std::to_string(::getpid());

    std::vector<std::string> arguments(const std::vector<std::string>& more = {}) const {
        std::vector<std::string> all = {
            "--socket",       socket,     "--state-dir", directory / "state", "--file-prefix", prefix,
            "--no-huge",      "--memory", "128",         "--buffers",         "4096",          "--port",
            "port0=net_null0"};
        all.insert(all.end(), more.begin(), more.end());
        return all;
    }
    Ran ctl(std::vector<std::string> more) const {
        more.insert(more.begin(), {"--socket", socket});
        return run(path_from("SEKISHOCTL"), more);
    }
    bool leaves_nothing() const {
        for (const char* directory_of_runs : {"/run/dpdk/", "/tmp/dpdk/"})
            if (std::filesystem::exists(directory_of_runs + prefix)) return false;
        return !std::filesystem::exists(socket);
    }
};

Ran daemon(const std::vector<std::string>& arguments) {
    return run(path_from("SEKISHOD"), arguments);
}

}  // namespace

TEST_CASE("sekishod: a wrong flag or configuration is exit code 2 and is named", "[control][sekishod]") {
    TemporaryDirectory directory;
    const auto refuses = [](const std::vector<std::string>& arguments, const std::string& words) {
        const Ran ran = daemon(arguments);
        INFO(ran.err);
        CHECK(ran.exit_code == 2);
        CHECK(ran.err.find(words) != std::string::npos);
    };
    refuses({"--porrt", "a=b"}, "--porrt");
    refuses({"--port", "kita0"}, "NAME=DEVARGS");
    refuses({"--port", "ki ta=net_null0"}, "\"ki ta\"");
    refuses({"--memory", "plenty"}, "--memory");
    refuses({"--idle", "doze"}, "--idle");
    refuses({"--esp-engine", "rot13"}, "--esp-engine");
    refuses({"--workers", "0"}, "--workers");
    refuses({"--queues", "many"}, "--queues");
    refuses({"--policy", directory / "none.json"}, "--policy");
    refuses({"--policy-replace"}, "--policy");
    refuses({"--role", "boss=root"}, "ROLE=WHOM");
    refuses({"--manual-keys", "always"}, "--manual-keys");
    refuses({"--role", "viewer=@no-such-group"}, "no-such-group");
    refuses({"--socket-group", "no-such-group"}, "no-such-group");
    const std::string file = directory / "sekishod.toml";
    write_file(file, "# ours\nmemory = 256\nmemroy = 3\n");
    refuses({"--config", file}, file + " line 3");
    write_file(file, "memory = \"plenty\"\n");
    refuses({"--config", file}, file + " line 1");
}

TEST_CASE("sekishod: --check says in words what is missing", "[control][sekishod]") {
    TemporaryDirectory directory;
    const Ran missing = daemon({"--check", "--socket", "/no/where/s", "--state-dir", "/no/where/state"});
    CHECK(missing.exit_code == 1);
    for (const char* words : {"ports: none is configured", "socket: there is no directory /no/where",
                              "state: there is no directory /no/where"})
        CHECK(missing.out.find(words) != std::string::npos);
    CHECK_FALSE(std::filesystem::exists("/no/where"));
    const Ran few = daemon({"--check", "--port", "a=0000:99:00.0", "--port", "b=0000:99:00.1", "--workers", "9"});
    CHECK(few.out.find("buffers: 2 NICs with a queue for each of 9 workers keep 18432 of the 32768") !=
          std::string::npos);
}

TEST_CASE("sekishod: fewer lcores than workers is an error that says how many", "[control][sekishod]") {
    Place place;
    auto arguments = place.arguments();
    for (const char* word : {"--workers", "3", "--lcores", "0@0,1@0,2@0"}) arguments.emplace_back(word);
    const Ran ran = daemon(arguments);
    CHECK(ran.exit_code == 1);
    CHECK(ran.err.find("lcores name 2 for workers, 3 are needed") != std::string::npos);
}

TEST_CASE("sekishod: starts, forwards nothing yet, takes a policy, stops clean, and restarts with it",
          "[control][sekishod]") {
    Place place;
    const std::string policy = place.directory / "policy.json";
    write_file(policy, a_document({"kita", "minami"}).dump());
    {
        Program sekishod(path_from("SEKISHOD"), place.arguments());
        INFO(sekishod.err());
        REQUIRE(place.ctl({"wait-ready", "--timeout", "60"}).exit_code == 0);
        CHECK(sekishod.out() == "ready: generation 0, 1 ports\n");
        CHECK(json::parse(place.ctl({"show", "ports", "--json"}).out)["items"][0]["driver"] == "net_null");
        CHECK(place.ctl({"apply", policy}).exit_code == 0);
        Ran counted{};  // on a machine that is busy with other things, the worker may be late with its answer
        REQUIRE(comes_true([&] { return (counted = place.ctl({"show", "counters", "--json"})).exit_code == 0; }));
        const json counters = json::parse(counted.out);
        CHECK(counters["node"]["received"] > 0);
        CHECK(counters["node"]["unaccounted"] == 0);
        CHECK(counters["node"]["dropped"].contains("attachment_unknown"));

        const Ran second = daemon(place.arguments());
        CHECK(second.exit_code == 1);
        CHECK(second.err.find("another daemon is using it") != std::string::npos);

        sekishod.signal(SIGTERM);
        CHECK(sekishod.wait() == 0);
        CHECK(sekishod.err().find("unaccounted") == std::string::npos);
        CHECK(sekishod.err().find("stopped: received ") != std::string::npos);
        CHECK(place.leaves_nothing());
    }
    Program again(path_from("SEKISHOD"), place.arguments());
    REQUIRE(place.ctl({"wait-ready", "--timeout", "60"}).exit_code == 0);
    CHECK(again.out() == "ready: generation 1, 1 ports\n");
    CHECK(place.ctl({"diff", policy}).exit_code == 0);
    again.signal(SIGINT);
    CHECK(again.wait() == 0);
    CHECK(place.leaves_nothing());
}

TEST_CASE("sekishod: ESP is by the engine that is asked for, or the fastest, and the log says which",
          "[control][sekishod]") {
    const auto starts_with = [](crypto::EngineKind kind, const std::vector<std::string>& more) {
        Place place;
        Program sekishod(path_from("SEKISHOD"), place.arguments(more));
        REQUIRE(place.ctl({"wait-ready", "--timeout", "60"}).exit_code == 0);
        INFO(sekishod.err());
        CHECK(sekishod.err().find("ESP by " + (*crypto::make_engine(kind))->description()) != std::string::npos);
        sekishod.signal(SIGTERM);
        CHECK(sekishod.wait() == 0);
    };
    starts_with(crypto::fastest_engine(), {});
    for (const crypto::EngineKind kind : crypto::engines_here())
        starts_with(kind, {"--esp-engine", std::string(name_of(kind))});
}

TEST_CASE("sekishod: once it is ready, no thread has more than it needs, and all are filtered", "[control][sekishod]") {
    if (::geteuid() != 0) return sekisho::test::skip("needs root, to have capabilities to lose");
    const auto status = [](const Program& program, const std::string& field) {
        std::map<std::string, std::set<std::string>> values;  // by the thread's name
        const std::string tasks = "/proc/" + std::to_string(program.pid()) + "/task";
        for (const auto& task : std::filesystem::directory_iterator(tasks)) {
            std::string name = content_of(task.path() / "comm");
            name.pop_back();
            std::ifstream stream(task.path() / "status");
            for (std::string line; std::getline(stream, line);)
                if (line.starts_with(field + ":\t")) values[name].insert(line.substr(field.size() + 2));
        }
        return values;
    };
    using Values = std::set<std::string>;
    Place place;
    {
        Program sekishod(path_from("SEKISHOD"), place.arguments());
        REQUIRE(place.ctl({"wait-ready", "--timeout", "60"}).exit_code == 0);
        for (const char* field : {"CapEff", "CapPrm"})
            for (const auto& [name, values] : status(sekishod, field)) {
                INFO(field << " of " << name);
                CHECK(values == Values{name == "sekishod" ? "0000000000001000" : "0000000000000000"});  // CAP_NET_ADMIN
            }
        for (const auto& [name, values] : status(sekishod, "CapBnd")) CHECK(values == status(sekishod, "CapPrm")[name]);
        CHECK(status(sekishod, "CapEff").size() >= 4);  // control, compiler, recorder, a worker
        for (const auto& [name, values] : status(sekishod, "NoNewPrivs")) CHECK(values == Values{"1"});
        for (const auto& [name, values] : status(sekishod, "Seccomp")) CHECK(values == Values{"2"});
        sekishod.signal(SIGTERM);
        CHECK(sekishod.wait() == 0);
        CHECK(place.leaves_nothing());
    }
    Program open(path_from("SEKISHOD"), place.arguments({"--no-confinement"}));
    REQUIRE(place.ctl({"wait-ready", "--timeout", "60"}).exit_code == 0);
    CHECK(status(open, "Seccomp")["sekishod"] == Values{"0"});
    CHECK(open.err().find("not confined") != std::string::npos);
    open.signal(SIGTERM);
    CHECK(open.wait() == 0);
}

TEST_CASE("sekishod: tells a service manager when it is ready, and that it stops", "[control][sekishod]") {
    Place place;
    const std::string path = place.directory / "notify";
    const FileDescriptor socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    REQUIRE(::bind(socket.number(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    const timeval patience{60, 0};
    ::setsockopt(socket.number(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    const auto told = [&socket] {
        std::array<char, 64> room{};
        const ssize_t got = ::recv(socket.number(), room.data(), room.size(), 0);
        return got < 0 ? std::string() : std::string(room.data(), static_cast<std::size_t>(got));
    };
    ::setenv("NOTIFY_SOCKET", path.c_str(), 1);
    Program sekishod(path_from("SEKISHOD"), place.arguments());
    ::unsetenv("NOTIFY_SOCKET");
    CHECK(told() == "READY=1");
    CHECK(place.ctl({"wait-ready", "--timeout", "0"}).exit_code == 0);
    sekishod.signal(SIGTERM);
    CHECK(told() == "STOPPING=1");
    CHECK(sekishod.wait() == 0);
}

TEST_CASE("sekishod: what cannot start says why and leaves nothing behind", "[control][sekishod]") {
    Place place;
    const Ran no_device = daemon(place.arguments({"--port", "port1=net_nothing0"}));
    CHECK(no_device.exit_code == 1);
    CHECK(no_device.err.find("port1") != std::string::npos);
    CHECK(place.leaves_nothing());

    std::filesystem::create_directory(place.directory / "state");
    write_file(place.directory / "state/generation", "damaged\n");
    const Ran damaged = daemon(place.arguments());
    CHECK(damaged.exit_code == 1);
    CHECK(damaged.err.find("is damaged") != std::string::npos);
    CHECK(place.leaves_nothing());

    json policy = a_document({"kita"});
    policy["operators"][0].erase("name");
    write_file(place.directory / "policy.json", policy.dump());
    const Ran invalid = daemon(place.arguments({"--policy", place.directory / "policy.json", "--policy-replace"}));
    CHECK(invalid.exit_code == 1);
    CHECK(invalid.err.find("kita") != std::string::npos);
    CHECK(place.leaves_nothing());
}

namespace {

// A configuration of OpenSSL's for the programs that are started while this lives.
class OpensslConfiguration {
  public:
    OpensslConfiguration(const std::string& file, const std::string& sections) {
        write_file(file, "openssl_conf = all\n[all]\nproviders = providers\nalg_section = algorithms\n" + sections);
        ::setenv("OPENSSL_CONF", file.c_str(), 1);
    }
    OpensslConfiguration(const OpensslConfiguration&) = delete;
    OpensslConfiguration& operator=(const OpensslConfiguration&) = delete;
    ~OpensslConfiguration() { ::unsetenv("OPENSSL_CONF"); }
};

// Only `sections` differ from a start that succeeds.
void is_refused_as(const std::string& sections, crypto::EngineKind kind, const std::string& words) {
    Place place;
    const OpensslConfiguration configuration(place.directory / "openssl.cnf", sections);
    const Ran ran = daemon(place.arguments({"--esp-engine", std::string(name_of(kind))}));
    INFO(ran.err);
    CHECK(ran.exit_code == 1);
    CHECK(ran.err.find("error " + words) != std::string::npos);
    CHECK(ran.out.empty());  // it was never ready
    CHECK(place.leaves_nothing());
}

}  // namespace

TEST_CASE(
    "sekishod: where OpenSSL gives no AES-GCM, neither it nor what is compared with it starts, and the words say so",
    "[control][sekishod]") {
    const std::string none = "[providers]\nnull = none\n[none]\nactivate = 1\n[algorithms]\n";
    is_refused_as(none, crypto::EngineKind::openssl, "OpenSSL gives no AES-GCM");
    if (crypto::fastest_engine() != crypto::EngineKind::vaes)
        return sekisho::test::skip("this processor has no VAES: nothing else is compared");
    is_refused_as(none, crypto::EngineKind::vaes,
                  (*crypto::make_engine(crypto::EngineKind::vaes))->description() +
                      ": there is nothing to compare it with: OpenSSL gives no AES-GCM");
}

TEST_CASE("sekishod: an engine that gives a wrong answer is not started, and the words name it and the answer",
          "[control][sekishod]") {
    const std::string wrong =
        "[providers]\ndefault = real\nwrong = wrong\n[real]\nactivate = 1\n"
        "[wrong]\nmodule = " +
        path_from("WRONG_PROVIDER") + "\nactivate = 1\n[algorithms]\ndefault_properties = ?provider=wrong\n";
    const std::string openssl = (*crypto::make_engine(crypto::EngineKind::openssl))->description();
    is_refused_as(wrong, crypto::EngineKind::openssl, openssl + ": known answer \"GCM test case 1\": wrong tag\n");
    {
        // Another engine starts it again (docs/operation.md).
        Place place;
        const OpensslConfiguration configuration(place.directory / "openssl.cnf", wrong);
        Program sekishod(path_from("SEKISHOD"), place.arguments({"--esp-engine", "ipsec-mb"}));
        CHECK(place.ctl({"wait-ready", "--timeout", "60"}).exit_code == 0);
        sekishod.signal(SIGTERM);
        CHECK(sekishod.wait() == 0);
    }
    if (crypto::fastest_engine() != crypto::EngineKind::vaes)
        return sekisho::test::skip("this processor has no VAES: nothing else is compared");
    is_refused_as(wrong, crypto::EngineKind::vaes,
                  (*crypto::make_engine(crypto::EngineKind::vaes))->description() + ": aes_gcm_128, 0 bytes, beside " +
                      openssl + ": sealed to something else");
}
