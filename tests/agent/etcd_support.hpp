// A real etcd for the tests: started on loopback with ports and a data directory of its own, stopped and started again.
//
// What the tests write goes by our client, because that is quick; what they look at goes by etcdctl where it matters
// that somebody else reads it.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <random>

#include <nlohmann/json.hpp>

#include "agent/etcd_client.hpp"
#include "agent/key.hpp"
#include "tests/control/program_support.hpp"
#include "tests/support/skip.hpp"

namespace sekisho::agent::test {

using control::test::comes_true;
using control::test::Program;
using control::test::Ran;
using control::test::run;
using control::test::TemporaryDirectory;
using nlohmann::json;

inline bool there_is_etcd() {
    return std::filesystem::exists("/usr/bin/etcd") && std::filesystem::exists("/usr/bin/etcdctl");
}

// Ports of loopback that nobody has, and nobody gets by chance: below those that the kernel gives to connections. One
// of those could be taken while a server that is killed and started again is away, even by a client that asks for it.
inline std::vector<std::string> free_ports(std::size_t count) {
    std::random_device random;
    std::vector<FileDescriptor> held;
    std::vector<std::string> ports;
    for (int tries = 0; ports.size() < count; ++tries) {
        if (tries == 1000) throw std::runtime_error("no free port");
        FileDescriptor socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        const auto port = static_cast<std::uint16_t>(10'000 + random() % 20'000);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        address.sin_port = htons(port);
        if (::bind(socket.number(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) continue;
        held.push_back(std::move(socket));
        ports.push_back(std::to_string(port));
    }
    return ports;
}

class Etcd {
  public:
    struct Tls {  // files
        std::string ca, certificate, key;
    };
    explicit Etcd(std::vector<std::string> more = {}, std::optional<Tls> tls = {}, std::string data = {})
        : data_(data.empty() ? directory_ / "data" : data), ports_(free_ports(2)), more_(std::move(more)), tls_(tls) {
        start();
    }
    std::string endpoint() const { return (tls_ ? "https://127.0.0.1:" : "http://127.0.0.1:") + ports_[0]; }
    EtcdOptions options() const {
        if (!tls_) return {{endpoint()}, {}, {}, {}};
        return {{endpoint()}, tls_->ca, tls_->certificate, tls_->key};
    }

    void start() {
        const std::string scheme = tls_ ? "https://" : "http://";
        const std::string peer = "http://127.0.0.1:" + ports_[1];
        std::vector<std::string> arguments = {"--data-dir",
                                              data_,
                                              "--listen-client-urls",
                                              endpoint(),
                                              "--advertise-client-urls",
                                              endpoint(),
                                              "--listen-peer-urls",
                                              peer,
                                              "--initial-advertise-peer-urls",
                                              peer,
                                              "--initial-cluster",
                                              "default=" + peer,
                                              "--logger",
                                              "zap"};
        if (tls_)
            arguments.insert(arguments.end(), {"--cert-file", tls_->certificate, "--key-file", tls_->key,
                                               "--trusted-ca-file", tls_->ca, "--client-cert-auth"});
        arguments.insert(arguments.end(), more_.begin(), more_.end());
        // Alone in its cluster, it need not wait a second for another leader.
        arguments.insert(arguments.end(), {"--heartbeat-interval", "20", "--election-timeout", "200"});
        process_ = std::make_unique<Program>("/usr/bin/etcd", arguments);
        const bool ready = comes_true([&] {
            EtcdClient client(options());
            const auto page = client.range("x", "", 0, 1);
            const auto* error = std::get_if<EtcdError>(&page);
            return error == nullptr || error->fault == EtcdFault::refused;
        });
        if (!ready) throw std::runtime_error("etcd does not start: " + process_->err());
    }
    void stop() {
        process_->signal(SIGTERM);
        process_->wait();
        process_.reset();
    }
    void kill() { process_.reset(); }
    // Of the data, while it is stopped.
    void keep_copy() const { std::filesystem::copy(data_, data_ + ".kept", std::filesystem::copy_options::recursive); }
    void put_copy_back() const {
        std::filesystem::remove_all(data_);
        std::filesystem::rename(data_ + ".kept", data_);
    }

    // etcdctl as the server's own certificate's user.
    Ran ctl(std::vector<std::string> arguments) const {
        std::vector<std::string> all = {"--endpoints", endpoint()};
        if (tls_) all.insert(all.end(), {"--cacert", tls_->ca, "--cert", tls_->certificate, "--key", tls_->key});
        all.insert(all.end(), arguments.begin(), arguments.end());
        return run("/usr/bin/etcdctl", all);
    }
    std::string get(const std::string& key) const { return ctl({"get", "--print-value-only", key}).out; }

    // Keys below the policy's prefix; the revision.
    using Changes = std::vector<std::pair<std::string, std::optional<std::string>>>;
    std::int64_t write(const Changes& changes) const {
        std::vector<Operation> operations;
        for (const auto& [key, value] : changes) operations.push_back({policy_prefix("hub") + key, value, 0});
        EtcdClient client(options());
        const auto done = client.transact(operations);
        if (const auto* error = std::get_if<EtcdError>(&done)) throw std::runtime_error(error->words);
        return std::get<std::int64_t>(done);
    }
    std::int64_t put(const std::string& key, const json& value) const { return write({{key, value.dump()}}); }
    std::int64_t put_text(const std::string& key, const std::string& value) const { return write({{key, value}}); }
    std::int64_t erase(const std::string& key) const { return write({{key, std::nullopt}}); }
    void compact(std::int64_t revision) const { REQUIRE(ctl({"compact", std::to_string(revision)}).exit_code == 0); }
    json state_of(const std::string& node) const {
        const std::string text = get(state_prefix("hub") + node);
        return text.empty() ? json() : json::parse(text);
    }

  private:
    TemporaryDirectory directory_;
    std::string data_;
    std::vector<std::string> ports_;
    std::vector<std::string> more_;
    std::optional<Tls> tls_;
    std::unique_ptr<Program> process_;
};

}  // namespace sekisho::agent::test
