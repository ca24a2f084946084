#include "control/engine_node.hpp"

#include <fmt/format.h>

#include "control/log.hpp"
#include "control/stall_text.hpp"

namespace sekisho::control {

namespace {

constexpr std::chrono::milliseconds kReclaimEvery{20};
constexpr std::chrono::milliseconds kWatchEvery{50};
constexpr unsigned kLooksBeforeRefresh = 20;  // a second

struct CompilerNames final : dataplane::Explanation::Names {
    explicit CompilerNames(const Compiler& from) : compiler(from) {}
    std::string attachment(AttachmentId id) const override { return compiler.attachment_name(id); }
    std::string institution(InstitutionId id) const override { return compiler.institution_name(id); }
    std::string vrf(VrfId id) const override { return compiler.vrf_name(id); }
    const Compiler& compiler;
};

}  // namespace

Expected<std::unique_ptr<EngineNode>> EngineNode::make(EventLoop& loop, dataplane::Engine& engine, Compiler& compiler,
                                                       Events& events) {
    std::unique_ptr<EngineNode> node(new EngineNode(engine, compiler, events));
    auto timer = Timer::make(loop, Timer::Clock::steady, [self = node.get()] { self->reclaim(); });
    if (!timer) return timer.error();
    node->timer_ = std::move(*timer);
    auto watch = Timer::make(loop, Timer::Clock::steady, [self = node.get()] { self->watch(); });
    if (!watch) return watch.error();
    node->watch_timer_ = std::move(*watch);
    node->watch_timer_->set(kWatchEvery);
    return node;
}

void EngineNode::publish(std::unique_ptr<dataplane::Tables> tables) {
    engine_.publish(std::move(tables));
    timer_->set(kReclaimEvery);
}

void EngineNode::reclaim() {
    if (engine_.reclaim() > 0) timer_->set(kReclaimEvery);
}

void EngineNode::watch() {
    reclaim();  // SAs come and go without a commit, and their keys die with them
    for (const auto& event : engine_.watch()) {
        log(event.stalled ? LogLevel::error : LogLevel::warning, words_of(event));
        events_.post(EventKind::worker, details_of(event));
    }
    watch_nexthops();
    watch_conflicts();
    watch_timer_->set(kWatchEvery);
    if (++looks_ % kLooksBeforeRefresh != 0) return;
    watch_taps();
    if (auto refreshed = engine_.refresh_ports(); !refreshed) log(LogLevel::error, refreshed.error().words);
}

void EngineNode::watch_nexthops() {
    const std::uint64_t state = engine_.nexthops_state();
    if (state == nexthops_state_) return;
    nexthops_state_ = state;
    std::map<std::string, bool> now;
    for (const dataplane::NexthopInfo& nexthop : engine_.nexthops()) {
        const std::string attachment = attachment_name(nexthop.attachment);
        const std::string gateway = nexthop.gateway ? nexthop.gateway->text() : "connected";
        const std::string name = fmt::format("{} on {}", gateway, attachment);
        now[name] = nexthop.usable;
        const auto before = usable_.find(name);
        if ((before == usable_.end() || before->second) == nexthop.usable) continue;
        log(nexthop.usable ? LogLevel::info : LogLevel::warning,
            fmt::format("nexthop {} is {}", name, nexthop.usable ? "usable again" : "withdrawn"));
        events_.post(EventKind::nexthop, {{"attachment", attachment},
                                          {"gateway", nexthop.gateway ? nlohmann::json(gateway) : nlohmann::json()},
                                          {"state", nexthop.usable ? "usable" : "withdrawn"}});
    }
    usable_ = std::move(now);
}

void EngineNode::watch_conflicts() {
    std::map<std::string, std::string> now;
    for (const dataplane::ConflictInfo& conflict : engine_.conflicts()) {
        const std::string attachment = attachment_name(conflict.attachment);
        const std::string name = fmt::format("{} on {}", conflict.address.text(), attachment);
        const std::string mac = conflict.mac.text();
        now[name] = mac;
        const auto before = conflicts_.find(name);
        if (before != conflicts_.end() && before->second == mac) continue;
        log(LogLevel::error, fmt::format("the hub's own address {} is claimed by {}", name, mac));
        events_.post(EventKind::duplicate,
                     {{"attachment", attachment}, {"address", conflict.address.text()}, {"mac", mac}});
    }
    conflicts_ = std::move(now);
}

void EngineNode::watch_taps() {
    std::map<std::string, std::string> now;
    for (const dataplane::TapInfo& tap : engine_.taps()) {
        if (!tap.open && tap.words.empty()) continue;  // not tried yet
        const dataplane::TapSpec& spec = tap.spec;
        const std::string name = fmt::format("{} in network namespace {}", spec.interface, spec.network_namespace);
        now[name] = tap.words;
        const auto before = taps_.find(name);
        if (before != taps_.end() && before->second == tap.words) continue;
        if (tap.open)
            log(LogLevel::info, fmt::format("kernel port {} is there", name));
        else
            log(LogLevel::warning, fmt::format("kernel port {} is not there: {}", name, tap.words));
        events_.post(EventKind::tap, {{"attachment", attachment_name(spec.attachment)},
                                      {"network_namespace", spec.network_namespace},
                                      {"interface", spec.interface},
                                      {"state", tap.open ? "open" : "waiting"},
                                      {"words", tap.words}});
    }
    taps_ = std::move(now);
}

namespace {

template <class Address>
std::optional<HubOwner> owner_in(const dataplane::FamilyTables<Address>& family, const Address& hub) {
    const lpm::Row row = family.hub.find(lpm::TableId{0}, hub);
    if (row == lpm::kNoRow) return std::nullopt;
    const dataplane::HubRow<Address>& home = family.hub_rows[row];
    return HubOwner{home.is_pool(), home.vrf, home.institution, home.to_operator.apply(hub)};
}

}  // namespace

std::optional<HubOwner> EngineNode::owner_of(const IpAddress& hub) const {
    const dataplane::Tables& tables = engine_.tables();
    return hub.is_ipv4() ? owner_in(tables.ipv4, hub.ipv4()) : owner_in(tables.ipv6, hub.ipv6());
}

Expected<dataplane::Explanation> EngineNode::explain(const dataplane::ImaginedPacket& packet) const {
    return engine_.explain(packet, CompilerNames(compiler_));
}

}  // namespace sekisho::control
