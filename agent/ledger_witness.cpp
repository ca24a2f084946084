#include "agent/ledger_witness.hpp"

#include <algorithm>
#include <thread>

#include <nlohmann/json.hpp>

#include "control/log.hpp"

namespace sekisho::agent {

using control::Client;
using control::RpcError;
using nlohmann::json;

LedgerWitness::LedgerWitness(Options options, StandingBoard& board)
    : options_(std::move(options)), board_(board), memory_(options_.etcd, options_.cluster, options_.node) {}

void LedgerWitness::round(std::chrono::milliseconds longest) {
    const auto now = Clock::now();
    if (!offered_ && now >= next_offer_ && !offer()) next_offer_ = now + back_off_.next();
    if (!node_) {
        std::this_thread::sleep_for(std::min(longest, std::chrono::milliseconds(100)));
        return;
    }
    if (!node_->has_come(offered_ ? longest : std::min(longest, std::chrono::milliseconds(100)))) return;
    const auto question = node_->next_notification();
    if (const auto* told = std::get_if<json>(&question)) return answer(*told);
    node_.reset();
    offered_ = false;
}

// Also when we are the witness already: the daemon then asks again what it had no answer to.
bool LedgerWitness::offer() {
    if (!node_) {
        auto client = Client::connect(options_.socket);
        if (!client) return false;  // the follower tells
        node_.emplace(std::move(*client));
    }
    const auto taken = node_->call("ledger.witness");
    if (std::holds_alternative<json>(taken)) {
        offered_ = true;
        return true;
    }
    if (const auto* refused = std::get_if<RpcError>(&taken))
        tell(refused->message);
    else
        node_.reset();
    return false;
}

void LedgerWitness::answer(const json& question) {
    json given = answer_of(question);
    given["ask"] = question.value("ask", json());
    const bool has_failed = given.contains("error") && !given.contains("name");
    tell(has_failed ? given["error"].get<std::string>() : "");
    const auto answered = node_->call("ledger.answer", given);
    if (std::holds_alternative<Client::Lost>(answered)) {
        node_.reset();
        offered_ = false;
    } else if (has_failed) {
        offered_ = false;
        next_offer_ = Clock::now() + back_off_.next();
    } else {
        back_off_.reset();
    }
}

json LedgerWitness::answer_of(const json& question) {
    const std::string what = question.value("question", ""), ledger = question.value("ledger", "");
    const auto failed = [](const Error& error) {
        json given = {{"error", error.words}};
        if (error.code == ErrorCode::exists) given["name"] = "exists";
        return given;
    };
    if (what == "epoch") {
        const auto epoch = memory_.epoch_of(ledger);
        if (!epoch) return failed(epoch.error());
        if (!*epoch) return {{"epoch", json()}};
        return {{"epoch", (*epoch)->number}, {"mark", (*epoch)->mark}};
    }
    Expected<void> done = Error{ErrorCode::unsupported, "the witness does not know this question"};
    if (what == "record")
        done = memory_.record(ledger, {question.value("epoch", std::uint64_t{0}), question.value("mark", "")});
    if (what == "claim") done = memory_.claim(ledger, question.value("keys", std::vector<std::string>()));
    return done ? json::object() : failed(done.error());
}

void LedgerWitness::tell(const std::string& trouble) {
    if (board_.get().witness_trouble == trouble) return;
    if (!trouble.empty()) control::log(control::LogLevel::warning, "the nonce ledger's witness: " + trouble);
    board_.change([&](Standing& standing) { standing.witness_trouble = trouble; });
}

}  // namespace sekisho::agent
