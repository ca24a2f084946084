// What the keeper of SAs asks of the node: a look, installations and removals by the hundred.
#include <algorithm>
#include <charconv>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "agent/sa_keeper.hpp"
#include "control/log.hpp"

namespace sekisho::agent {

using control::Client;
using control::RpcError;
using control::RpcErrorCode;
using control::WipedText;
using nlohmann::json;

namespace {

constexpr std::size_t kMostOrders = 500, kRequestBytes = std::size_t{512} << 10;  // in a request
constexpr std::chrono::seconds kNodePatience{60};

constexpr const char* method_of(SaStep::What what) {
    switch (what) {
        case SaStep::What::install: return "sa.install";
        case SaStep::What::rekey: return "sa.rekey";
        case SaStep::What::switch_over: return "sa.switch";
        case SaStep::What::remove: return "sa.remove";
    }
    return "";
}

// Which of a request's orders "sas[3] tunnel ..." is.
std::optional<std::size_t> index_in(std::string_view words) {
    constexpr std::string_view kBegin = "sas[";
    if (!words.starts_with(kBegin)) return std::nullopt;
    std::size_t index = 0;
    const auto [end, error] = std::from_chars(words.data() + kBegin.size(), words.data() + words.size(), index);
    if (error != std::errc() || end == words.data() + words.size() || *end != ']') return std::nullopt;
    return index;
}

// Without the place in the request, which says nothing to whoever reads it in the store.
std::string without_place(const std::string& words, const std::string& tunnel) {
    const std::string named = fmt::format("tunnel \"{}\"", tunnel);
    const std::size_t at = words.find(named);
    if (at == std::string::npos) return words;
    const std::size_t begin = words.find_first_not_of(": ", at + named.size());
    return begin == std::string::npos ? words : words.substr(begin);
}

// The object that a label of ours names; "" for others' SAs.
std::string name_in(const json& item) {
    constexpr std::string_view kBegin = "keys/";
    const json label = item.value("label", json());
    if (!label.is_string()) return {};
    const auto& text = label.get_ref<const std::string&>();
    const std::size_t end = text.rfind('#');
    if (!text.starts_with(kBegin) || end == std::string::npos) return {};
    return text.substr(kBegin.size(), end - kBegin.size());
}

}  // namespace

void SaKeeper::drop_node(const std::string& words) {
    node_.reset();
    looked_ = false;
    wait(words);
}

Expected<json> SaKeeper::ask(const std::string& method, const json& params) {
    if (!node_) {
        auto client = Client::connect(options_.socket);
        if (!client) return client.error();
        node_.emplace(std::move(*client));
        node_->wait_at_most(kNodePatience);
        looked_ = false;  // it may be another process
    }
    auto answer = node_->call(method, params);
    if (auto* result = std::get_if<json>(&answer)) return std::move(*result);
    if (const auto* error = std::get_if<RpcError>(&answer)) return Error{ErrorCode::invalid, error->message};
    return Error{ErrorCode::unavailable, std::get<Client::Lost>(answer).words};
}

void SaKeeper::watch_node() {
    next_look_ = Clock::now() + options_.look;
    const auto told = ask("show.generation", json::object());
    if (!told) return drop_node(told.error().words);
    const auto generation = told->value("generation", std::uint64_t{0});
    const auto withdrawn = told->value("sas_withdrawn", std::uint64_t{0});
    if (withdrawn != std::exchange(withdrawn_, withdrawn)) looked_ = false;
    try_refused(generation != std::exchange(generation_, generation));
    if (looked_) return;
    if (auto done = look(); !done) return drop_node(done.error().words);
    looked_ = true;
    node_trouble_.clear();
}

Expected<void> SaKeeper::look() {
    for (auto& [name, tunnel] : tunnels_) {
        tunnel.there.clear();
        tunnel.others_current = tunnel.others_waiting = false;
        dirty_.insert(name);
    }
    json params = json::object();
    for (;;) {
        const auto page = ask("show.sa", params);
        if (!page) return page.error();
        for (const json& item : page->value("items", json::array())) {
            const std::string name = item.value("tunnel", "");
            const bool outbound = item.value("direction", "") == "outbound";
            const bool waits = item.value("state", "") == "waiting";
            const std::string object = name_in(item);
            if (object.empty()) {
                if (outbound) (waits ? tunnels_[name].others_waiting : tunnels_[name].others_current) = true;
                continue;
            }
            TunnelSas& tunnel = tunnels_[name];
            SaThere& sa = tunnel.there[item["label"].get<std::string>()];
            sa.name = object;
            (outbound ? sa.outbound : sa.inbound) = item.value("spi", std::uint32_t{0});
            if (outbound) sa.waits = waits;
            dirty_.insert(name);
        }
        const json next = page->value("next", json());
        if (!next.is_string()) break;
        params["after"] = next;
    }
    for (auto& each : tunnels_)
        std::erase_if(each.second.gone,
                      [&there = each.second.there](const std::string& label) { return !there.contains(label); });
    changed_ = true;
    return {};
}

bool SaKeeper::send_orders(std::deque<Todo> orders, SaStep::What what) {
    while (!orders.empty()) {
        WipedText params;
        params.reserve(kRequestBytes + (std::size_t{16} << 10));
        params = R"({"sas":[)";
        std::deque<Todo> batch;
        while (!orders.empty() && batch.size() < batch_ && params.size() < kRequestBytes) {
            Todo one = std::move(orders.front());
            orders.pop_front();
            const auto& wanted = tunnels_[one.tunnel].wanted;
            const auto object = std::find_if(wanted.begin(), wanted.end(),
                                             [&](const auto& each) { return each.second.label == one.step.label; });
            if (object == wanted.end()) continue;
            const std::size_t before = params.size();
            if (!batch.empty()) params += ',';
            if (auto unwrapped = unwrap(object->second, options_.keys, one.step.halves, params); !unwrapped) {
                params.resize(before);
                refuse(one, unwrapped.error().words, false);
                continue;
            }
            batch.push_back(std::move(one));
        }
        if (batch.empty()) continue;
        params += "]}";
        const auto answer = node_->answer_to(node_->ask(method_of(what), params));
        if (std::holds_alternative<json>(answer)) {
            for (const Todo& one : batch) done(one);
            batch_ = std::min(2 * batch_, kMostOrders);
            continue;
        }
        if (const auto* lost = std::get_if<Client::Lost>(&answer)) {
            drop_node(lost->words);
            return false;
        }
        // Where much is refused, less is asked for at once: whatever the request had goes over again without it.
        batch_ = std::max<std::size_t>(1, batch_ / 2);
        if (!refused(std::get<RpcError>(answer), batch)) return false;
        orders.insert(orders.begin(), std::make_move_iterator(batch.begin()), std::make_move_iterator(batch.end()));
    }
    return true;
}

bool SaKeeper::send_names(std::deque<Todo> names, SaStep::What what) {
    while (!names.empty()) {
        std::deque<Todo> batch;
        json sas = json::array();
        for (; !names.empty() && batch.size() < kMostOrders; names.pop_front()) {
            Todo& one = names.front();
            // An SA for each: without either SPI all of the tunnel's would be meant.
            json name = {{"tunnel", one.tunnel}};
            if (one.step.inbound) name["inbound"] = *one.step.inbound;
            if (one.step.outbound) name["outbound"] = *one.step.outbound;
            sas.push_back(std::move(name));
            batch.push_back(std::move(one));
        }
        const auto answer = node_->call(method_of(what), {{"sas", std::move(sas)}});
        if (std::holds_alternative<json>(answer)) {
            for (const Todo& one : batch) done(one);
            continue;
        }
        if (const auto* lost = std::get_if<Client::Lost>(&answer)) {
            drop_node(lost->words);
            return false;
        }
        const RpcError& error = std::get<RpcError>(answer);
        // What is not there was removed or switched to by somebody else.
        looked_ = false;
        next_look_ = {};
        wait(error.message);
        return false;
    }
    return true;
}

// Takes the one that the node refused out of the batch; false when it is not one's fault, and nothing goes now.
bool SaKeeper::refused(const RpcError& error, std::deque<Todo>& batch) {
    const auto index = index_in(error.message);
    const bool is_nobodys = !index || *index >= batch.size() || error.code == RpcErrorCode::unavailable ||
                            error.code == RpcErrorCode::internal_error ||
                            (error.code == RpcErrorCode::permission && !ledger_stands());
    if (is_nobodys) {
        wait(error.message);
        return false;
    }
    const auto culprit = batch.begin() + static_cast<std::ptrdiff_t>(*index);
    refuse(*culprit, without_place(error.message, culprit->tunnel), error.code == RpcErrorCode::not_found);
    batch.erase(culprit);
    return true;
}

bool SaKeeper::ledger_stands() {
    const auto told = ask("show.ledger", json::object());
    return !told || told->value("stands", true);
}

}  // namespace sekisho::agent
