// The event stream of the control socket: who listens, to what, and what a slow one missed.
//
// An event is sent to a client as a notification, or not at all when too many of its bytes wait already: nobody is
// waited for, and the next one that fits says how many were lost.
#include <algorithm>

#include "control/place.hpp"
#include "control/service.hpp"

namespace sekisho::control {

using nlohmann::json;

namespace {

constexpr std::size_t kMostWaiting = std::size_t{256} << 10;  // bytes that a client has not taken

}  // namespace

void Service::events(Call call) {
    Listener listener;
    json kinds = call.params.take("kinds");
    if (kinds.is_null()) {
        kinds = json::array();
        for (const EventText& kind : kEventKinds) kinds.push_back(kind.name);
    }
    if (!kinds.is_array()) call.params.refuse("kinds", "an array of kinds is expected");
    for (const json& name : kinds) {
        const auto kind = name.is_string() ? event_kind_named(name.get_ref<const std::string&>()) : std::nullopt;
        if (kind)
            listener.kinds.set(static_cast<std::size_t>(*kind));
        else
            call.params.refuse(
                "kinds", "there is no kind " + in_quotes(name.is_string() ? name.get<std::string>() : name.dump()));
    }
    if (auto error = call.params.error()) return answer(call.client, call.id, *error);
    answer(call.client, call.id, json{{"sequence", events_.posted()}, {"kinds", kinds}});
    listeners_[call.client] = listener;
    watch_->start();
}

void Service::pass_on(const Event& event) {
    for (auto& [client, listener] : listeners_) {
        if (!listener.kinds.test(static_cast<std::size_t>(event.kind))) continue;
        if (server_->untaken(client) > kMostWaiting) {
            ++listener.lost;
            continue;
        }
        json params = event.details;
        params["sequence"] = event.sequence;
        params["time"] = event.time;
        params["kind"] = name_of(event.kind);
        params["lost"] = std::exchange(listener.lost, 0);
        server_->send(client, notification_line("event", params));
    }
}

void Service::stop_listening(ClientId client) {
    if (listeners_.erase(client) != 0 && listeners_.empty()) watch_->stop();
}

}  // namespace sekisho::control
