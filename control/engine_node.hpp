// The daemon's node: an Engine that forwards, and the Compiler that knows the names behind its numbers.
//
// Control thread. Old tables are freed as the workers leave them, looked at by a timer that rests when none wait;
// another looks whether the workers go on, nexthops are usable and nobody claims an address of the hub, and the log
// says what changed.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "control/compile.hpp"
#include "control/event_loop.hpp"
#include "control/events.hpp"
#include "control/node.hpp"
#include "dataplane/engine.hpp"

namespace sekisho::control {

class EngineNode final : public Node {
  public:
    // The others outlive the node.
    static Expected<std::unique_ptr<EngineNode>> make(EventLoop& loop, dataplane::Engine& engine, Compiler& compiler,
                                                      Events& events);

    void publish(std::unique_ptr<dataplane::Tables> tables) override;
    std::optional<dataplane::Counters> counters() override { return engine_.counters(); }
    std::vector<dataplane::WorkerInfo> workers() override { return engine_.workers(); }
    std::vector<dataplane::PortInfo> ports() const override { return engine_.ports(); }
    std::vector<dataplane::Neighbours::Entry> neighbours() const override { return engine_.neighbours(); }
    std::vector<dataplane::NexthopInfo> nexthops() const override { return engine_.nexthops(); }
    std::vector<dataplane::ConflictInfo> conflicts() const override { return engine_.conflicts(); }
    std::vector<dataplane::TapInfo> taps() const override { return engine_.taps(); }
    bool order_sessions(const dataplane::SessionOrder& order) override { return engine_.order_sessions(order); }
    std::optional<std::vector<dataplane::SessionAnswer>> answered_sessions() override {
        return engine_.answered_sessions();
    }
    Expected<dataplane::Explanation> explain(const dataplane::ImaginedPacket& packet) const override;
    std::optional<HubOwner> owner_of(const IpAddress& hub) const override;
    std::string attachment_name(AttachmentId id) const override { return compiler_.attachment_name(id); }
    std::optional<AttachmentId> attachment_named(std::string_view name) const override {
        return compiler_.attachment_id(name);
    }
    std::string operator_name(VrfId id) const override { return compiler_.vrf_name(id); }
    std::optional<VrfId> operator_named(std::string_view name) const override { return compiler_.vrf_id(name); }
    std::string institution_name(InstitutionId id) const override { return compiler_.institution_name(id); }

  private:
    EngineNode(dataplane::Engine& engine, Compiler& compiler, Events& events)
        : engine_(engine), compiler_(compiler), events_(events) {}
    void reclaim();
    void watch();
    void watch_nexthops();
    void watch_conflicts();
    void watch_taps();

    dataplane::Engine& engine_;
    Compiler& compiler_;
    Events& events_;
    std::unique_ptr<Timer> timer_;
    std::unique_ptr<Timer> watch_timer_;
    unsigned looks_ = 0;
    std::uint64_t nexthops_state_ = 0;
    std::map<std::string, bool> usable_;            // by nexthop, as it was told
    std::map<std::string, std::string> conflicts_;  // by attachment and address: whose MAC claims it
    std::map<std::string, std::string> taps_;       // by namespace and interface: why it is not open, or ""
};

}  // namespace sekisho::control
