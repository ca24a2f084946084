// Field by field, and nothing that is not known.
#include "control/sa_orders.hpp"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "control/calendar.hpp"
#include "control/key_text.hpp"
#include "control/place.hpp"

namespace sekisho::control {

namespace {

using nlohmann::json;

// One JSON object whose fields are asked for by name. The first thing that is wrong stays.
class Reader {
  public:
    Reader(const json& object, std::string place) : object_(object), place_(std::move(place)) {
        if (!object_.is_object()) wrong("", "an object is expected");
    }

    const json* find(const char* name) {
        known_.push_back(name);
        if (!object_.is_object()) return nullptr;
        const auto member = object_.find(name);
        return member == object_.end() ? nullptr : &*member;
    }
    std::optional<std::string> text(const char* name) {
        const json* const value = find(name);
        if (value == nullptr) return std::nullopt;
        if (value->is_string()) return value->get<std::string>();
        wrong(name, "text is expected");
        return std::nullopt;
    }
    std::optional<std::uint64_t> number(const char* name, std::uint64_t most) {
        const json* const value = find(name);
        if (value == nullptr) return std::nullopt;
        if (value->is_number_unsigned() && value->get<std::uint64_t>() <= most) return value->get<std::uint64_t>();
        wrong(name, "a whole number up to " + std::to_string(most) + " is expected");
        return std::nullopt;
    }
    void wrong(const std::string& field, const std::string& words) {
        if (!error_) error_ = Error{ErrorCode::invalid, words}.at(field.empty() ? place_ : place_ + " ." + field);
    }
    void take(Reader& inner) {
        if (auto error = inner.error(); error && !error_) error_ = error;
    }
    // After the last was read.
    std::optional<Error> error() {
        if (!error_ && object_.is_object())
            for (const auto& member : object_.items())
                if (std::find(known_.begin(), known_.end(), member.key()) == known_.end())
                    wrong("", in_quotes(member.key()) + " is not a field here");
        return error_;
    }
    const std::string& place() const noexcept { return place_; }

  private:
    const json& object_;
    std::string place_;
    std::vector<std::string_view> known_;
    std::optional<Error> error_;
};

constexpr std::uint64_t kMostSpi = 0xffff'ffff;
constexpr std::size_t kLongestLabel = 256;  // as a generation's

std::optional<SaOrder::Half> read_half(Reader& order, const char* name, std::vector<Secret>& keys) {
    const json* const value = order.find(name);
    if (value == nullptr) return std::nullopt;
    Reader half(*value, order.place() + " ." + name);
    SaOrder::Half result;
    const auto spi = half.number("spi", kMostSpi);
    const auto mark = half.text("key");
    if (!spi) half.wrong("spi", "is missing");
    if (spi) result.spi = Spi(static_cast<std::uint32_t>(*spi));
    const Secret* const key = mark ? key_of(*mark, keys) : nullptr;
    if (!mark)
        half.wrong("key", "is missing: key and salt, as hexadecimal digits");
    else if (key == nullptr || key->size() == 0)
        half.wrong("key", "is not key and salt as pairs of hexadecimal digits");
    else
        result.key = std::move(keys[static_cast<std::size_t>(key - keys.data())]);
    order.take(half);
    return result;
}

void read_limits(Reader& lifetimes, const char* name, std::uint64_t& bytes, std::uint64_t& packets,
                 std::chrono::seconds& time) {
    const json* const value = lifetimes.find(name);
    if (value == nullptr) return;
    constexpr std::uint64_t kMost = 9'007'199'254'740'991;  // as in the document
    Reader limits(*value, lifetimes.place() + "." + name);
    bytes = limits.number("bytes", kMost).value_or(0);
    packets = limits.number("packets", kMost).value_or(0);
    time = std::chrono::seconds(limits.number("seconds", 31'536'000).value_or(0));
    lifetimes.take(limits);
}

std::string place_of_item(const json& item, std::size_t index) {
    std::string place = indexed("sas", index);
    if (item.is_object())
        if (const auto tunnel = item.find("tunnel"); tunnel != item.end() && tunnel->is_string())
            place += " tunnel " + in_quotes(tunnel->get_ref<const std::string&>());
    return place;
}

Expected<void> check_list(const json& sas) {
    if (sas.is_array() && !sas.empty()) return {};
    return Error{ErrorCode::invalid, "sas: an array of one or more is expected"};
}

Expected<SaOrder> read_order(const json& item, std::size_t index, std::vector<Secret>& keys) {
    SaOrder order;
    order.place = place_of_item(item, index);
    Reader reader(item, order.place);
    order.tunnel = reader.text("tunnel").value_or("");
    if (order.tunnel.empty()) reader.wrong("tunnel", "is missing: whose SAs they are");
    order.inbound = read_half(reader, "inbound", keys);
    order.outbound = read_half(reader, "outbound", keys);
    if (!order.inbound && !order.outbound) reader.wrong("", "neither inbound nor outbound: one or both are expected");
    order.suite = reader.text("suite");
    if (const auto origin = reader.text("origin")) {
        if (*origin != "manual" && *origin != "ike") reader.wrong("origin", "manual or ike is expected");
        order.origin = *origin == "ike" ? crypto::KeyOrigin::ike : crypto::KeyOrigin::manual;
    }
    if (const auto created = reader.text("created")) {
        const auto time = parse_time(*created);
        if (!time) reader.wrong("created", time.error().words);
        if (time) order.created = std::chrono::floor<std::chrono::seconds>(*time);
    }
    order.label = reader.text("label").value_or("");
    if (order.label.size() > kLongestLabel)
        reader.wrong("label", "has more than " + std::to_string(kLongestLabel) + " bytes");
    if (const json* const value = reader.find("lifetimes")) {
        Reader lifetimes(*value, order.place + " .lifetimes");
        crypto::LifetimeLimits& limits = order.lifetimes;
        read_limits(lifetimes, "soft", limits.soft_bytes, limits.soft_packets, limits.soft_time);
        read_limits(lifetimes, "hard", limits.hard_bytes, limits.hard_packets, limits.hard_time);
        reader.take(lifetimes);
    }
    if (const auto error = reader.error()) return *error;
    return order;
}

}  // namespace

Expected<std::vector<SaOrder>> read_orders(const json& sas, std::vector<Secret>& keys) {
    if (auto fine = check_list(sas); !fine) return fine.error();
    std::vector<SaOrder> orders;
    orders.reserve(sas.size());
    for (std::size_t i = 0; i < sas.size(); ++i) {
        auto order = read_order(sas[i], i, keys);
        if (!order) return order.error();
        orders.push_back(std::move(*order));
    }
    return orders;
}

Expected<std::vector<SaName>> read_names(const json& sas) {
    if (auto fine = check_list(sas); !fine) return fine.error();
    std::vector<SaName> names;
    for (std::size_t i = 0; i < sas.size(); ++i) {
        SaName name;
        name.place = place_of_item(sas[i], i);
        Reader reader(sas[i], name.place);
        name.tunnel = reader.text("tunnel").value_or("");
        if (name.tunnel.empty()) reader.wrong("tunnel", "is missing: whose SAs they are");
        if (const auto spi = reader.number("inbound", kMostSpi)) name.inbound = Spi(static_cast<std::uint32_t>(*spi));
        if (const auto spi = reader.number("outbound", kMostSpi)) name.outbound = Spi(static_cast<std::uint32_t>(*spi));
        if (const auto error = reader.error()) return *error;
        names.push_back(std::move(name));
    }
    return names;
}

}  // namespace sekisho::control
