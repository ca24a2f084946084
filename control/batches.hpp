// Objects put into a transaction, and deleted from it, over the control socket: gathered into batches of a bounded
// size, a few of which are under way at once.
//
// The daemon judges the objects. sekishoctl stages files with it, the agent what a policy store tells. Blocking; one
// thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

#include "control/client.hpp"
#include "control/document.hpp"

namespace sekisho::control {

class Batches {
  public:
    Batches(Client& client, const nlohmann::json& transaction);

    // JSON text without a newline. Objects of one kind come one after the other.
    void put(Kind kind, std::string_view object);
    // Before any put: within a batch, the daemon deletes first.
    void erase(Kind kind, std::string_view id);

    // Sends the rest and waits for all answers. False: failure() says why.
    bool finish();
    // What went wrong first: an RpcError, or Lost. Nothing is sent after that.
    const std::optional<Client::Answer>& failure() const noexcept { return failure_; }
    std::size_t puts() const noexcept { return count_; }
    std::size_t staged() const noexcept { return staged_; }  // objects in the staged document, as of the last answer

  private:
    // One half of a batch: its members so far, the last one's array still open.
    struct Half {
        std::string text;
        Kind kind = Kind::hub;
        void add(Kind kind, std::string_view element, bool is_put);
        std::string closed(bool is_put) const;
    };
    void make_room(std::size_t bytes);
    void send();
    void take_answer();

    Client& client_;
    std::string transaction_;
    Half erases_, puts_;
    std::size_t bytes_ = 0;
    std::size_t count_ = 0;
    std::size_t staged_ = 0;
    std::deque<std::uint64_t> unanswered_;
    std::optional<Client::Answer> failure_;
};

}  // namespace sekisho::control
