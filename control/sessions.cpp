#include "control/sessions.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "control/explain_params.hpp"
#include "control/place.hpp"

namespace sekisho::control {

using dataplane::SessionAnswer;
using dataplane::SessionEnd;
using dataplane::SessionInfo;
using nlohmann::json;

namespace {

constexpr std::chrono::milliseconds kLookAtDesks{2};
constexpr std::chrono::seconds kDeskPatience{5};
constexpr std::size_t kMostRequests = 16;
constexpr std::size_t kUsualSessions = 100;  // sessions shown

// "forward_closed"; as in the parameter.
std::string name_of(nat::TcpState state) {
    std::string name(nat::kTcpStateNames[static_cast<std::size_t>(state)]);
    std::replace(name.begin(), name.end(), ' ', '_');
    return name;
}
std::optional<nat::TcpState> tcp_state_named(std::string_view name) {
    for (std::size_t i = 0; i < nat::kTcpStateNames.size(); ++i)
        if (name_of(static_cast<nat::TcpState>(i)) == name) return static_cast<nat::TcpState>(i);
    return std::nullopt;
}

std::string protocol_name(std::uint8_t protocol) {
    switch (protocol) {
        case kProtocolTcp: return "tcp";
        case kProtocolUdp: return "udp";
        case kProtocolIcmp: return "icmp";
        case kProtocolIcmpv6: return "icmpv6";
        default: return std::to_string(protocol);
    }
}

json to_json(const SessionEnd& end, const Node& node) {
    return {{"operator", end.known ? json(node.operator_name(end.vrf)) : json()},
            {"institution", end.known ? json(node.institution_name(end.institution)) : json()},
            {"address", end.known ? json(end.inside.text()) : json()},
            {"port", end.inside_port},
            {"hub_address", end.hub.text()},
            {"hub_port", end.hub_port}};
}

json to_json(const SessionInfo& session, std::size_t worker, const Node& node) {
    return {{"protocol", protocol_name(session.protocol)},
            {"client", to_json(session.client, node)},
            {"service", to_json(session.service, node)},
            {"state", session.protocol == kProtocolTcp ? json(name_of(session.state)) : json()},
            {"replied", session.replied},
            {"packets", session.packets},
            {"bytes", session.bytes},
            {"idle", session.idle},
            {"left", session.left},
            {"worker", worker}};
}

json to_json(const std::vector<SessionAnswer>& answers, const dataplane::SessionOrder& order, const Node& node) {
    std::uint64_t matching = 0;
    for (const SessionAnswer& answer : answers) matching += answer.matching;
    if (order.ends) return {{"cleared", matching}};
    json items = json::array();
    for (std::size_t worker = 0; worker < answers.size(); ++worker)
        for (const SessionInfo& session : answers[worker].sessions)
            if (items.size() < order.most) items.push_back(to_json(session, worker, node));
    const std::size_t omitted = matching - items.size();
    return {{"items", std::move(items)}, {"matching", matching}, {"omitted", omitted}};
}

// The value of a filter, looked up by `find`; what is not found is refused with these words.
template <class Value, class Find>
void take(Params& params, const char* name, const char* expected, json& filter, std::optional<Value>& value,
          const Find& find) {
    const auto text = params.text(name);
    if (!text) return;
    filter[name] = *text;
    value = find(*text);
    if (!value) params.refuse(name, in_quotes(*text) + " is " + expected);
}

}  // namespace

SessionRequest read_session_request(Params& params, const Node& node, bool ends) {
    SessionRequest request;
    dataplane::SessionFilter& filter = request.order.filter;
    json& told = request.filter;
    take(params, "operator", "no operator of the running policy", told, filter.vrf,
         [&](const std::string& name) { return node.operator_named(name); });
    take(params, "attachment", "no attachment of the running policy", told, filter.attachment,
         [&](const std::string& name) { return node.attachment_named(name); });
    take(params, "address", "no IPv4 or IPv6 address", told, filter.address,
         [](const std::string& text) -> std::optional<IpAddress> {
             const auto address = IpAddress::parse(text);
             if (!address) return std::nullopt;
             return *address;
         });
    take(params, "protocol", "neither tcp, udp, icmp, icmpv6 nor a number to 255", told, filter.protocol,
         [](const std::string& word) {
             return word == "icmpv6" ? protocol_of("icmp", Family::ipv6) : protocol_of(word, Family::ipv4);
         });
    take(params, "state", "no state of TCP", told, filter.state,
         [](const std::string& name) { return tcp_state_named(name); });
    if (params.has("port")) {
        filter.port = static_cast<std::uint16_t>(params.number("port", 0, UINT16_MAX));
        told["port"] = *filter.port;
    }
    request.order.ends = ends;
    if (!ends) {
        request.order.most = params.number("limit", kUsualSessions, dataplane::SessionDesk::kMost);
        if (request.order.most == 0) params.refuse("limit", "must be at least 1");
    } else if (told.empty() != params.flag("all")) {
        params.refuse("all", told.empty() ? "must be true where no filter is given" : "goes with no filter");
    }
    return request;
}

Expected<std::unique_ptr<Sessions>> Sessions::make(EventLoop& loop, Node& node, Recorder& recorder) {
    std::unique_ptr<Sessions> sessions(new Sessions(node, recorder));
    auto timer = Timer::make(loop, Timer::Clock::steady, [self = sessions.get()] { self->look(); });
    if (!timer) return timer.error();
    sessions->timer_ = std::move(*timer);
    return sessions;
}

void Sessions::show(const SessionRequest& request, Answer<json> answer) {
    ask(request.order, std::move(answer));
}

void Sessions::clear(const Peer& peer, const SessionRequest& request, Answer<json> answer) {
    recorder_.line("session.clear", {{"filter", request.filter}}, peer,
                   [this, order = request.order, answer = std::move(answer)](const Expected<void>& recorded) {
                       if (!recorded) return answer(Refused{recorded.error(), {}, {}});
                       ask(order, answer);
                   });
}

void Sessions::ask(const dataplane::SessionOrder& order, Answer<json> answer) {
    if (waiting_.size() >= kMostRequests)
        return answer(Refused{{ErrorCode::limit, "too many requests about sessions wait already"}, {}, {}});
    if (waiting_.empty()) until_ = Clock::now() + kDeskPatience;
    waiting_.push_back({order, std::move(answer)});
    if (waiting_.size() == 1) look();
}

void Sessions::look() {
    while (!waiting_.empty()) {
        if (!ordered_) ordered_ = node_.order_sessions(waiting_.front().order);
        const auto answers = ordered_ ? node_.answered_sessions() : std::nullopt;
        if (!answers) {
            if (Clock::now() >= until_) return give_up();
            return timer_->set(kLookAtDesks);
        }
        const Waiting done = std::move(waiting_.front());
        waiting_.pop_front();
        ordered_ = false;
        until_ = Clock::now() + kDeskPatience;
        done.answer(to_json(*answers, done.order, node_));
    }
}

// What was ordered stays with the workers: they take no other order before they are done with it.
void Sessions::give_up() {
    ordered_ = false;
    for (Waiting& each : std::exchange(waiting_, {}))
        each.answer(Refused{{ErrorCode::unavailable,
                             "a worker did not answer in time: it is stuck, or starved of its core; show.workers says "
                             "which"},
                            {},
                            {}});
}

}  // namespace sekisho::control
