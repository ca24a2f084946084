// The SAs of the node, by the names of the policy's tunnels: installed, switched, removed, shown, and told of.
//
// SAs are in no generation and in no file. A batch is installed whole or not at all: checked, given numbers by the
// ledger, recorded in the audit log, and only then used, the inbound ones first. An SA goes with what it was agreed
// upon (control/tunnels.hpp). Keys are Secrets from their arrival on, and are not kept here. Control thread only;
// nothing in it waits.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "control/event_loop.hpp"
#include "control/events.hpp"
#include "control/generations.hpp"
#include "control/ledger_thread.hpp"
#include "control/log.hpp"
#include "control/params.hpp"
#include "control/recorder.hpp"
#include "control/request_rate.hpp"
#include "control/sa_orders.hpp"
#include "dataplane/associations.hpp"

namespace sekisho::control {

class Sas {
  public:
    struct Parts {
        EventLoop& loop;
        dataplane::Associations& associations;
        LedgerThread& ledger;
        Recorder& recorder;
        Events& events;
        std::function<std::chrono::steady_clock::time_point()> clock = {};  // the system's, unless a test has another
    };
    static Expected<std::unique_ptr<Sas>> make(Parts parts);

    // Another generation is about to run: the SAs of tunnels that it has not, or has otherwise, go. Before the workers
    // see it, so that no packet for an old peer goes the new way. `tables` live until the next call: in them the MTUs
    // of tunnels follow the paths to their peers.
    void settle(const Generation& generation, const dataplane::Tables& tables);

    enum class Use { now, after_switch };
    // With `now`, the outbound SAs are sealed with at once, and a tunnel that has one already is refused; otherwise
    // they wait for switch_over(), numbers and all, and the inbound ones open from now on. Errors name the order:
    // not_found (no such tunnel), invalid (key length, SPI, suite, origin, lifetimes), exists (SPI, key, a current or a
    // waiting outbound SA), and those of the ledger.
    void install(const Peer& peer, std::vector<SaOrder> orders, Use use, Answer<nlohmann::json> answer);
    // Seals with the outbound SA that waits. Error not_found: none waits.
    void switch_over(const Peer& peer, std::vector<SaName> names, Answer<nlohmann::json> answer);
    // Removes these at once, and then records it: an inbound one, the outbound one, waiting or not, or with neither all
    // of a tunnel's. Error not_found.
    void remove(const Peer& peer, std::vector<SaName> names, Answer<nlohmann::json> answer);

    // control/show_sas.cpp. Parameters: tunnel, or after and limit (of tunnels). {"items": [...], "next"}.
    std::variant<nlohmann::json, RpcError> show(Params params) const;
    // How many SAs changes of the policy have removed since the start.
    std::uint64_t withdrawn() const noexcept { return withdrawn_; }
    // Members of a tunnel's item in show.tunnels, as JSON text that begins with a comma.
    std::string show_tunnel(const std::string& name) const;

  private:
    struct Record {  // of one SA
        crypto::Fingerprint key;
        crypto::KeyOrigin origin = crypto::KeyOrigin::manual;
        crypto::WallTime created;
        std::string label;
    };
    struct Outbound : Record {
        LedgerThread::Outbound sa;
        std::uint64_t exhausted = 0;  // packets that found no number, as far as was told
    };
    // What the path to a peer takes, by what a router said (control/path_mtu.cpp).
    struct PathMtu {
        std::uint16_t outer = 0;  // bytes, of a sealed packet
        std::chrono::steady_clock::time_point until;
    };
    struct Known {  // a tunnel of the running generation
        TunnelId id;
        std::string basis;
        std::uint64_t serial = 0;  // of the basis: another one, another number
        std::string attachment;
        IpAddress local = Ipv4Address();
        Tunnel told;
        std::uint16_t mtu = 0;
        std::map<Spi, Record> inbound;
        std::optional<Outbound> current;
        std::optional<Outbound> waiting;
        std::optional<dataplane::UdpEndpoint> moved;  // in UDP: where its peer was last seen to be, if it moved
        std::optional<PathMtu> path_mtu;
    };
    struct Batch;  // orders on their way

    explicit Sas(Parts parts);
    bool changed_tunnels(const Policy& before, const Policy& policy,
                         std::map<std::string, const Attachment*, std::less<>>& users) const;
    void settle_tunnel(const Generation& generation, const std::string& id, const Attachment* user);
    std::optional<Error> check(const SaOrder& order, Use use, crypto::WallTime now, Batch& batch) const;
    Expected<void> make_outbound(Batch& batch);
    void admitted(const std::shared_ptr<Batch>& batch);
    Expected<void> apply(Batch& batch);
    void let_go(const Batch& batch);
    std::optional<Error> missing(const SaName& name) const;
    void take_away(Known& known, const std::string& tunnel, const SaName& name, const char* why,
                   std::vector<std::string>& removed);
    void look();
    void look_at_peers();
    // control/selector_mismatch.cpp.
    void look_at_mismatches();
    void tell_mismatch(const std::string& tunnel, const dataplane::SelectorMismatch& told);
    // control/path_mtu.cpp.
    void look_at_paths();
    void believe(const dataplane::PathMtuReport& report);
    bool is_about(const dataplane::PathMtuReport& report, const Known& known) const;
    std::uint16_t mtu_now(const Known& known) const;
    void apply_mtu(const Known& known) const;
    void tell_of_path(const std::string& tunnel, const Known& known, std::string_view why);

    dataplane::UdpEndpoint peer_now(const Known& known) const;
    void set_current(const std::string& tunnel, Known& known, std::optional<Outbound> sa);
    void write(LogLevel level, const std::string& words);  // in the log, not too often
    void tell(const std::string& tunnel, Spi spi, bool outbound, std::string_view event, std::string_view words,
              LogLevel level);
    nlohmann::json item(const std::string& tunnel, const Known& known, const dataplane::SaInfo& info) const;
    nlohmann::json waiting_item(const std::string& tunnel, const Outbound& waiting) const;

    Parts parts_;
    std::map<std::string, Known, std::less<>> tunnels_;
    std::shared_ptr<const Policy> settled_;  // whose tunnels these are
    std::map<TunnelId, std::string> names_;
    std::vector<std::pair<const std::string, Known>*> in_udp_;  // of tunnels_
    std::multimap<Spi, std::string> outbound_spis_;             // of current ones: the tunnels
    std::set<std::string> narrowed_;                            // tunnels with a path_mtu
    std::uint64_t path_mtus_refused_ = 0;                       // what was said of paths and not believed
    const dataplane::Tables* tables_ = nullptr;                 // that workers read, or are about to
    std::map<Spi, std::string> inbound_spis_;                   // installed or on their way: by tunnel
    std::set<crypto::Fingerprint> keys_;                        // likewise, of both directions
    std::uint64_t next_serial_ = 1;
    std::uint64_t withdrawn_ = 0;
    std::unique_ptr<Timer> timer_;
    unsigned looks_ = 0;
    RequestRate lines_;  // of the log
    std::uint64_t left_out_ = 0;
    RequestRate mismatches_;  // that are told
    std::uint64_t mismatches_left_out_ = 0;
};

}  // namespace sekisho::control
