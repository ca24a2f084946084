// The ledger's witness over the control socket: whoever called `ledger.witness` is asked, and answers by
// `ledger.answer`.
//
// The policy store's agent, as a rule. The ledger's thread asks and waits, two seconds at most; the control thread
// passes questions out and answers in, and never waits. Without a client, or without its answer, the witness cannot
// say, and no manual key gets numbers. One client at a time.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>

#include <nlohmann/json.hpp>

#include "control/event_loop.hpp"
#include "control/peer.hpp"
#include "crypto/witness.hpp"

namespace sekisho::control {

class SocketWitness final : public crypto::Witness {
  public:
    using Send = std::function<void(ClientId client, const nlohmann::json& question)>;  // on the loop's thread

    explicit SocketWitness(EventLoop& loop) : loop_(loop) {}
    ~SocketWitness();

    // Control thread. Error exists: another client is the witness.
    Expected<void> connect(ClientId client, Send send);
    void gone(ClientId client);  // of any client
    // The answer to question `ask`: "error" with words, or "epoch" (null: never heard of it) with "mark", or nothing.
    // Errors: not_found, for a question that is not this client's, or was given up; invalid.
    Expected<void> answer(ClientId client, std::uint64_t ask, const nlohmann::json& params);
    bool is_connected() const;

    // The ledger's thread.
    Expected<std::optional<crypto::LedgerEpoch>> epoch_of(const crypto::LedgerId& ledger) override;
    Expected<void> record(const crypto::LedgerId& ledger, const crypto::LedgerEpoch& epoch) override;
    Expected<void> claim(const crypto::LedgerId& ledger, std::span<const crypto::Fingerprint> keys) override;
    void stop();  // whoever waits is told at once that nobody answers; from any thread, for good

  private:
    Expected<nlohmann::json> ask(nlohmann::json question);

    EventLoop& loop_;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
    mutable std::mutex mutex_;  // over all below
    std::condition_variable changed_;
    ClientId client_ = 0;  // 0: none
    Send send_;
    std::uint64_t asked_ = 0;  // the last question's number
    bool waiting_ = false;
    std::optional<nlohmann::json> answer_;
    bool stopped_ = false;
};

}  // namespace sekisho::control
