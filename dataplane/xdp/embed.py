#!/usr/bin/env python3
"""Writes a file's bytes as a C++ array: embed.py INPUT OUTPUT"""
import sys

data = open(sys.argv[1], "rb").read()
rows = (", ".join(f"0x{byte:02x}" for byte in data[i:i + 16]) for i in range(0, len(data), 16))
with open(sys.argv[2], "w", encoding="ascii") as output:
    output.write('#include "dataplane/xdp/object.hpp"\n\nnamespace sekisho::dataplane {\n\n'
                 "alignas(8) static constexpr unsigned char kBytes[] = {\n    " + ",\n    ".join(rows) + "};\n\n"
                 "const std::span<const unsigned char> kSteerObject(kBytes);\n\n}  // namespace sekisho::dataplane\n")
