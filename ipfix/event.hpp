// What a collector is told: that ports of a shared address are somebody's, or are no longer. Values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "net/address.hpp"

namespace sekisho::ipfix {

struct Event {
    bool opened = false;
    bool is_static = false;   // a server's port for ever; otherwise a block that is lent
    std::int64_t time = 0;    // milliseconds since 1970; the log counts seconds
    std::string operator_id;  // whose address space `host` is of
    std::string institution;
    std::string translation;
    std::optional<Ipv4Address> host;  // in the operator's space; none: the block is the institution's
    Ipv4Address address;              // in hub space
    std::uint16_t first_port = 0, last_port = 0;
    std::uint16_t host_port = 0;  // of a static map; and
    std::uint8_t protocol = 0;    // its number: TCP's or UDP's
    friend bool operator==(const Event&, const Event&) = default;
};

}  // namespace sekisho::ipfix
