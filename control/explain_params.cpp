#include "control/explain_params.hpp"

#include <charconv>

#include "control/place.hpp"

namespace sekisho::control {

namespace {

constexpr std::uint8_t kIcmp = 1, kTcp = 6, kUdp = 17, kIcmpv6 = 58;

std::optional<std::uint8_t> byte_of(std::string_view digits) {
    std::uint8_t value = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (error != std::errc() || end != digits.data() + digits.size() || digits.empty()) return std::nullopt;
    return value;
}

IpAddress read_address(Params& params, const std::string& name) {
    const std::string text = params.required_text(name);
    const auto address = IpAddress::parse(text);
    if (!address) params.refuse(name, in_quotes(text) + " is no IPv4 or IPv6 address");
    return address.value_or(Ipv4Address());
}

}  // namespace

std::optional<std::uint8_t> tcp_flags_of(std::string_view letters) {
    constexpr std::string_view kLetters = "FSRPAUEC";  // from bit 0, RFC 9293 §3.1
    std::uint8_t flags = 0;
    for (const char letter : letters) {
        const std::size_t bit = kLetters.find(letter);
        if (bit == std::string_view::npos) return std::nullopt;
        flags = static_cast<std::uint8_t>(flags | (1U << bit));
    }
    return flags;
}

std::optional<std::uint8_t> protocol_of(std::string_view word, Family family) {
    if (word == "tcp") return kTcp;
    if (word == "udp") return kUdp;
    if (word == "icmp") return family == Family::ipv4 ? kIcmp : kIcmpv6;
    return byte_of(word);
}

std::optional<std::uint8_t> icmp_type_of(std::string_view word, Family family) {
    if (word == "echo-request") return family == Family::ipv4 ? std::uint8_t{8} : std::uint8_t{128};
    if (word == "echo-reply") return family == Family::ipv4 ? std::uint8_t{0} : std::uint8_t{129};
    return byte_of(word);
}

dataplane::ImaginedPacket imagined_packet(
    Params& params, const std::function<std::optional<AttachmentId>(const std::string&)>& attachment_named) {
    dataplane::ImaginedPacket packet;
    const std::string attachment = params.required_text("attachment");
    if (const auto id = attachment_named(attachment))
        packet.attachment = *id;
    else
        params.refuse("attachment", "there is no attachment " + in_quotes(attachment));

    packet.source = read_address(params, "source");
    packet.destination = read_address(params, "destination");
    const Family family = packet.source.family();
    if (family != packet.destination.family()) params.refuse("destination", "is not of the source's IP version");

    const std::string protocol = params.required_text("protocol");
    if (const auto number = protocol_of(protocol, family))
        packet.protocol = *number;
    else
        params.refuse("protocol", in_quotes(protocol) + " is neither tcp, udp, icmp nor a number to 255");
    packet.source_port = static_cast<std::uint16_t>(params.number("source_port", packet.source_port, UINT16_MAX));
    packet.destination_port = static_cast<std::uint16_t>(params.number("destination_port", 0, UINT16_MAX));

    const std::string flags = params.text("tcp_flags").value_or("S");
    if (const auto bits = tcp_flags_of(flags))
        packet.tcp_flags = *bits;
    else
        params.refuse("tcp_flags", in_quotes(flags) + " has a letter that is none of FSRPAUEC");
    const std::string type = params.text("icmp_type").value_or("echo-request");
    if (const auto number = icmp_type_of(type, family))
        packet.icmp_type = *number;
    else
        params.refuse("icmp_type", in_quotes(type) + " is neither echo-request, echo-reply nor a number to 255");

    packet.ttl = static_cast<std::uint8_t>(params.number("ttl", packet.ttl, UINT8_MAX));
    packet.length = static_cast<std::uint16_t>(params.number("length", 0, UINT16_MAX));
    packet.dont_fragment = !params.flag("fragmentable");
    return packet;
}

}  // namespace sekisho::control
