// The path as a filter, for an oracle in another language: frames in by standard input, what became of them out.
//
// A line in is "LINE HEX": the attachment of the standard policy that the frame comes by, and the frame (its Ethernet
// addresses and tag are made right here). A line out is "> REASONS FRAMES": drop reasons joined by commas or "-", and
// what left, each frame as PORT:HEX. The ESP filter has protected.hpp's policy, and a hub of its own behind each line
// "sa SUITE ESN OUTER KEY SPI_IN SPI_OUT SEQUENCE IN_UDP": an SA each way with this key, numbers from SEQUENCE on.
#include <iostream>
#include <sstream>

#include "tests/dataplane/support/exact_buffer.hpp"
#include "tests/dataplane/support/protected.hpp"

using namespace sekisho;
using namespace sekisho::test;

namespace {

Bytes bytes_from(const std::string& hex) {
    Bytes bytes;
    for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
        bytes.push_back(static_cast<std::uint8_t>(std::stoul(hex.substr(i, 2), nullptr, 16)));
    return bytes;
}

std::string hex_from(const Bytes& bytes) {
    std::string text = hex_of(bytes);
    std::erase_if(text, [](char c) { return c == ' ' || c == '\n'; });
    return text;
}

// Walks one IP packet that comes by the line, and answers.
void answer(TestHub& hub, const std::string& name, const std::string& hex) {
    const Line& line = hub.policy().line(name);
    const Bytes ip = bytes_from(hex);
    Frame frame = on_link(ip.at(0) >> 4 == 4 ? 0x0800 : 0x86dd, ip);
    frame.to(line.mac_address);
    if (line.vlan_id != 0) frame.vlan(line.vlan_id);
    hub.wait(0.1);  // budgets fill
    hub.keep_neighbours();
    hub.send_bytes(line.port, {frame.bytes()}, kHeadroom);
    std::string reasons;
    for (const auto& [reason, count] : hub.drops())
        reasons += (reasons.empty() ? "" : ",") + std::string(name_of(reason));
    std::cout << "> " << (reasons.empty() ? "-" : reasons);
    for (const Sent& sent : hub.left()) std::cout << ' ' << sent.port << ':' << hex_from(sent.frame);
    std::cout << '\n';
}

std::unique_ptr<ProtectedHub> hub_of(std::istringstream& words) {
    std::string suite, key;
    unsigned esn = 0, outer = 0, in_udp = 0;
    std::uint32_t spi_in = 0, spi_out = 0;
    std::uint64_t sequence = 0;
    words >> suite >> esn >> outer >> key >> spi_in >> spi_out >> sequence >> in_udp;
    ProtectedOptions options;
    options.outer = outer == 4 ? Family::ipv4 : Family::ipv6;
    options.in_udp = in_udp != 0;
    auto hub = std::make_unique<ProtectedHub>(options, false);
    const EspKey in{Spi(spi_in), crypto::suite_named(suite).value(), esn != 0, bytes_from(key)};
    hub->install_inbound(in);
    EspKey out = in;
    out.spi = Spi(spi_out);
    hub->install_outbound(out, kHigashiTunnel, sequence);
    return hub;
}

}  // namespace

TEST_CASE("filter: every line of standard input is walked and answered") {
    StandardHub hub;
    std::size_t lines = 0;
    for (std::string text; std::getline(std::cin, text); ++lines) {
        std::istringstream words(text);
        std::string name, hex;
        words >> name >> hex;
        answer(hub, name, hex);
    }
    CHECK(lines != 0);
}

TEST_CASE("esp filter: every line of standard input is walked and answered") {
    std::unique_ptr<ProtectedHub> hub;
    std::size_t lines = 0;
    for (std::string text; std::getline(std::cin, text); ++lines) {
        std::istringstream words(text);
        std::string name, hex;
        words >> name;
        if (name == "sa") {
            hub.reset();
            hub = hub_of(words);
            continue;
        }
        words >> hex;
        answer(*hub, name, hex);
    }
    CHECK(lines != 0);
}
