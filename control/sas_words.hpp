// Inner header of control/sas*.cpp: times and words that they share.
#pragma once

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "control/prepare.hpp"
#include "crypto/ledger_file.hpp"
#include "dataplane/associations.hpp"
#include "net/ids.hpp"

namespace sekisho::control {

inline crypto::WallTime wall_seconds() {
    return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
}

// When an SA would have been installed whose age counts from `created`.
inline dataplane::SaInfo::Clock::time_point began(crypto::WallTime created) {
    return dataplane::SaInfo::Clock::now() - std::max(wall_seconds() - created, std::chrono::seconds(0));
}

inline std::string spi_text(Spi spi) {
    return fmt::format("0x{:08x}", spi.value());
}

}  // namespace sekisho::control
