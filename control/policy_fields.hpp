// The fields of a JSON object, one by one, as values. Inner header of control/policy_reader.cpp.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "control/calendar.hpp"
#include "control/place.hpp"
#include "control/policy_reader.hpp"
#include "net/prefix.hpp"

namespace sekisho::control {

// The fields of one JSON object that fits its schema: what is absent keeps its default, what cannot be read is an
// error.
class Fields {
  public:
    Fields(const nlohmann::json& object, std::string before, std::vector<Error>& errors)
        : object_(object), before_(std::move(before)), errors_(errors) {}

    bool has(const char* name) const { return object_.contains(name); }

    std::string text(const char* name) {
        const auto member = object_.find(name);
        if (member == object_.end()) return {};
        const auto& value = member->get_ref<const std::string&>();
        if (value.empty() || value.front() == ' ') wrong(name, in_quotes(value) + " begins with a space or is empty");
        for (const char letter : value)
            if ((letter >= 0 && letter < 0x20) || letter == 0x7f) {
                wrong(name, in_quotes(value) + " has a control character");
                break;
            }
        return value;
    }
    std::string id(const char* name) { return object_.value(name, std::string()); }
    bool flag(const char* name, bool otherwise = false) { return object_.value(name, otherwise); }
    std::uint16_t number(const char* name, std::uint16_t otherwise) { return object_.value(name, otherwise); }
    std::uint64_t large_number(const char* name, std::uint64_t otherwise) { return object_.value(name, otherwise); }

    // The field is there and should not be, or is missing.
    void refuse(const char* name, const std::string& words) { wrong(name, words); }

    std::string date(const char* name) { return checked_time(name, parse_date); }
    std::string time(const char* name) { return checked_time(name, parse_time); }

    IpPrefix prefix(const char* name) { return prefix_of(object_.at(name), name); }

    std::vector<IpPrefix> prefixes(const char* name) {
        std::vector<IpPrefix> all;
        const auto member = object_.find(name);
        if (member == object_.end()) return all;
        all.reserve(member->size());
        for (std::size_t i = 0; i < member->size(); ++i) all.push_back(prefix_of((*member)[i], indexed(name, i)));
        return all;
    }

    std::vector<std::string> ids(const char* name) { return object_.value(name, std::vector<std::string>()); }

    // Calls with the Fields of every object of an array.
    template <class Call>
    void each(const char* name, Call call) {
        const auto member = object_.find(name);
        if (member == object_.end()) return;
        for (std::size_t i = 0; i < member->size(); ++i) {
            Fields fields((*member)[i], before_ + indexed(name, i) + ".", errors_);
            call(fields);
        }
    }
    // The Fields of an object; empty ones when it is absent.
    Fields object(const char* name) {
        static const nlohmann::json kNothing = nlohmann::json::object();
        const auto member = object_.find(name);
        return {member == object_.end() ? kNothing : *member, before_ + name + ".", errors_};
    }

    template <class Enum>
    Enum choice(const char* name, Enum otherwise, Enum last) {
        const auto member = object_.find(name);
        if (member == object_.end()) return otherwise;
        const auto& value = member->get_ref<const std::string&>();
        for (int i = 0; i <= static_cast<int>(last); ++i)
            if (name_of(static_cast<Enum>(i)) == value) return static_cast<Enum>(i);
        wrong(name, in_quotes(value) + " is not a value of this field");
        return otherwise;
    }

    // An address with the length of its subnet, "192.0.2.1/30".
    template <class Address>
    void interface(const char* name, std::optional<Address>& address, Prefix<Address>& subnet) {
        const auto member = object_.find(name);
        if (member == object_.end()) return;
        const auto& value = member->get_ref<const std::string&>();
        const std::size_t slash = value.find('/');
        const auto host = Address::parse(std::string_view(value).substr(0, slash));
        const char* const form = Address::kFamily == Family::ipv4 ? "192.0.2.1/30" : "2001:db8::1/64";
        if (!host || slash == std::string::npos)
            return wrong(name, in_quotes(value) + " is not an address with the length of its subnet, like " + form);
        // The length is read by Prefix::parse, on an address whose host bits it cannot object to.
        const auto length = Prefix<Address>::parse(Address().text() + value.substr(slash));
        if (!length) return wrong(name, in_quotes(value) + " has no such length");
        address = *host;
        subnet = Prefix<Address>(*host, length->length());
    }

    template <class Address>
    std::optional<Address> address(const char* name, const char* expected) {
        const auto member = object_.find(name);
        if (member == object_.end()) return std::nullopt;
        const auto& value = member->get_ref<const std::string&>();
        auto parsed = Address::parse(value);
        if (!parsed) wrong(name, in_quotes(value) + " is not " + expected);
        return parsed;
    }

    std::vector<PortRange> ports(const char* name) {
        std::vector<PortRange> all;
        const auto member = object_.find(name);
        if (member == object_.end()) return all;
        for (const nlohmann::json& port : *member) {
            const nlohmann::json& first = port.is_object() ? port.at("first") : port;
            const nlohmann::json& last = port.is_object() ? port.at("last") : port;
            all.push_back({first.get<std::uint16_t>(), last.get<std::uint16_t>()});
        }
        return all;
    }

  private:
    void wrong(const std::string& field, std::string words) {
        errors_.push_back(Error{ErrorCode::invalid, std::move(words)}.at(before_ + field));
    }

    IpPrefix prefix_of(const nlohmann::json& value, const std::string& field) {
        auto prefix = IpPrefix::parse(value.get_ref<const std::string&>());
        if (prefix) return *prefix;
        wrong(field,
              value.get_ref<const std::string&>().find_first_not_of("0123456789abcdefABCDEF.:/") == std::string::npos
                  ? prefix.error().words
                  : in_quotes(value.get_ref<const std::string&>()) + " is neither an IPv4 nor an IPv6 prefix");
        return Prefix4();
    }

    template <class Parse>
    std::string checked_time(const char* name, Parse parse) {
        const std::string value = object_.value(name, std::string());
        if (!has(name)) return value;
        if (const auto time = parse(value); !time) wrong(name, time.error().words);
        return value;
    }

    const nlohmann::json& object_;
    std::string before_;  // "institutions[3] \"sato-clinic\" .links[0]."
    std::vector<Error>& errors_;
};

}  // namespace sekisho::control
