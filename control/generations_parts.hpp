// What the files of control/generations share and nobody else sees: a transaction, and a commit on its way.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>

#include "control/generations.hpp"

namespace sekisho::control {

struct Generations::Transaction {
    explicit Transaction(std::shared_ptr<std::atomic<std::uint64_t>> total) : total_bytes(std::move(total)) {}
    Transaction(const Transaction&) = delete;
    Transaction& operator=(const Transaction&) = delete;
    ~Transaction() { *total_bytes -= bytes; }

    TransactionId id = 0;
    ClientId client = 0;
    Peer peer;
    std::shared_ptr<const Generation> base;
    bool committing = false;  // control thread's, as is the next
    bool abandoned = false;   // its client has gone
    Document document;        // compiler thread's, once begun, as are the next two
    std::uint64_t bytes = 0;  // that were put into it, of the total
    CommitTimes::Time staging{0};
    std::shared_ptr<std::atomic<std::uint64_t>> total_bytes;
};

// From whatever asks for one: a transaction, a rollback, a scheduled change whose time has come.
struct Generations::Commit {
    struct Source {
        Document document;
        std::string signature;
    };

    // On the compiler thread: the document to become the next, given the one that runs.
    std::function<Expected<Source>(const Generation& running)> source;
    CommitOptions options;
    GenerationRecord about;  // who, what, of
    Peer peer;
    Answer<Committed> answer;
    std::shared_ptr<Transaction> transaction = nullptr;    // whose it is, if it is one's
    std::shared_ptr<const Scheduled> scheduled = nullptr;  // likewise
    std::string reason = {};                               // of a rollback that goes on whatever the disk says

    bool must_happen() const noexcept { return !reason.empty(); }

    // Set on its way: by the control thread, then by the compiler thread.
    std::shared_ptr<const Generation> base = nullptr;
    std::shared_ptr<const Scheduled> waits = nullptr;  // what it became, if it is for later
    std::vector<GenerationRecord> kept = {};           // what the state directory has afterwards
};

// Who asked, as a generation remembers it.
inline GenerationRecord made_by(const Peer& peer, std::string what) {
    GenerationRecord record;
    record.what = std::move(what);
    record.uid = peer.uid;
    record.gid = peer.gid;
    return record;
}

}  // namespace sekisho::control
