#include "agent/node_link.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "agent/key.hpp"

namespace sekisho::agent {

using control::Client;
using control::Kind;
using control::RpcError;
using control::RpcErrorCode;
using nlohmann::json;

namespace {

// The object that the words are about is the first that they name.
std::string key_in(const std::string& words) {
    std::size_t first = std::string::npos;
    std::string key;
    for (const Kind kind : control::kKinds) {
        const std::string named = fmt::format("{} \"", name_of(kind));
        const std::size_t at = words.find(named);
        if (at >= first) continue;
        const std::size_t begin = at + named.size();
        const std::size_t end = words.find('"', begin);
        if (end == std::string::npos) continue;
        first = at;
        key = key_of(kind, words.substr(begin, end - begin));
    }
    if (key.empty() && (words.rfind("hub", 0) == 0 || words.rfind("put.hub", 0) == 0)) key = "hub";
    return key;
}

}  // namespace

std::vector<Complaint> complaints_of(const RpcError& error) {
    std::vector<Complaint> all;
    if (const auto errors = error.data.find("errors"); errors != error.data.end() && errors->is_array())
        for (const json& words : *errors)
            if (words.is_string()) all.push_back({key_in(words.get<std::string>()), words.get<std::string>()});
    if (all.empty()) all.push_back({key_in(error.message), error.message});
    return all;
}

void NodeLink::drop() {
    batches_.reset();
    client_.reset();
}

Expected<void> NodeLink::connect() {
    if (client_) return {};
    auto client = Client::connect(socket_);
    if (!client) return client.error();
    client_.emplace(std::move(*client));
    if (patience_) client_->wait_at_most(*patience_);
    return {};
}

Expected<json> NodeLink::ask(const std::string& method) {
    if (auto done = connect(); !done) return done.error();
    auto answer = client_->call(method);
    if (auto* result = std::get_if<json>(&answer)) return std::move(*result);
    if (const auto* error = std::get_if<RpcError>(&answer))
        return Error{error->code == RpcErrorCode::permission ? ErrorCode::permission : ErrorCode::invalid,
                     error->message};
    const std::string words = std::get<Client::Lost>(answer).words;
    drop();
    return Error{ErrorCode::unavailable, words};
}

Expected<Running> NodeLink::running() {
    const auto told = ask("show.generation");
    if (!told) return told.error();
    const auto words = [&](const char* name) {
        const auto found = told->find(name);
        return found != told->end() && found->is_string() ? found->get<std::string>() : std::string();
    };
    return Running{told->value("generation", std::uint64_t{0}), words("label"), words("hash")};
}

Expected<std::uint64_t> NodeLink::begin(bool whole) {
    if (auto done = connect(); !done) return done.error();
    const auto answer = client_->call("begin", {{"replace", whole}});
    if (const auto* begun = std::get_if<json>(&answer)) {
        transaction_ = begun->value("transaction", std::uint64_t{0});
        batches_ = std::make_unique<control::Batches>(*client_, json(transaction_));
        return begun->value("base", std::uint64_t{0});
    }
    const Outcome outcome = failed(answer);
    return Error{outcome.what == Outcome::What::refused ? ErrorCode::permission : ErrorCode::unavailable,
                 outcome.words};
}

Outcome NodeLink::failed(const Client::Answer& answer) {
    if (const auto* lost = std::get_if<Client::Lost>(&answer)) {
        drop();
        return {Outcome::What::lost, 0, {}, lost->words};
    }
    const RpcError& error = std::get<RpcError>(answer);
    Outcome outcome{Outcome::What::refused, 0, {}, error.message};
    if (error.code == RpcErrorCode::conflict)
        outcome.what = Outcome::What::conflict;
    else if (error.code == RpcErrorCode::unavailable ||
             error.code == RpcErrorCode::exists ||  // another generation waits to be confirmed
             error.code == RpcErrorCode::internal_error)
        outcome.what = Outcome::What::not_now;
    else
        outcome.complaints = complaints_of(error);
    return outcome;
}

Outcome NodeLink::commit(const std::string& label, const std::string& signature) {
    if (!batches_->finish()) {
        const Client::Answer failure = *batches_->failure();
        if (std::holds_alternative<RpcError>(failure)) abort();
        return failed(failure);
    }
    batches_.reset();
    json params = {{"transaction", transaction_}, {"label", label}};
    if (!signature.empty()) params["signature"] = signature;
    const auto answer = client_->call("commit", params);
    if (const auto* result = std::get_if<json>(&answer))
        return {Outcome::What::done, result->value("generation", std::uint64_t{0}), {}, {}};
    Outcome outcome = failed(answer);
    if (outcome.what != Outcome::What::lost && outcome.what != Outcome::What::conflict) abort();
    return outcome;
}

void NodeLink::abort() {
    batches_.reset();
    if (!client_) return;
    const auto answer = client_->call("abort", {{"transaction", transaction_}});
    if (std::holds_alternative<Client::Lost>(answer)) drop();
}

}  // namespace sekisho::agent
