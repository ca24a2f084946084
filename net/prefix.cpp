// Prefixes from text. Control plane only.
#include "net/prefix.hpp"

#include <charconv>

namespace sekisho {

template <class Addr>
Expected<Prefix<Addr>> Prefix<Addr>::parse(std::string_view text) {
    const std::string quoted = "\"" + std::string(text) + "\"";
    const std::size_t slash = text.find('/');
    const auto address = Addr::parse(text.substr(0, slash));
    const char* const family = Addr::kFamily == Family::ipv4 ? "IPv4" : "IPv6";
    if (!address) return Error{ErrorCode::invalid, quoted + " is not an " + family + " prefix"};
    unsigned length = Addr::kBits;  // unsigned: from_chars would read "-0" into an int
    if (slash != std::string_view::npos) {
        const std::string_view digits = text.substr(slash + 1);
        const auto [end, failed] = std::from_chars(digits.data(), digits.data() + digits.size(), length);
        const bool leading_zero = digits.size() > 1 && digits[0] == '0';
        if (failed != std::errc{} || end != digits.data() + digits.size() || leading_zero ||
            length > unsigned{Addr::kBits})
            return Error{ErrorCode::invalid, quoted + ": the length must be 0 to " + std::to_string(Addr::kBits)};
    }
    const Prefix prefix(*address, static_cast<int>(length));
    if (prefix.address() != *address)
        return Error{ErrorCode::invalid, quoted + " has host bits set; the prefix would be " + prefix.text()};
    return prefix;
}

template class Prefix<Ipv4Address>;
template class Prefix<Ipv6Address>;

Expected<IpPrefix> IpPrefix::parse(std::string_view text) {
    const std::string_view address = text.substr(0, text.find('/'));
    if (Ipv4Address::parse(address)) {
        auto prefix = Prefix4::parse(text);
        if (!prefix) return prefix.error();
        return IpPrefix(*prefix);
    }
    if (Ipv6Address::parse(address)) {
        auto prefix = Prefix6::parse(text);
        if (!prefix) return prefix.error();
        return IpPrefix(*prefix);
    }
    return Error{ErrorCode::invalid, "\"" + std::string(text) + "\" is neither an IPv4 nor an IPv6 prefix"};
}

}  // namespace sekisho
