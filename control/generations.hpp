// Generations: the running document, transactions staged on it, and commits, which are all or nothing.
//
// A transaction is optimistic: it starts from the generation that runs at its begin, and its commit is refused when
// another came between. A commit validates, compiles, diffs, audits and saves on the compiler thread; then the control
// thread publishes. Whatever fails, the running generation, the state directory and the node stay as they were. Gates
// that are closed by hand stand beside the document and are folded into whatever is published, so that no commit opens
// them. The control thread calls everything here; it knows no socket and no JSON-RPC.
#pragma once

#include <cstdint>
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
#include "control/batch.hpp"
#include "control/compiler_thread.hpp"
#include "control/events.hpp"
#include "control/hand_gates.hpp"
#include "control/peer.hpp"
#include "control/prepare.hpp"
#include "control/recorder.hpp"
#include "control/state_store.hpp"

namespace sekisho::control {

using TransactionId = std::uint64_t;  // never given out twice

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
struct Compared {
    std::uint64_t running = 0;
    DocumentDiff diff;
};

struct GateMoved {
    std::string id;
    bool durable = true;  // false, of a gate that was closed: it could not be recorded, and a restart would open it
    std::string words;    // why
};

class Generations {
  public:
    struct Parts {
        EventLoop& loop;
        CompileCall compile;  // called on the compiler thread
        // On the control thread. The tables live until the next call.
        std::function<void(std::unique_ptr<dataplane::Tables>)> publish;
        StateStore& state;  // used on the compiler thread, and the recorder
        AuditLog& audit;    // likewise
        Events& events;
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
    // {"delete": {kind: [id, ...]}, "put": {kind: [object, ...] or, for the hub, object}}: the deletes first. All of
    // the batch or nothing of it.
    void batch(ClientId client, TransactionId transaction, nlohmann::json operations, Answer<Staged> answer);
    void diff(ClientId client, TransactionId transaction, Answer<Compared> answer);
    // On success the transaction has ended, also when nothing changed; after a dry run or a refusal it stands, unless
    // it was a conflict, which nothing in the transaction could mend.
    // The generation gets the label; when nothing changed, the one that runs does, until the daemon ends.
    void commit(ClientId client, TransactionId transaction, bool dry_run, std::string label, Answer<Committed> answer);
    Expected<void> abort(ClientId client, TransactionId transaction);
    // Closes a gate beside the document, an object as the document has them. What it closes is closed when this
    // returns, but for an agreement; the answer comes when it is recorded, and for an agreement when it is compiled.
    void close_gate(const Peer& peer, const nlohmann::json& gate, Answer<GateMoved> answer);
    // Opens one that was closed by hand: recorded first. Error not_found; exists when it is the document's own.
    void open_gate(const Peer& peer, const std::string& id, Answer<GateMoved> answer);
    const HandGates& gates_by_hand() const noexcept { return gates_; }
    Recorder& recorder() noexcept { return recorder_; }

    // Aborts its transaction. A commit that was asked for before is carried out.
    void client_gone(ClientId client);

  private:
    struct Transaction;
    struct Commit;

    explicit Generations(Parts parts);
    Expected<std::shared_ptr<Transaction>> find(ClientId client, TransactionId transaction) const;
    void end(TransactionId transaction);
    void next_commit();
    void finish(const std::shared_ptr<Commit>& commit, const std::shared_ptr<Outcome<Prepared>>& prepared);
    void recompile();
    Expected<void> load_gates();
    void gates_changed(bool agreements, std::function<void()> then);
    void run(std::shared_ptr<const Generation> generation, std::unique_ptr<dataplane::Tables> tables);
    // On the compiler thread.
    Outcome<Prepared> prepare_durably(const Commit& commit, const NamesByHand& closed_agreements);

    Parts parts_;
    std::shared_ptr<const Generation> running_;
    std::map<TransactionId, std::shared_ptr<Transaction>> transactions_;
    TransactionId next_id_ = 1;
    std::deque<std::shared_ptr<Commit>> waiting_;
    bool busy_ = false;  // a commit or a recompilation is on the compiler thread
    bool recompile_due_ = false;
    std::unique_ptr<Timer> next_change_;
    const dataplane::Tables* tables_ = nullptr;  // what the workers read
    HandGates gates_;                            // as they are folded
    HandGates recorded_gates_;                   // as they are, or are about to be, recorded
    std::uint64_t gate_changes_ = 0;
    std::unique_ptr<Timer> next_gate_change_;
    std::vector<std::function<void()>> after_recompile_;
    // Last, so that they have ended before what they use.
    Recorder recorder_;
    CompilerThread compiler_thread_;
};

}  // namespace sekisho::control
