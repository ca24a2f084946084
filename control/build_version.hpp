// The version of this build, as meson.build has it.
#pragma once

namespace sekisho::control {

const char* build_version() noexcept;  // "0.1.0"

}  // namespace sekisho::control
