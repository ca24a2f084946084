// Questions out, answers in.
#include "control/socket_witness.hpp"

#include <chrono>
#include <utility>

#include "crypto/digest.hpp"

namespace sekisho::control {

using nlohmann::json;

namespace {

constexpr std::chrono::seconds kPatience{2};
constexpr const char* kNobody = "no witness is connected (ledger.witness)";

}  // namespace

SocketWitness::~SocketWitness() {
    stop();
}

void SocketWitness::stop() {
    {
        const std::lock_guard lock(mutex_);
        stopped_ = true;
    }
    changed_.notify_all();
}

Expected<void> SocketWitness::connect(ClientId client, Send send) {
    const std::lock_guard lock(mutex_);
    if (client_ != 0 && client_ != client)
        return Error{ErrorCode::exists, "another connection is the ledger's witness already"};
    client_ = client;
    send_ = std::move(send);
    return {};
}

void SocketWitness::gone(ClientId client) {
    {
        const std::lock_guard lock(mutex_);
        if (client_ != client) return;
        client_ = 0;
        send_ = nullptr;
    }
    changed_.notify_all();
}

bool SocketWitness::is_connected() const {
    const std::lock_guard lock(mutex_);
    return client_ != 0;
}

Expected<void> SocketWitness::answer(ClientId client, std::uint64_t ask, const json& params) {
    {
        const std::lock_guard lock(mutex_);
        if (client != client_ || !waiting_ || ask != asked_ || answer_)
            return Error{ErrorCode::not_found, "no question " + std::to_string(ask) + " waits for this connection"};
        answer_ = params;
    }
    changed_.notify_all();
    return {};
}

Expected<json> SocketWitness::ask(json question) {
    std::unique_lock lock(mutex_);
    if (client_ == 0 || stopped_) return Error{ErrorCode::unavailable, kNobody};
    question["ask"] = ++asked_;
    waiting_ = true;
    answer_.reset();
    loop_.post([alive = std::weak_ptr(alive_), send = send_, client = client_, question = std::move(question)] {
        if (!alive.expired()) send(client, question);
    });
    const ClientId asked_of = client_;
    changed_.wait_for(lock, kPatience, [&] { return answer_ || stopped_ || client_ != asked_of; });
    waiting_ = false;
    if (!answer_)
        return Error{ErrorCode::unavailable, client_ == asked_of ? "the witness did not answer within 2 s" : kNobody};
    json given = std::move(*answer_);
    answer_.reset();
    if (const auto error = given.find("error"); error != given.end())
        return Error{given.value("name", "") == "exists" ? ErrorCode::exists : ErrorCode::unavailable,
                     error->is_string() ? error->get<std::string>() : "the witness refused"};
    return given;
}

Expected<std::optional<crypto::LedgerEpoch>> SocketWitness::epoch_of(const crypto::LedgerId& ledger) {
    const auto given = ask({{"question", "epoch"}, {"ledger", ledger.text()}});
    if (!given) return given.error();
    const auto number = given->find("epoch");
    if (number == given->end()) return Error{ErrorCode::unavailable, "the witness's answer has no epoch"};
    if (number->is_null()) return std::optional<crypto::LedgerEpoch>();
    if (!number->is_number_unsigned()) return Error{ErrorCode::unavailable, "the witness's epoch is no number"};
    crypto::LedgerEpoch epoch{number->get<std::uint64_t>(), {}};
    const auto mark = given->find("mark");
    if (mark == given->end() || !mark->is_string() || !crypto::from_hexadecimal(mark->get<std::string>(), epoch.mark))
        return Error{ErrorCode::unavailable, "the witness's answer has no mark of 32 hexadecimal digits"};
    return std::optional(epoch);
}

Expected<void> SocketWitness::record(const crypto::LedgerId& ledger, const crypto::LedgerEpoch& epoch) {
    const auto given = ask({{"question", "record"},
                            {"ledger", ledger.text()},
                            {"epoch", epoch.number},
                            {"mark", crypto::hexadecimal(epoch.mark)}});
    if (!given) return given.error();
    return {};
}

Expected<void> SocketWitness::claim(const crypto::LedgerId& ledger, std::span<const crypto::Fingerprint> keys) {
    json names = json::array();
    for (const crypto::Fingerprint& key : keys) names.push_back(key.text());
    const auto given = ask({{"question", "claim"}, {"ledger", ledger.text()}, {"keys", std::move(names)}});
    if (!given) return given.error();
    return {};
}

}  // namespace sekisho::control
