#include "ipfix/changes.hpp"

#include <nlohmann/json.hpp>

#include "control/calendar.hpp"
#include "net/headers.hpp"

namespace sekisho::ipfix {

using nlohmann::json;

namespace {

std::optional<std::int64_t> time_in(const json& line, const char* name) {
    const auto time = control::parse_time(line.value(name, ""));
    if (!time) return std::nullopt;
    return std::chrono::duration_cast<std::chrono::milliseconds>(time->time_since_epoch()).count();
}

std::optional<Ipv4Address> address_in(const json& line, const char* name) {
    const auto at = line.find(name);
    return at != line.end() && at->is_string() ? Ipv4Address::parse(at->get<std::string>()) : std::nullopt;
}

std::optional<Event> event_of(const json& line, std::string_view what) {
    Event event;
    event.is_static = what.starts_with("static.");
    event.opened = what.ends_with(".open");
    if (!event.opened && !what.ends_with(".close")) return std::nullopt;
    const auto time = time_in(line, event.opened ? "opened" : "time");
    const auto address = address_in(line, "address");
    if (!time || !address) return std::nullopt;
    event.time = *time;
    event.address = *address;
    event.host = address_in(line, "host");
    event.operator_id = line.value("operator", "");
    event.institution = line.value("institution", "");
    event.translation = line.value("translation", "");
    event.first_port = line.value("first_port", std::uint16_t{0});
    event.last_port = line.value("last_port", std::uint16_t{0});
    if (event.is_static) {
        if (!event.host) return std::nullopt;
        event.host_port = line.value("host_port", std::uint16_t{0});
        event.protocol = line.value("protocol", "") == "tcp" ? kProtocolTcp : kProtocolUdp;
    }
    return event;
}

}  // namespace

bool Changes::take(std::string_view text, std::vector<Event>& events) {
    const json line = json::parse(text, nullptr, false);
    if (!line.is_object()) return false;
    try {
        const std::string what = line.value("what", "");
        if (what == "start") {
            settle(events);
            const auto time = time_in(line, "time");
            if (!time) return false;
            started_ = *time;
            unlisted_ = std::exchange(held_, {});
            return true;
        }
        const auto event = event_of(line, what);
        if (!event) return false;
        const Key key = key_of(*event);
        if (!event->opened) {
            if (held_.erase(key) + unlisted_.erase(key) != 0) events.push_back(*event);
            return true;
        }
        const auto before = unlisted_.find(key);
        if (before != unlisted_.end() && before->second == *event) {
            held_.insert(unlisted_.extract(before));
            return true;
        }
        if (before != unlisted_.end()) end(unlisted_.extract(before).mapped(), events);  // another's by now
        if (event->time > started_) settle(events);                                      // the list is at its end
        held_[key] = *event;
        events.push_back(*event);
    } catch (const json::exception&) {
        return false;
    }
    return true;
}

void Changes::settle(std::vector<Event>& events) {
    for (auto& [key, event] : unlisted_) end(std::move(event), events);
    unlisted_.clear();
}

void Changes::end(Event event, std::vector<Event>& events) const {
    event.opened = false;
    event.time = started_;
    events.push_back(std::move(event));
}

}  // namespace sekisho::ipfix
