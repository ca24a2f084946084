// The node, for many askers: a worker that did not answer is not waited for again at once.
//
// Counters are the one thing that control waits for, 50 ms at most. With a worker that is stuck, a hundred clients that
// ask for them would hold up everybody else for five seconds; so for half a second after a silence the answer is
// "none", or of workers the last one, without asking. All else goes through. Control thread.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "control/node.hpp"

namespace sekisho::control {

class RestingNode final : public Node {
  public:
    explicit RestingNode(Node& node) : node_(node) {}

    std::optional<dataplane::Counters> counters() override {
        if (std::chrono::steady_clock::now() < rests_until_) return std::nullopt;
        auto counters = node_.counters();
        if (!counters) rests_until_ = std::chrono::steady_clock::now() + kRest;
        return counters;
    }

    std::vector<dataplane::WorkerInfo> workers() override {
        if (std::chrono::steady_clock::now() < workers_rest_until_) return workers_;
        workers_ = node_.workers();
        for (const dataplane::WorkerInfo& worker : workers_)
            if (!worker.answered) workers_rest_until_ = std::chrono::steady_clock::now() + kRest;
        return workers_;
    }

    void publish(std::unique_ptr<dataplane::Tables> tables) override { node_.publish(std::move(tables)); }
    std::vector<dataplane::PortInfo> ports() const override { return node_.ports(); }
    std::vector<dataplane::Neighbours::Entry> neighbours() const override { return node_.neighbours(); }
    std::vector<dataplane::NexthopInfo> nexthops() const override { return node_.nexthops(); }
    std::vector<dataplane::ConflictInfo> conflicts() const override { return node_.conflicts(); }
    std::vector<dataplane::TapInfo> taps() const override { return node_.taps(); }
    bool order_sessions(const dataplane::SessionOrder& order) override { return node_.order_sessions(order); }
    std::optional<std::vector<dataplane::SessionAnswer>> answered_sessions() override {
        return node_.answered_sessions();
    }
    Expected<dataplane::Explanation> explain(const dataplane::ImaginedPacket& packet) const override {
        return node_.explain(packet);
    }
    std::optional<HubOwner> owner_of(const IpAddress& hub) const override { return node_.owner_of(hub); }
    std::string attachment_name(AttachmentId id) const override { return node_.attachment_name(id); }
    std::optional<AttachmentId> attachment_named(std::string_view name) const override {
        return node_.attachment_named(name);
    }
    std::string operator_name(VrfId id) const override { return node_.operator_name(id); }
    std::optional<VrfId> operator_named(std::string_view name) const override { return node_.operator_named(name); }
    std::string institution_name(InstitutionId id) const override { return node_.institution_name(id); }

  private:
    static constexpr std::chrono::milliseconds kRest{500};
    Node& node_;
    std::chrono::steady_clock::time_point rests_until_;
    std::chrono::steady_clock::time_point workers_rest_until_;  // apart: counters that rest leave no workers to show
    std::vector<dataplane::WorkerInfo> workers_;                // of the last time that all were asked
};

}  // namespace sekisho::control
