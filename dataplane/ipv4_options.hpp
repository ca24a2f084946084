// IPv4 options (RFC 1812 §5.2.4): passed on as they are, but a source route would lead around the agreements.
//
// Worker threads; bytes of one packet.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "net/drop_reason.hpp"

namespace sekisho::dataplane {

// `options`: what follows the first 20 bytes of the header, to its end. None when the packet may go on.
inline std::optional<DropReason> reason_to_refuse(std::span<const std::uint8_t> options) noexcept {
    constexpr std::uint8_t kEnd = 0, kNothing = 1, kLooseSourceRoute = 131, kStrictSourceRoute = 137;
    while (!options.empty() && options[0] != kEnd) {
        if (options[0] == kNothing) {
            options = options.subspan(1);
            continue;
        }
        if (options.size() < 2 || options[1] < 2 || options[1] > options.size())
            return DropReason::ipv4_options_malformed;
        if (options[0] == kLooseSourceRoute || options[0] == kStrictSourceRoute) return DropReason::source_route;
        options = options.subspan(options[1]);
    }
    return std::nullopt;
}

}  // namespace sekisho::dataplane
