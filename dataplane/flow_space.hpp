// The numbers of spaces in session keys and static maps: 0 is hub space, an operator's is that of its VRF and one.
#pragma once

#include <cstdint>

#include "net/ids.hpp"

namespace sekisho::dataplane {

constexpr std::uint16_t space_of(VrfId vrf) noexcept {
    return static_cast<std::uint16_t>(vrf.value() + 1);
}
constexpr VrfId vrf_of(std::uint16_t space) noexcept {
    return VrfId(static_cast<VrfId::Value>(space - 1));
}

}  // namespace sekisho::dataplane
