// Prefixes and addresses from their text, for the tests of lpm/. Text that is none throws.
#pragma once

#include "net/address.hpp"
#include "net/prefix.hpp"

namespace sekisho::lpm {

inline Prefix4 prefix4(const char* text) {
    return Prefix4::parse(text).value();
}
inline Prefix6 prefix6(const char* text) {
    return Prefix6::parse(text).value();
}
inline Ipv4Address ipv4(const char* text) {
    return Ipv4Address::parse(text).value();
}
inline Ipv6Address ipv6(const char* text) {
    return Ipv6Address::parse(text).value();
}

}  // namespace sekisho::lpm
