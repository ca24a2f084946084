#include "agent/reporter.hpp"

#include <charconv>
#include <unistd.h>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "control/build_version.hpp"
#include "control/calendar.hpp"
#include "control/log.hpp"

namespace sekisho::agent {

using control::log;
using control::LogLevel;
using nlohmann::json;

namespace {

constexpr std::size_t kMostRefused = 20;  // in a state
constexpr std::chrono::milliseconds kTick{200};
constexpr std::chrono::seconds kPatience{5};  // with the daemon

json or_null(const std::string& words) {
    return words.empty() ? json() : json(words);
}

// The store's revision of "etcd:...@1234 hub-1"; null of a file.
json revision_in(const std::string& label) {
    const std::size_t at = label.rfind('@');
    if (at == std::string::npos) return {};
    std::int64_t revision = 0;
    std::from_chars(label.data() + at + 1, label.data() + label.size(), revision);
    return revision == 0 ? json() : json(revision);
}

// What of the daemon's answer to a method is worth telling; null when it gave none.
template <class Pick>
json picked(NodeLink& node, const std::string& method, const Pick& pick) {
    const auto told = node.ask(method);
    return told ? pick(*told) : json();
}

json to_json(const std::vector<Complaint>& complaints) {
    json refused = json::array();
    for (const Complaint& one : complaints) {
        if (refused.size() == kMostRefused) break;
        refused.push_back({{"key", or_null(one.key)}, {"words", one.words}});
    }
    return refused;
}

json to_json(const KeysStanding& keys) {
    return {{"objects", keys.objects},
            {"sas", keys.sas},
            {"trouble", or_null(keys.trouble)},
            {"refused", to_json(keys.refused)},
            {"refused_total", keys.refused_total}};
}

std::string health_of(const json& state) {
    if (state["daemon"].is_null()) return "down";
    for (const char* trouble : {"drift", "source", "trouble", "witness"})
        if (!state[trouble].is_null()) return "degraded";
    if (!state["refused"].empty()) return "degraded";
    if (const json& keys = state["keys"]; !keys.is_null() && (!keys["trouble"].is_null() || !keys["refused"].empty()))
        return "degraded";
    if (state["ports"].is_array())
        for (const json& port : state["ports"])
            if (!port.value("link_up", true)) return "degraded";
    if (state["counters"].is_object() && state["counters"].value("unaccounted", 0) != 0) return "degraded";
    if (state["workers"].is_object() && state["workers"].value("stalled", 0) != 0) return "degraded";
    return "ok";
}

}  // namespace

json state_of(const std::string& name, const Standing& standing, NodeLink& node) {
    json refused = to_json(standing.refused);
    json state = {{"node", name},
                  {"time", control::time_text(std::chrono::system_clock::now())},
                  {"agent", {{"version", control::build_version()}, {"pid", ::getpid()}}},
                  {"generation", standing.generation},
                  {"label", or_null(standing.label)},
                  {"revision", revision_in(standing.label)},
                  {"seen_revision", revision_in(standing.seen)},
                  {"pending", standing.pending},
                  {"refused", std::move(refused)},
                  {"refused_total", standing.refused.size()},
                  {"drift", or_null(standing.drift)},
                  {"hold", or_null(standing.hold)},
                  {"source", or_null(standing.source_trouble)},
                  {"trouble", or_null(standing.node_trouble)},
                  {"witness", or_null(standing.witness_trouble)}};
    state["daemon"] = picked(node, "version", [](const json& told) { return told; });
    if (!state["daemon"].is_null()) {
        const json runs = picked(node, "show.generation", [](const json& told) { return told; });
        for (const char* field : {"committed", "hash"})
            state["daemon"][field] = runs.is_object() ? runs.value(field, json()) : json();
    }
    state["ports"] = picked(node, "show.ports", [](const json& told) {
        json ports = json::array();
        for (const json& port : told.value("items", json::array()))
            ports.push_back({{"port", port.value("port", "")}, {"link_up", port.value("link_up", false)}});
        return ports;
    });
    state["counters"] = picked(node, "show.counters", [](const json& told) {
        json counters = json::object();
        const json all = told.value("node", json::object());
        for (const char* count :
             {"received", "made", "sent", "dropped_total", "punted", "consumed", "held", "unaccounted"})
            counters[count] = all.value(count, std::int64_t{0});
        return counters;
    });
    state["workers"] = picked(node, "show.workers", [](const json& told) {
        int running = 0, stalled = 0;
        for (const json& worker : told.value("items", json::array()))
            ++(worker.value("state", "") == "stalled" ? stalled : running);
        return json{{"running", running}, {"stalled", stalled}};
    });
    state["keys"] = standing.keys ? to_json(*standing.keys) : json();
    state["health"] = health_of(state);
    return state;
}

Reporter::Reporter(Options options, const StandingBoard& board)
    : options_(std::move(options)), board_(board), etcd_(options_.etcd), thread_([this] { run(); }) {}

Reporter::~Reporter() {
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    wake_.notify_all();
    thread_.join();
    if (lease_ != 0) etcd_.revoke_lease(lease_);
}

void Reporter::run() {
    using Clock = std::chrono::steady_clock;
    NodeLink node(options_.socket, kPatience);
    std::uint64_t told = ~std::uint64_t{0};
    Clock::time_point next_put{}, next_renewal{};
    for (;;) {
        const auto now = Clock::now();
        if (const std::uint64_t changes = board_.changes(); changes != told || now >= next_put) {
            json state = state_of(options_.name, board_.get(), node);
            if (put(state.dump(-1, ' ', false, json::error_handler_t::replace))) {
                told = changes;
                next_put = now + options_.every;
            }
        }
        if (now >= next_renewal && lease_ != 0) {
            const auto renewed = etcd_.renew_lease(lease_);
            if (const bool* is_there = std::get_if<bool>(&renewed); is_there != nullptr && !*is_there) {
                lease_ = 0;
                told = ~std::uint64_t{0};
            }
            next_renewal = now + options_.lease / 3;
        }
        std::unique_lock lock(mutex_);
        // A store that does not answer is not asked five times a second.
        if (wake_.wait_for(lock, trouble_.empty() ? kTick : kTick * 10, [this] { return stopping_; })) return;
    }
}

bool Reporter::put(const std::string& state) {
    const auto failed = [this](const EtcdError& error) {
        if (trouble_ != error.words) log(LogLevel::warning, "the node's state is not told: " + error.words);
        trouble_ = error.words;
        return false;
    };
    if (lease_ == 0) {
        const auto lease = etcd_.grant_lease(options_.lease);
        if (const auto* error = std::get_if<EtcdError>(&lease)) return failed(*error);
        lease_ = std::get<std::int64_t>(lease);
    }
    const auto done = etcd_.transact({{options_.key, state, lease_}});
    if (const auto* error = std::get_if<EtcdError>(&done)) {
        if (error->words.find("lease not found") != std::string::npos) lease_ = 0;
        return failed(*error);
    }
    if (!trouble_.empty()) log(LogLevel::info, "the node's state is told again");
    trouble_.clear();
    return true;
}

}  // namespace sekisho::agent
