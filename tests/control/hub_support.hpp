// A whole control side on a thread of its own, with a node that only remembers: for tests over a real socket.
//
// The compiler is the test's: it may fail, or wait until it is let go, so that what happens meanwhile can be seen.
#pragma once

#include <atomic>
#include <condition_variable>
#include <fstream>
#include <future>
#include <iterator>
#include <mutex>
#include <vector>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "control/calendar.hpp"
#include "control/log.hpp"
#include "control/service.hpp"
#include "tests/control/socket_support.hpp"

namespace sekisho::control::test {

class FakeNode final : public Node {
  public:
    void publish(std::unique_ptr<dataplane::Tables> tables) override {
        const std::lock_guard lock(mutex);
        published.push_back(tables->generation);
        running = std::move(tables);
    }
    // Of what runs: whether the institution's bit is set, the attachment open.
    bool is_closed(std::uint32_t institution) {
        const std::lock_guard lock(mutex);
        return running->is_closed(InstitutionId(institution));
    }
    bool is_open(std::size_t attachment) {
        const std::lock_guard lock(mutex);
        return running->attachments[attachment].open;
    }
    std::uint32_t revision() { return std::lock_guard(mutex), running->revision(); }
    std::optional<dataplane::Counters> counters() override {
        if (stuck) {
            std::this_thread::sleep_for(patience.load());
            return std::nullopt;
        }
        dataplane::Counters counters(2);
        counters.ports[0].received = 10;
        counters.ports[0].sent = 7;
        counters.ports[0].dropped[static_cast<std::size_t>(DropReason::no_agreement)] = 3 + more_drops;
        counters.ports[1].received = 1;
        counters.ports[1].dropped[static_cast<std::size_t>(DropReason::ttl_expired)] = 1;
        counters.stages[0].packets = 11;
        counters.stages[0].bursts = 2;
        return counters;
    }
    std::vector<dataplane::WorkerInfo> workers() override {
        std::vector<dataplane::WorkerInfo> workers(2);
        workers[0].lcore = 1;
        workers[0].answered = true;
        workers[0].counters = dataplane::Counters(1);
        workers[0].counters.handed_over = 9;
        workers[0].counters.ports[0].dropped[static_cast<std::size_t>(DropReason::handover_full)] = 4;
        workers[1].worker = WorkerId(1);
        workers[1].lcore = 2;
        workers[1].stalled_since = std::chrono::system_clock::time_point(std::chrono::seconds(1'800'000'000));
        return workers;
    }
    std::vector<dataplane::PortInfo> ports() const override {
        ++looks;
        dataplane::PortInfo first;
        first.name = "port0";
        first.link_up = link_up;
        first.missed = missed;
        first.driver = "net_fake";
        dataplane::PortInfo second;
        second.name = "port1";
        return {first, second};
    }
    std::vector<dataplane::Neighbours::Entry> neighbours() const override {
        std::vector<dataplane::Neighbours::Entry> entries;
        for (std::uint32_t i = 0; i < 2500; ++i)
            entries.push_back({AttachmentId(0), Ipv4Address(0x0a000000U + i), dataplane::Neighbours::Link()});
        entries[0].link = dataplane::Neighbours::Link(first_neighbour, MacAddress());
        entries[1].link = dataplane::Neighbours::Link(second_neighbour, MacAddress());
        return entries;
    }
    std::vector<dataplane::NexthopInfo> nexthops() const override { return told_nexthops; }
    std::vector<dataplane::ConflictInfo> conflicts() const override { return told_conflicts; }
    std::vector<dataplane::TapInfo> taps() const override { return told_taps; }
    Expected<dataplane::Explanation> explain(const dataplane::ImaginedPacket& packet) const override {
        if (packet.destination_port == 1) return Error{ErrorCode::unavailable, "no buffer"};
        dataplane::Explanation explanation;
        explanation.steps.push_back({"parse", "protocol " + std::to_string(packet.protocol)});
        if (packet.destination_port == 443) {
            explanation.egress = AttachmentId(0);
            explanation.source = packet.source.text();
            explanation.destination = packet.destination.text();
            explanation.next_hop = "192.0.2.2";
        } else {
            explanation.dropped = DropReason::no_agreement;
            explanation.error = "ICMP 3/13";
        }
        return explanation;
    }
    bool order_sessions(const dataplane::SessionOrder& order) override {
        if (desks_busy) return false;
        last_order = order;
        return true;
    }
    std::optional<std::vector<dataplane::SessionAnswer>> answered_sessions() override { return sessions; }
    std::optional<HubOwner> owner_of(const IpAddress& hub) const override {
        const std::lock_guard lock(mutex);
        if (!running || !hub.is_ipv4()) return std::nullopt;
        const lpm::Row row = running->ipv4.hub.find(lpm::TableId{0}, hub.ipv4());
        if (row == lpm::kNoRow) return std::nullopt;
        const auto& home = running->ipv4.hub_rows[row];
        return HubOwner{home.is_pool(), home.vrf, home.institution, home.to_operator.apply(hub.ipv4())};
    }
    std::string operator_name(VrfId) const override { return "kita"; }
    std::optional<VrfId> operator_named(std::string_view name) const override {
        if (name == "kita") return VrfId(0);
        return std::nullopt;
    }
    std::string institution_name(InstitutionId id) const override {
        return names != nullptr ? names->institution_name(id) : "sato-hospital";
    }
    std::string attachment_name(AttachmentId id) const override { return id == AttachmentId(0) ? "kita-1" : ""; }
    std::optional<AttachmentId> attachment_named(std::string_view name) const override {
        if (name == "kita-1") return AttachmentId(0);
        return std::nullopt;
    }
    std::vector<std::uint64_t> generations() {
        const std::lock_guard lock(mutex);
        return published;
    }

    std::vector<dataplane::NexthopInfo> told_nexthops;  // before the hub's thread asks
    std::vector<dataplane::ConflictInfo> told_conflicts;
    std::vector<dataplane::TapInfo> told_taps;
    const Compiler* names = nullptr;                 // of institutions; before the hub's thread runs
    std::vector<dataplane::SessionAnswer> sessions;  // by worker; before anybody asks
    dataplane::SessionOrder last_order;              // the hub's thread writes
    std::atomic<bool> desks_busy{false};             // no order is taken
    std::atomic<bool> stuck{false};                  // counters() waits for `patience` and gives nothing
    std::atomic<std::chrono::milliseconds> patience{std::chrono::milliseconds(0)};
    std::atomic<bool> link_up{false};
    std::atomic<std::uint64_t> missed{0}, more_drops{0};
    std::atomic<dataplane::Neighbours::State> first_neighbour{}, second_neighbour{};
    mutable std::atomic<int> looks{0};  // calls of ports()
    mutable std::mutex mutex;
    std::vector<std::uint64_t> published;
    std::unique_ptr<dataplane::Tables> running;
};

// Stands in for the Compiler.
class FakeCompiler {
  public:
    Expected<Compiled> compile(const Policy& policy, std::uint64_t generation, WallTime now,
                               const NamesByHand& closed) {
        ++calls;
        std::unique_lock lock(mutex);
        changed.wait(lock, [this] { return !held; });
        if (const auto bad = policy.operators.find("uncompilable"); bad != policy.operators.end())
            return Error{ErrorCode::unsupported, "operators \"uncompilable\": cannot be compiled"};
        {
            const std::lock_guard guard(closed_mutex);
            closed_agreements = closed;
            last_now = now;
        }
        Compiled compiled;
        if (real) {
            auto done = real->compile(policy, generation, now, closed);
            if (!done) return done.error();
            compiled = std::move(*done);
        } else {
            compiled.tables = std::make_unique<dataplane::Tables>();
            compiled.gates = std::make_shared<GateTargets>();
        }
        compiled.tables->generation = generation;
        compiled.report.who_rows = policy.institutions.size();
        compiled.report.next_change = std::exchange(next_change, std::nullopt);
        return compiled;
    }
    void hold() {
        const std::lock_guard lock(mutex);
        held = true;
    }
    void let_go() {
        {
            const std::lock_guard lock(mutex);
            held = false;
        }
        changed.notify_all();
    }

    NamesByHand last_closed_agreements() {
        const std::lock_guard guard(closed_mutex);
        return closed_agreements;
    }

    std::unique_ptr<Compiler> real;  // if it is set, its tables are what is published
    std::mutex closed_mutex;
    NamesByHand closed_agreements;
    WallTime last_now;  // of the last compilation; a test reads it after its answer
    std::atomic<int> calls{0};
    std::optional<WallTime> next_change;  // of the next compilation only
    std::mutex mutex;
    std::condition_variable changed;
    bool held = false;
};

class TestHub {
  public:
    explicit TestHub(const std::string& state_directory = {}, std::optional<Document> initial = {},
                     bool replace = false, const Roles& roles = {}, std::unique_ptr<Compiler> real = {},
                     const SigningKeys& keys = {}, const std::string& signature = {},
                     ManualKeys manual_keys = ManualKeys::refuse) {
        compiler.real = std::move(real);
        node.names = compiler.real.get();
        set_log_level(LogLevel::error);
        directory_of_state = state_directory.empty() ? directory / "state" : state_directory;
        loop = std::move(*EventLoop::make());
        auto opened = StateStore::open(directory_of_state);
        REQUIRE(opened);
        state = std::move(*opened);
        audit = std::move(*AuditLog::open(directory_of_state + "/audit.jsonl"));
        translations = std::move(*TranslationLog::make(*loop, node, directory_of_state));
        generations = std::move(*Generations::make(
            {*loop,
             [this](const Policy& policy, std::uint64_t number, WallTime now, const NamesByHand& closed) {
                 return compiler.compile(policy, number, now, closed);
             },
             [this](std::unique_ptr<dataplane::Tables> tables) {
                 translations->publish(*tables);
                 node.publish(std::move(tables));
             },
             *state, *audit, events, keys,
             [this] { return std::chrono::system_clock::now() + std::chrono::seconds(ahead.load()); },
             [this](const Generation& generation, const dataplane::Tables& tables) { sas->settle(generation, tables); },
             [this](const Policy& policy, std::uint64_t number, WallTime now, const NamesByHand& closed,
                    const RowQuestion& question) {
                 return compiler.real->rows(policy, number, now, closed, question);
             }}));
        associations = std::move(
            *dataplane::Associations::make(crypto::EngineKind::openssl, 1, [](std::shared_ptr<const void>) {}));
        witness = std::make_unique<SocketWitness>(*loop);
        ledger = std::make_unique<LedgerThread>(
            *loop, manual_keys, directory_of_state + "/nonce-ledger",
            manual_keys == ManualKeys::witness ? witness.get() : nullptr, [this](const LedgerState& now) {
                events.post(EventKind::ledger, {{"stands", now.standing.has_value()}});
                ledger_told = true;
                ledger_told.notify_all();
            });
        sas = std::move(*Sas::make({*loop, *associations, *ledger, generations->recorder(), events, [this] {
                                        return std::chrono::steady_clock::now() + std::chrono::seconds(ahead.load());
                                    }}));
        started = generations->start(std::move(initial), replace, signature);
        auto served = Service::start(*loop, {socket(), {}, roles, {}}, *generations, node, events, "test",
                                     {*sas, *ledger, *witness, *translations});
        REQUIRE(served);
        service = std::move(*served);
        thread = std::make_unique<LoopThread>(*loop);
        // So that no test hears of it; but a witness is a test's own business.
        if (manual_keys != ManualKeys::witness) ledger_told.wait(false);
    }
    ~TestHub() {
        compiler.let_go();
        thread.reset();
        witness->stop();
    }

    std::string socket() const { return directory / "s"; }
    // Asked on the loop's thread, whose own the service and the generations are.
    template <class Ask>
    auto on_loop(Ask ask) const {
        std::promise<decltype(ask())> answer;
        loop->post([&] { answer.set_value(ask()); });
        return answer.get_future().get();
    }
    std::size_t clients() const {
        return on_loop([this] { return service->clients(); });
    }
    std::size_t transactions() const {
        return on_loop([this] { return generations->transactions(); });
    }
    std::vector<nlohmann::json> audit_lines() const {
        std::ifstream stream(directory_of_state + "/audit.jsonl");
        std::vector<nlohmann::json> lines;
        for (std::string line; std::getline(stream, line);) lines.push_back(nlohmann::json::parse(line));
        return lines;
    }

    // Puts the hub's clock forward.
    void advance(std::chrono::seconds by) {
        ahead += by.count();
        on_loop([this] {
            generations->look_at_clock();
            return true;
        });
    }
    std::string in(std::chrono::seconds time) const {  // Japan time by the hub's clock, of the future
        return time_text(std::chrono::system_clock::now() + std::chrono::seconds(ahead.load()) + time);
    }

    std::atomic<std::int64_t> ahead{0};  // of the system's clock, in seconds
    TemporaryDirectory directory;
    std::string directory_of_state;
    FakeNode node;
    FakeCompiler compiler;
    std::unique_ptr<EventLoop> loop;
    Events events;
    std::unique_ptr<StateStore> state;
    std::unique_ptr<AuditLog> audit;
    std::unique_ptr<dataplane::Associations> associations;  // what it takes away is freed at once: nobody reads
    std::unique_ptr<SocketWitness> witness;
    std::unique_ptr<LedgerThread> ledger;
    std::atomic<bool> ledger_told{false};
    std::unique_ptr<TranslationLog> translations;
    std::unique_ptr<Generations> generations;
    std::unique_ptr<Sas> sas;
    std::unique_ptr<Service> service;
    Expected<void> started;
    std::unique_ptr<LoopThread> thread;
};

// A client that asks by method and takes the answer of that id.
class Asker {
  public:
    explicit Asker(const TestHub& hub) : client(hub.socket()) {}

    // Sends without waiting; the id.
    int send(const std::string& method, const nlohmann::json& params = nlohmann::json::object()) {
        client.write(nlohmann::json{{"jsonrpc", "2.0"}, {"id", ++last}, {"method", method}, {"params", params}}.dump() +
                     "\n");
        return last;
    }
    nlohmann::json answer() {
        const auto line = client.read_line();
        REQUIRE(line);
        return nlohmann::json::parse(*line);
    }
    nlohmann::json ask(const std::string& method, const nlohmann::json& params = nlohmann::json::object()) {
        const int id = send(method, params);
        nlohmann::json line = answer();
        REQUIRE(line["id"] == id);
        return line;
    }
    nlohmann::json result(const std::string& method, const nlohmann::json& params = nlohmann::json::object()) {
        nlohmann::json line = ask(method, params);
        INFO(line.dump());
        REQUIRE(line.contains("result"));
        return line["result"];
    }
    nlohmann::json error(const std::string& method, const nlohmann::json& params = nlohmann::json::object()) {
        nlohmann::json line = ask(method, params);
        INFO(line.dump());
        REQUIRE(line.contains("error"));
        return line["error"];
    }

    RawClient client;
    int last = 0;
};

inline nlohmann::json an_operator(const std::string& id) {
    return {
        {"id", id},
        {"name", "Operator " + id},
        {"certification",
         {{"number", "N-1"}, {"valid_from", "2026-04-01"}, {"valid_until", "2028-03-31"}, {"expiry_action", "warn"}}}};
}
inline nlohmann::json a_hub() {
    return {{"rules_version", "2026-04"}, {"pools", {"100.64.0.0/10"}}};
}
inline nlohmann::json a_document(const std::vector<std::string>& operators) {
    nlohmann::json document = {{"hub", a_hub()}, {"operators", nlohmann::json::array()}};
    for (const std::string& id : operators) document["operators"].push_back(an_operator(id));
    return document;
}
// Begins a transaction, puts the operators (and the hub) and gives its number.
inline nlohmann::json staged(Asker& asker, const std::vector<std::string>& operators, bool replace = false) {
    const nlohmann::json begun = asker.result("begin", {{"replace", replace}});
    asker.result("batch", {{"transaction", begun["transaction"]}, {"put", a_document(operators)}});
    return begun["transaction"];
}
inline std::vector<std::string> running_operators(Asker& asker) {
    std::vector<std::string> ids;
    const nlohmann::json result = asker.result("show.operators");
    for (const nlohmann::json& item : result["items"]) ids.push_back(item["id"]);
    return ids;
}
inline Document as_document(const nlohmann::json& document) {
    auto parsed = Document::parse(document.dump());
    REQUIRE(parsed);
    return std::move(*parsed);
}

}  // namespace sekisho::control::test
