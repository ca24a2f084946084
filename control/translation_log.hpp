// Who had which ports of shared addresses when (RFC 6888 REQ-12 and §4): a line for each block and static map that is
// opened or closed, and what is in force of them.
//
// translations-DATE.jsonl in the state directory, a file for each day in Japan, JSON objects, only appended to; each
// begins with what is in force then, so one file answers for its day, and old ones may be taken away. No destinations.
// Workers' records are read ten times a second; a thread of its own writes and reads the files. Control thread.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include <nlohmann/json.hpp>

#include "control/compiler_thread.hpp"
#include "control/event_loop.hpp"
#include "control/generations.hpp"
#include "control/node.hpp"
#include "dataplane/tables.hpp"

namespace sekisho::control {

class TranslationLog {
  public:
    // `node` gives names, and outlives this.
    static Expected<std::unique_ptr<TranslationLog>> make(EventLoop& loop, const Node& node, std::string directory);

    // These tables are about to run.
    void publish(const dataplane::Tables& tables);
    // What the workers have recorded meanwhile. By itself ten times a second.
    void look();

    // In force, as lines of the log without `what`: those that have the port of the address, of any protocol; and how
    // many blocks of a translation there are. At most `limit` blocks after this key, "" for the first.
    std::vector<nlohmann::json> who(Ipv4Address address, std::uint16_t port) const;
    std::size_t blocks_of(const std::string& translation) const;
    struct Page {
        nlohmann::json items = nlohmann::json::array();
        nlohmann::json next;
    };
    Page blocks(const std::string& after, std::size_t limit) const;
    // Those that had it at that time, read from the file of the day. Error not_found: there is none.
    void who(Ipv4Address address, std::uint16_t port, WallTime at, Answer<nlohmann::json> answer);

    std::string file_of(WallTime day) const;

  private:
    // Address, first port, and the protocol of a static map or -1.
    using Key = std::tuple<Ipv4Address, std::uint16_t, int>;
    struct Held {
        nlohmann::json line;
        std::uint16_t last_port = 0;
        const dataplane::PortShares* pool = nullptr;  // of a block
    };
    using Pools = std::vector<std::shared_ptr<dataplane::PortShares>>;

    TranslationLog(EventLoop& loop, const Node& node, std::string directory)
        : node_(node), directory_(std::move(directory)), thread_(loop, "sk-ports") {}
    void drain(dataplane::PortShares& pool);
    void take(dataplane::PortShares& pool, const nat::BlockRecord& record);
    void publish_static_maps(const dataplane::Tables& tables);
    void open(const Key& key, Held held, const char* what);
    void close(const Key& key, const char* what);
    void retire();
    void begin_day(WallTime now);
    void write(const char* what, const nlohmann::json& line);
    void flush();

    const Node& node_;
    std::string directory_;
    std::unique_ptr<Timer> timer_;
    std::uint64_t generation_ = 0;
    std::map<Key, Held> held_;
    std::map<std::string, std::size_t> blocks_;  // in force, by translation
    Pools pools_;                                // of the tables that run
    Pools retired_;                              // that tables still hold, but no later ones
    std::string day_;                            // of the file that is written
    std::string lines_;                          // not yet given to the thread
    CompilerThread thread_;                      // last, so that it has ended before what it uses
};

}  // namespace sekisho::control
