// etcd's v3 API by gRPC, as far as the agent needs it: ranges, transactions, leases, watches.
//
// One connection at a time, to one of the cluster's members; when it fails the next member is tried at the next call.
// Certificates are read at each new connection, so that renewed ones come into use. Who we are is the client
// certificate's common name; there are no passwords. gRPC stays in the .cpp. Blocking calls with a deadline, from any
// thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "net/expected.hpp"

namespace sekisho::agent {

struct EtcdOptions {
    std::vector<std::string> endpoints;  // "http://127.0.0.1:2379", "https://store-1.example:2379"
    std::string ca_file;                 // PEM; with https
    std::string certificate_file;        // the client's; may be empty
    std::string key_file;
    std::chrono::milliseconds answer_within{10'000};  // of a member; then the next one is tried at the next call
};

struct KeyValue {
    std::string key;
    std::string value;
    std::int64_t mod_revision = 0;
};

struct Page {
    std::vector<KeyValue> items;
    bool more = false;
    std::int64_t revision = 0;  // the store's, now
    std::uint64_t cluster = 0;
};

// Why a call failed, beyond the words: what the caller does next depends on it.
enum class EtcdFault : std::uint8_t {
    unreachable,  // no member answers, or it has no leader, or it took too long
    compacted,    // the revision asked for is no longer there
    refused,      // we may not, or are not who we say: certificates, roles
    too_large,    // the answer is longer than we take: ask for less
    other,
};
struct EtcdError {
    EtcdFault fault = EtcdFault::other;
    std::string words;
};

struct Operation {  // of a transaction
    std::string key;
    std::optional<std::string> value;  // nullopt: delete
    std::int64_t lease = 0;
};

struct Condition {  // of a transaction
    std::string key;
    std::int64_t mod_revision = 0;  // 0: is not there
};
struct Transacted {
    bool done = false;            // the conditions held
    std::int64_t revision = 0;    // the store's
    std::vector<KeyValue> there;  // when they did not: which of their keys are there, and how
};

// Changes of whole revisions: the changes of one revision are never split over two of these.
struct WatchChanges {
    std::int64_t revision = 0;  // of the last of them; all that came before it was told
    struct Change {
        std::string key;
        std::optional<std::string> value;  // nullopt: deleted
        std::int64_t revision = 0;
    };
    std::vector<Change> changes;  // empty: word of progress only
};

// The first byte string after all those that begin with `prefix`.
std::string end_of_prefix(std::string prefix);

class EtcdClient {
  public:
    template <class T>
    using Answer = std::variant<T, EtcdError>;

    explicit EtcdClient(EtcdOptions options);
    ~EtcdClient();

    // Keys from `key` up to `end` (exclusive; "": this key alone), at a revision (0: the newest), `limit` at most.
    Answer<Page> range(const std::string& key, const std::string& end, std::int64_t revision, std::int64_t limit,
                       bool keys_only = false);
    // All of them or nothing; the revision. At most 128, with etcd's defaults.
    Answer<std::int64_t> transact(const std::vector<Operation>& operations);

    // Likewise, if all conditions hold.
    Answer<Transacted> transact_if(const std::vector<Condition>& conditions, const std::vector<Operation>& operations);

    Answer<std::int64_t> grant_lease(std::chrono::seconds life);
    Answer<bool> renew_lease(std::int64_t lease);  // false: it is gone
    Answer<bool> revoke_lease(std::int64_t lease);

    // Watches all keys that begin with `prefix`, from a revision on, until it ends: after `life` (nullopt), by stop()
    // (nullopt), or by an error. `tell` is called on this thread; first, with no changes, when the watch stands. Fault
    // compacted, too, when the store is older than `from`.
    std::optional<EtcdError> watch(const std::string& prefix, std::int64_t from, std::chrono::milliseconds life,
                                   const std::function<void(WatchChanges)>& tell);
    void stop();  // from any thread: ends a watch and what waits for an answer, for good

    std::string endpoint() const;  // of the connection

  private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace sekisho::agent
