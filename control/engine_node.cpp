#include "control/engine_node.hpp"

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
    for (const auto& event : engine_.watch()) {
        log(event.stalled ? LogLevel::error : LogLevel::warning, words_of(event));
        events_.post(EventKind::worker, details_of(event));
    }
    watch_timer_->set(kWatchEvery);
    if (++looks_ % kLooksBeforeRefresh == 0)
        if (auto refreshed = engine_.refresh_ports(); !refreshed) log(LogLevel::error, refreshed.error().words);
}

Expected<dataplane::Explanation> EngineNode::explain(const dataplane::ImaginedPacket& packet) const {
    return engine_.explain(packet, CompilerNames(compiler_));
}

}  // namespace sekisho::control
