// The agent's connection to sekishod: what runs there, and transactions that become its next generation.
//
// It connects when it is asked something and is not connected, and tells what the daemon refused by the keys of the
// objects that it names. Blocking; one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "agent/node_share.hpp"
#include "control/batches.hpp"
#include "control/client.hpp"

namespace sekisho::agent {

struct Running {
    std::uint64_t generation = 0;
    std::string label;  // "" if it has none
    std::string hash;   // of its document, as control/hash_tree makes it
};

struct Outcome {
    enum class What : std::uint8_t {
        done,
        refused,   // the policy is wrong: the complaints say where
        not_now,   // the node cannot do it now: its disk, its memory
        conflict,  // something else was committed meanwhile
        lost,      // no answer came: it may have been done, or not
    };
    What what = What::done;
    std::uint64_t generation = 0;  // of `done`
    std::vector<Complaint> complaints;
    std::string words;
};

// The keys that a refusal names, with its words: `institutions "sato" .prefixes[1]: ...`; key "" where it names none.
std::vector<Complaint> complaints_of(const control::RpcError& error);

class NodeLink {
  public:
    // With a patience, a daemon that takes longer to answer counts as lost.
    explicit NodeLink(std::string socket, std::optional<std::chrono::seconds> patience = std::nullopt)
        : socket_(std::move(socket)), patience_(patience) {}

    bool connected() const noexcept { return client_.has_value(); }
    void drop();

    Expected<Running> running();
    // The result of a method without parameters. Errors: unavailable (and the connection is dropped), or the daemon's.
    Expected<nlohmann::json> ask(const std::string& method);

    // A transaction; `base` is what it is staged on. With `whole`, on nothing.
    Expected<std::uint64_t> begin(bool whole);
    control::Batches& batches() { return *batches_; }
    // `signature` is the document's; "" for none.
    Outcome commit(const std::string& label, const std::string& signature);
    void abort();

  private:
    Expected<void> connect();
    Outcome failed(const control::Client::Answer& answer);

    std::string socket_;
    std::optional<std::chrono::seconds> patience_;
    std::optional<control::Client> client_;
    std::unique_ptr<control::Batches> batches_;
    std::uint64_t transaction_ = 0;
};

}  // namespace sekisho::agent
