// Generations: the running document, transactions staged on it, and commits, which are all or nothing.
//
// A transaction is optimistic: it starts from the generation that runs at its begin, and its commit is refused when
// another came between. A commit validates, compiles, diffs, checks the signature, audits and saves on the compiler
// thread; then the control thread publishes. Whatever fails, the running generation, the state directory and the node
// stay as they were. A commit may have to be confirmed, and is rolled back by itself otherwise; it may wait for a time;
// an old generation may come back as a new one. Gates that are closed by hand stand beside the document and are folded
// into whatever is published, so that no commit opens them. The control thread calls everything here; it knows no
// socket and no JSON-RPC.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
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
#include "control/schedule.hpp"
#include "control/signature.hpp"
#include "control/state_store.hpp"

namespace sekisho::control {

using TransactionId = std::uint64_t;  // never given out twice

template <class Result>
using Outcome = std::variant<Result, Refused>;
template <class Result>
using Answer = std::function<void(Outcome<Result>)>;  // called once, on the control thread, perhaps at once

struct CommitOptions {
    bool dry_run = false;
    std::optional<std::chrono::seconds> confirm;  // rolled back by itself, unless confirm() comes within that time
    std::optional<WallTime> at;                   // comes into force then, and not now; not together with `confirm`
    std::string signature;                        // of the whole document; "" for none
    // The generation gets it; when nothing changed, the one that runs does, until the daemon ends.
    std::string label;
};
struct Committed {
    std::uint64_t base = 0;
    std::uint64_t generation = 0;  // equal to base when nothing changed
    bool dry_run = false;
    DocumentDiff diff;
    std::vector<std::string> warnings;
    CompileReport report;
    CommitTimes times;
    std::string hash;                        // of the document
    std::optional<WallTime> confirm_by;      // it waits to be confirmed
    std::optional<std::uint64_t> scheduled;  // it waits for its time, under this number
};
struct Compared {
    std::uint64_t running = 0;
    DocumentDiff diff;
};
struct Confirmed {
    std::uint64_t generation = 0;
};
struct Cancelled {
    std::uint64_t scheduled = 0;
};

struct KeptGeneration : GenerationRecord {
    enum class State { running, good, kept, rolled_back };  // good: what an unconfirmed one goes back to
    State state = State::kept;
};

// Whether what runs is what is stored, and what a client says it should be. The hashes are taken anew.
struct Drift {
    std::uint64_t generation = 0;
    std::string hash;          // of the running document
    std::uint64_t tables = 0;  // the generation of what the workers read
    std::optional<std::uint64_t> stored_generation;
    std::string stored_hash;               // of the newest stored document, the unconfirmed one if there is one
    std::string desired;                   // as it was named, or ""
    std::vector<std::string> differences;  // in words; none: there is no drift
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
        SigningKeys keys = {};                 // whose signatures a document needs; none: it needs none
        std::function<WallTime()> clock = {};  // the system's, if there is none
        // On the control thread, just before publish(): what is about to run.
        std::function<void(const Generation&, const dataplane::Tables&)> settle = {};
        RowsCall rows = {};  // called on the compiler thread
    };
    static Expected<std::unique_ptr<Generations>> make(Parts parts);
    ~Generations();

    // Before the loop runs: compiles and publishes what the state directory holds, else (or if `replace`) `initial`
    // with its signature, else the empty policy, which lets nothing pass. A generation that was not confirmed is rolled
    // back first. Errors: those of a commit.
    Expected<void> start(std::optional<Document> initial, bool replace, const std::string& signature = {});

    std::shared_ptr<const Generation> running() const noexcept { return running_; }
    std::size_t transactions() const noexcept { return transactions_.size(); }
    std::optional<WallTime> confirm_by() const;  // of the running one, if it waits to be confirmed
    std::vector<KeptGeneration> kept() const;    // ascending, the running one last
    void drift(std::string desired, Answer<Drift> answer);
    // Rows of the running generation's tables; asked of the compiler thread, behind the work that it has.
    void rows(RowQuestion question, Answer<TableRows> answer);

    // How many bytes of objects may be put into all open transactions together; a gigabyte unless it is told.
    void limit_staged_bytes(std::uint64_t bytes) { most_staged_bytes_ = bytes; }

