// The nonce ledger's witness: the daemon asks over the control socket, the store answers.
//
// While the store does not answer, neither does the ledger get an answer: the daemon takes no manual key then and
// extends no reserve, and goes on with what it has. As soon as it answers again the ledger is asked again. One thread;
// whoever calls round().
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "agent/back_off.hpp"
#include "agent/ledger_memory.hpp"
#include "agent/standing.hpp"
#include "control/client.hpp"

namespace sekisho::agent {

class LedgerWitness {
  public:
    struct Options {
        EtcdOptions etcd;
        std::string cluster, node, socket;
    };
    LedgerWitness(Options options, StandingBoard& board);

    // Returns after `longest`, or soon after a question.
    void round(std::chrono::milliseconds longest);

  private:
    using Clock = std::chrono::steady_clock;
    bool offer();
    void answer(const nlohmann::json& question);
    nlohmann::json answer_of(const nlohmann::json& question);
    void tell(const std::string& trouble);

    Options options_;
    StandingBoard& board_;
    LedgerMemory memory_;
    std::optional<control::Client> node_;
    bool offered_ = false;  // we are the witness, and the last question had an answer
    Clock::time_point next_offer_{};
    BackOff back_off_{std::chrono::milliseconds(200), std::chrono::milliseconds(5000)};
};

}  // namespace sekisho::agent
