// The node as the control socket sees it: takes tables, tells what it counted, explains.
//
// The daemon's is an Engine with its Compiler (control/engine_node.hpp); the tests' is a fake. All of it is the control
// thread's, and nothing here waits longer than a few milliseconds.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/engine.hpp"
#include "dataplane/explain.hpp"
#include "dataplane/port.hpp"
#include "dataplane/stats.hpp"
#include "dataplane/tables.hpp"
#include "net/expected.hpp"
#include "net/ids.hpp"

namespace sekisho::control {

// Whose a hub-space address is. `shared`: a pool's, and what else there is means nothing but the VRF.
struct HubOwner {
    bool shared = false;
    VrfId vrf;
    InstitutionId institution;
    IpAddress inside = Ipv4Address();  // in the operator's space
};

class Node {
  public:
    virtual ~Node() = default;

    // Makes `tables` what the next packets meet; cannot fail. They live at least until the next call.
    virtual void publish(std::unique_ptr<dataplane::Tables> tables) = 0;

    // A consistent copy, all workers together; nullopt if one did not answer in time.
    virtual std::optional<dataplane::Counters> counters() = 0;
    virtual std::vector<dataplane::WorkerInfo> workers() = 0;    // by WorkerId
    virtual std::vector<dataplane::PortInfo> ports() const = 0;  // by PortId
    virtual std::vector<dataplane::Neighbours::Entry> neighbours() const = 0;
    virtual std::vector<dataplane::NexthopInfo> nexthops() const = 0;    // of routes that have several
    virtual std::vector<dataplane::ConflictInfo> conflicts() const = 0;  // addresses of the hub that others claim
    virtual std::vector<dataplane::TapInfo> taps() const = 0;            // by TapId
    // See Engine.
    virtual bool order_sessions(const dataplane::SessionOrder& order) = 0;
    virtual std::optional<std::vector<dataplane::SessionAnswer>> answered_sessions() = 0;
    virtual Expected<dataplane::Explanation> explain(const dataplane::ImaginedPacket& packet) const = 0;

    virtual std::optional<HubOwner> owner_of(const IpAddress& hub) const = 0;

    // Names behind numbers and the other way round; empty when there is none.
    virtual std::string attachment_name(AttachmentId id) const = 0;
    virtual std::optional<AttachmentId> attachment_named(std::string_view name) const = 0;
    virtual std::string operator_name(VrfId id) const = 0;
    virtual std::optional<VrfId> operator_named(std::string_view name) const = 0;
    virtual std::string institution_name(InstitutionId id) const = 0;
};

}  // namespace sekisho::control