    // One open transaction for each client. With `replace` it starts from an empty document.
    Expected<TransactionId> begin(ClientId client, const Peer& peer, bool replace);
    // {"delete": {kind: [id, ...]}, "put": {kind: [object, ...] or, for the hub, object}}: the deletes first. All of
    // the batch or nothing of it.
    void batch(ClientId client, TransactionId transaction, nlohmann::json operations, Answer<Staged> answer);
    void diff(ClientId client, TransactionId transaction, Answer<Compared> answer);
    // On success the transaction has ended, also when nothing changed; after a dry run or a refusal it stands, unless
    // it was a conflict, which nothing in the transaction could mend.
    void commit(ClientId client, TransactionId transaction, CommitOptions options, Answer<Committed> answer);
    Expected<void> abort(ClientId client, TransactionId transaction);
    // The running generation, which must be `number` if that is given, waits no longer: it is the good one.
    void confirm(const Peer& peer, std::optional<std::uint64_t> number, Answer<Confirmed> answer);
    // The document of an old generation, with its signature, becomes a new one; without `number`, that of the last
    // confirmed one in place of one that waits.
    void rollback(const Peer& peer, std::optional<std::uint64_t> number, CommitOptions options,
                  Answer<Committed> answer);
    // What waits for its time, by its number; and why one could not come into force, if it could not.
    const std::map<std::uint64_t, std::shared_ptr<const Scheduled>>& schedule() const noexcept { return schedule_; }
    std::string failure_of(std::uint64_t scheduled) const;
    void cancel(const Peer& peer, std::uint64_t scheduled, Answer<Cancelled> answer);
    // Does what is due by the clock; the loop's timers call it too.
    void look_at_clock();

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
    struct Unconfirmed {
        std::shared_ptr<const Generation> good;  // what it goes back to
        WallTime by;                             // for people; the time itself is the timer's
        std::chrono::steady_clock::time_point until;
        bool confirming = false;  // that is under way
        bool ending = false;      // it is being rolled back
    };
    using Schedule = std::map<std::uint64_t, std::shared_ptr<const Scheduled>>;

    explicit Generations(Parts parts);
    WallTime clock() const { return parts_.clock ? parts_.clock() : std::chrono::system_clock::now(); }
    Expected<void> make_timers();
    // Of start(): one for each of what it may find.
    Expected<void> restore(StateStore::Saved saved);
    Expected<void> begin_with(const Document& initial, const std::string& signature);
    Expected<void> begin_empty();
    Expected<void> load_schedule();

    Expected<std::shared_ptr<Transaction>> find(ClientId client, TransactionId transaction) const;
    void end(TransactionId transaction);
    void submit(const std::shared_ptr<Commit>& commit, bool first = false);
    void next_commit();
    std::optional<Refused> obstacle(const Commit& commit) const;
    void answer(Commit& commit, Refused refused);
    void finish(const std::shared_ptr<Commit>& commit, const std::shared_ptr<Outcome<Prepared>>& prepared);
    void committed(Commit& commit, Prepared& prepared);
    void roll_back_unconfirmed(const Peer& peer, const std::string& reason, Answer<Committed> answer);
    void settled();  // nothing waits to be confirmed any more
    void set_schedule_timer();
    void recompile();
    Expected<void> load_gates();
    void gates_changed(bool agreements, std::function<void()> then);
    void run(std::shared_ptr<const Generation> generation, std::unique_ptr<dataplane::Tables> tables);
    // On the compiler thread.
    Outcome<Prepared> prepare_durably(Commit& commit, const NamesByHand& closed_agreements, const Schedule& schedule);
    Expected<void> store(Commit& commit, const Prepared& prepared);
    void compact();

    Parts parts_;
    std::shared_ptr<const Generation> running_;
    std::vector<GenerationRecord> kept_;  // as the state directory has them
    std::uint64_t highest_ = 0;           // of all numbers of generations; none is given twice
    // Of all transactions, which may outlive this in calls that nobody answers any more; written by the compiler
    // thread.
    std::shared_ptr<std::atomic<std::uint64_t>> staged_bytes_ = std::make_shared<std::atomic<std::uint64_t>>(0);
    std::atomic<std::uint64_t> most_staged_bytes_{std::uint64_t{1} << 30};
    std::map<TransactionId, std::shared_ptr<Transaction>> transactions_;
    TransactionId next_id_ = 1;
    std::deque<std::shared_ptr<Commit>> waiting_;
    bool busy_ = false;  // a commit or a recompilation is on the compiler thread
    bool recompile_due_ = false;
    std::unique_ptr<Timer> next_change_;
    std::optional<Unconfirmed> unconfirmed_;  // of the running generation
    std::unique_ptr<Timer> confirm_timer_;
    Schedule schedule_;
    std::map<std::uint64_t, std::string> failed_;  // of the schedule
    std::set<std::uint64_t> due_;                  // of the schedule: being committed, or cancelled
    std::uint64_t next_scheduled_ = 1;
    std::unique_ptr<Timer> schedule_timer_;
    const dataplane::Tables* tables_ = nullptr;  // what the workers read
    std::uint64_t tables_generation_ = 0;
    HandGates gates_;           // as they are folded
    HandGates recorded_gates_;  // as they are, or are about to be, recorded
    std::uint64_t gate_changes_ = 0;
    std::unique_ptr<Timer> next_gate_change_;
    std::vector<std::function<void()>> after_recompile_;
    // Last, so that they have ended before what they use.
    Recorder recorder_;
    CompilerThread compiler_thread_;
    CompilerThread compaction_thread_;
};

}  // namespace sekisho::control
