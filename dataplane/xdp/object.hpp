// The XDP program as clang compiled it, an ELF object; written by embed.py.
#pragma once

#include <span>

namespace sekisho::dataplane {

extern const std::span<const unsigned char> kSteerObject;

}  // namespace sekisho::dataplane
