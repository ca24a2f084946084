// Text forms of addresses: strict on the way in, canonical on the way out. Control plane only.
#include "net/address.hpp"

#include <algorithm>
#include <charconv>
#include <cstdio>

namespace sekisho {
namespace {

// The number that `text` is, all of it, in `base`, at most `digits` long and `limit` big.
std::optional<std::uint32_t> number(std::string_view text, int base, std::size_t digits, std::uint32_t limit) {
    if (text.empty() || text.size() > digits) return std::nullopt;
    std::uint32_t value = 0;
    const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value, base);
    if (failed != std::errc{} || end != text.data() + text.size() || value > limit) return std::nullopt;
    return value;
}

// Up to eight 16-bit groups from "a:b:c", the last of which may be a dotted quad. nullopt if malformed; empty text is
// none.
struct Groups {
    std::array<std::uint16_t, 8> values{};
    std::size_t count = 0;
};
std::optional<Groups> parse_groups(std::string_view text) {
    Groups groups;
    if (text.empty()) return groups;
    for (bool more = true; more;) {
        const std::size_t colon = text.find(':');
        more = colon != std::string_view::npos;
        const std::string_view word = text.substr(0, colon);
        if (more) text.remove_prefix(colon + 1);
        if (groups.count == 8) return std::nullopt;
        if (!more && word.find('.') != std::string_view::npos) {
            const auto tail = Ipv4Address::parse(word);
            if (!tail || groups.count > 6) return std::nullopt;
            groups.values[groups.count++] = static_cast<std::uint16_t>(tail->value() >> 16);
            groups.values[groups.count++] = static_cast<std::uint16_t>(tail->value());
            return groups;
        }
        const auto value = number(word, 16, 4, 0xffff);
        if (!value) return std::nullopt;
        groups.values[groups.count++] = static_cast<std::uint16_t>(*value);
    }
    return groups;
}

Ipv6Address from_groups(const std::array<std::uint16_t, 8>& groups) {
    std::uint64_t high = 0;
    std::uint64_t low = 0;
    for (std::size_t i = 0; i < 4; ++i) high = high << 16 | groups[i];
    for (std::size_t i = 4; i < 8; ++i) low = low << 16 | groups[i];
    return {high, low};
}

}  // namespace

std::optional<Ipv4Address> Ipv4Address::parse(std::string_view text) {
    std::uint32_t value = 0;
    for (int part = 0; part < 4; ++part) {
        const std::size_t dot = text.find('.');
        if ((dot == std::string_view::npos) != (part == 3)) return std::nullopt;
        const std::string_view word = text.substr(0, dot);
        const auto byte = number(word, 10, 3, 255);
        if (!byte || (word.size() > 1 && word[0] == '0')) return std::nullopt;
        value = value << 8 | *byte;
        if (part < 3) text.remove_prefix(dot + 1);
    }
    return Ipv4Address(value);
}

std::string Ipv4Address::text() const {
    std::array<char, 16> buffer{};
    std::snprintf(buffer.data(), buffer.size(), "%u.%u.%u.%u", value_ >> 24, value_ >> 16 & 255, value_ >> 8 & 255,
                  value_ & 255);
    return buffer.data();
}

std::optional<Ipv6Address> Ipv6Address::parse(std::string_view text) {
    const std::size_t gap = text.find("::");
    if (gap == std::string_view::npos) {
        const auto groups = parse_groups(text);
        if (!groups || groups->count != 8) return std::nullopt;
        return from_groups(groups->values);
    }
    const std::string_view before = text.substr(0, gap);
    const auto left = parse_groups(before);
    const auto right = parse_groups(text.substr(gap + 2));
    // "::" stands for at least one group (RFC 4291 §2.2), and a dotted quad only at the very end.
    if (!left || !right || left->count + right->count > 7 || before.find('.') != std::string_view::npos)
        return std::nullopt;
    std::array<std::uint16_t, 8> all{};
    std::copy_n(left->values.begin(), left->count, all.begin());
    std::copy_n(right->values.begin(), right->count, all.end() - static_cast<std::ptrdiff_t>(right->count));
    return from_groups(all);
}

std::string Ipv6Address::text() const {
    if (is_mapped_ipv4()) return "::ffff:" + Ipv4Address(static_cast<std::uint32_t>(low_)).text();  // RFC 5952 §5
    std::array<std::uint16_t, 8> groups{};
    for (std::size_t i = 0; i < 4; ++i) {
        groups[i] = static_cast<std::uint16_t>(high_ >> (48 - 16 * i));
        groups[i + 4] = static_cast<std::uint16_t>(low_ >> (48 - 16 * i));
    }
    // RFC 5952 §4.2: the longest run of two or more zero groups is shortened, the first one of equals.
    std::size_t best = 8;
    std::size_t best_length = 1;
    for (std::size_t i = 0; i < 8; ++i) {
        std::size_t length = 0;
        while (i + length < 8 && groups[i + length] == 0) ++length;
        if (length > best_length) {
            best = i;
            best_length = length;
        }
    }
    std::string result;
    for (std::size_t i = 0; i < 8;) {
        if (i == best) {
            result += "::";
            i += best_length;
            continue;
        }
        if (!result.empty() && result.back() != ':') result += ':';
        std::array<char, 8> buffer{};
        std::snprintf(buffer.data(), buffer.size(), "%x", static_cast<unsigned>(groups[i]));
        result += buffer.data();
        ++i;
    }
    return result;
}

std::optional<MacAddress> MacAddress::parse(std::string_view text) {
    if (text.size() != 17) return std::nullopt;
    Bytes bytes{};
    for (std::size_t i = 0; i < 6; ++i) {
        const auto byte = number(text.substr(3 * i, 2), 16, 2, 255);
        if (!byte || (i < 5 && text[3 * i + 2] != ':')) return std::nullopt;
        bytes[i] = static_cast<std::uint8_t>(*byte);
    }
    return MacAddress(bytes);
}

std::string MacAddress::text() const {
    std::array<char, 18> buffer{};
    std::snprintf(buffer.data(), buffer.size(), "%02x:%02x:%02x:%02x:%02x:%02x", bytes_[0], bytes_[1], bytes_[2],
                  bytes_[3], bytes_[4], bytes_[5]);
    return buffer.data();
}

std::optional<IpAddress> IpAddress::parse(std::string_view text) {
    if (const auto ipv4 = Ipv4Address::parse(text)) return *ipv4;
    if (const auto ipv6 = Ipv6Address::parse(text)) return *ipv6;
    return std::nullopt;
}

std::string IpAddress::text() const {
    return std::visit([](const auto& address) { return address.text(); }, value_);
}

}  // namespace sekisho
