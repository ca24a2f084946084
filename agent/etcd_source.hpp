// The policy in etcd: a snapshot at one revision, then a watch from the next one on.
//
// The watch is on a thread of its own, ends after a bounded time and begins anew on a new connection, so that
// credentials that were revoked, and certificates that were renewed, tell. What a disconnect cost is told by the watch
// that follows it; when those revisions were compacted meanwhile, or the store was put back to an earlier state and has
// gone another way since, the source says start_again.
#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "agent/etcd_client.hpp"
#include "agent/source.hpp"

namespace sekisho::agent {

class EtcdSource final : public Source {
  public:
    struct Options {
        EtcdOptions etcd;
        std::string prefix;  // of all keys: "/sekisho/hub/policy/"
        std::chrono::milliseconds watch_life{std::chrono::minutes(1)};
        std::chrono::milliseconds longest_back_off{5000};
    };
    explicit EtcdSource(Options options);
    ~EtcdSource() override;

    Expected<Position> begin(const std::string& label) override;
    Expected<void> read(const std::string& below, const std::function<void(Item)>& take) override;
    Event next(std::chrono::milliseconds longest) override;

  private:
    std::string label_at(std::int64_t revision) const;
    void follow();
    // Whether the store still has `known_`, as it would if what it holds at `revision` is what was read and told.
    std::optional<EtcdError> check_history(std::int64_t revision);
    void push(Event event);
    void stop_following();

    Options options_;
    EtcdClient reader_;
    std::uint64_t cluster_ = 0;
    std::int64_t revision_ = 0;  // the position's; the watch's thread has its own count
    // The newest change that is known: of this key, at this revision, a deletion or not. The watch's thread's while it
    // runs.
    struct Known {
        std::string key;  // "": none yet
        std::int64_t revision = 0;
        bool deleted = false;
    } known_;

    std::unique_ptr<EtcdClient> watcher_;
    std::thread thread_;
    std::mutex mutex_;  // of what follows
    std::condition_variable changed_;
    std::deque<Event> events_;
    bool stopping_ = false;
};

}  // namespace sekisho::agent
