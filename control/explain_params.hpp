// The words of `explain`: an imagined packet from parameters by name, and TCP flags and ICMP types by theirs.
//
// Pure; the daemon reads parameters with it, the CLI documents the same words.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "control/params.hpp"
#include "dataplane/explain.hpp"

namespace sekisho::control {

// What is wrong goes to params.error(). Parameters: attachment, source, destination, protocol (tcp, udp, icmp, or a
// number), source_port, destination_port, tcp_flags ("S", "SA", ...: FSRPAUEC), icmp_type (echo-request, echo-reply,
// or a number), ttl, length, fragmentable.
dataplane::ImaginedPacket imagined_packet(
    Params& params, const std::function<std::optional<AttachmentId>(const std::string&)>& attachment_named);

std::optional<std::uint8_t> tcp_flags_of(std::string_view letters);
std::optional<std::uint8_t> protocol_of(std::string_view word, Family family);
std::optional<std::uint8_t> icmp_type_of(std::string_view word, Family family);

}  // namespace sekisho::control
