// Generations: the running document, transactions staged on it, and commits, which are all or nothing.
//
// A transaction is optimistic: it starts from the generation that runs at its begin, and its commit is refused when
// another came between. A commit validates, compiles, diffs, audits and saves on the compiler thread; then the control
// thread publishes. Whatever fails, the running generation, the state directory and the node stay as they were. The
// control thread calls everything here; it knows no socket and no JSON-RPC.
#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "control/audit_log.hpp"
#include "control/compile.hpp"
#include "control/compiler_thread.hpp"
#include "control/diff.hpp"
#include "control/document.hpp"
#include "control/peer.hpp"
#include "control/state_store.hpp"

namespace sekisho::control {

using WallTime = std::chrono::system_clock::time_point;
using TransactionId = std::uint64_t;  // never given out twice

struct Generation {  // immutable once it runs
    std::uint64_t number = 0;  // 0: nothing was ever committed
    Document document;
    Policy policy;
    std::string committed;  // time of the commit, Japan time; "" for generation 0
    std::string compiled;   // of the last compilation, which a date in the policy may have caused
    CompileReport report;
};

struct Refused {
    Error error;                // the first, or the only one
    std::vector<Error> others;  // of a document that does not validate
    struct Conflict {
        std::uint64_t base, running;
    };
    std::optional<Conflict> conflict;
};
template <class Result>
using Outcome = std::variant<Result, Refused>;
template <class Result>
using Answer = std::function<void(Outcome<Result>)>;  // called once, on the control thread, perhaps at once

struct Committed {
    std::uint64_t base = 0;
    std::uint64_t generation = 0;  // equal to base when nothing changed
    bool dry_run = false;
    DocumentDiff diff;
    std::vector<std::string> warnings;
    CompileReport report;
};
struct Staged {
    std::size_t puts = 0, deletes = 0;  // of this batch
    std::size_t objects = 0;            // in the staged document now
};
struct Compared {
    std::uint64_t running = 0;
    DocumentDiff diff;
};

class Generations {
  public:
    struct Parts {
        EventLoop& loop;
        CompilerThread& compiler_thread;
        std::function<Expected<Compiled>(const Policy&, std::uint64_t generation, WallTime now)> compile;  // its thread
        std::function<void(std::unique_ptr<dataplane::Tables>)> publish;  // control thread
        StateStore& state;                                                // compiler thread
        AuditLog& audit;                                                  // compiler thread
    };
    static Expected<std::unique_ptr<Generations>> make(Parts parts);
    ~Generations();

    // Before the loop runs: compiles and publishes what the state directory holds, else (or if `replace`) `initial`,
    // else the empty policy, which lets nothing pass. Errors: those of a commit.
    Expected<void> start(std::optional<Document> initial, bool replace);

    std::shared_ptr<const Generation> running() const noexcept { return running_; }
    std::size_t transactions() const noexcept { return transactions_.size(); }

    // One open transaction for each client. With `replace` it starts from an empty document.
    Expected<TransactionId> begin(ClientId client, const Peer& peer, bool replace);
    // {"delete": {kind: [id, ...]}, "put": {kind: [object, ...] or, for the hub, object}}: the deletes first. All of the
    // batch or nothing of it.
    void batch(ClientId client, TransactionId transaction, nlohmann::json operations, Answer<Staged> answer);
    void diff(ClientId client, TransactionId transaction, Answer<Compared> answer);
    // On success the transaction has ended, also when nothing changed; after a dry run or a refusal it stands, unless it
    // was a conflict, which nothing in the transaction could mend.
    void commit(ClientId client, TransactionId transaction, bool dry_run, Answer<Committed> answer);
    Expected<void> abort(ClientId client, TransactionId transaction);
    // Aborts its transaction. A commit that was asked for before is carried out.
    void client_gone(ClientId client);

  private:
    struct Transaction;
    struct Commit;
    struct Prepared;

    explicit Generations(Parts parts);
    Expected<std::shared_ptr<Transaction>> find(ClientId client, TransactionId transaction) const;
    void next_commit();
    void prepare(std::shared_ptr<Commit> commit);
    void finish(const Commit& commit, std::shared_ptr<Prepared> prepared);
    void recompile();
    void run(std::shared_ptr<const Generation> generation, std::unique_ptr<dataplane::Tables> tables);

    Parts parts_;
    std::shared_ptr<const Generation> running_;
    std::map<TransactionId, std::shared_ptr<Transaction>> transactions_;
    TransactionId next_id_ = 1;
    std::deque<std::shared_ptr<Commit>> waiting_;
    bool busy_ = false;  // a commit or a recompilation is on the compiler thread
    bool recompile_due_ = false;
    std::unique_ptr<Timer> next_change_;
};

}  // namespace sekisho::control
