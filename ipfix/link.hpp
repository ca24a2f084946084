// The way to a collector, by TCP or UDP. Nothing here waits but for the name's lookup and the connection's beginning,
// a second at most.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "net/expected.hpp"
#include "net/file_descriptor.hpp"

namespace sekisho::ipfix {

enum class Transport : std::uint8_t { tcp, udp };

struct Collector {
    Transport transport = Transport::tcp;
    std::string host;
    std::string port = "4739";
    // "tcp:HOST:PORT" or "udp:HOST:PORT", the port 4739 unless it is given; an IPv6 address in brackets.
    static Expected<Collector> parse(const std::string& text);
    std::string text() const;
};

class Link {
  public:
    // Error unavailable, with the reason, when it does not answer.
    static Expected<Link> connect(const Collector& collector, std::chrono::milliseconds patience);

    // TCP: false while earlier bytes still wait for room.
    bool is_free() const noexcept { return waiting_.empty(); }
    // Sends it, or what fits of it, and keeps the rest. Error: the link is lost, or, by UDP, nobody listens there.
    Expected<void> send(std::vector<std::uint8_t> bytes);
    // Goes on with what waits, and looks whether the collector is still there.
    Expected<void> tend();
    // Whether all that was sent has arrived at the other host; by UDP whether it has left.
    bool has_arrived() const noexcept;

  private:
    Link(FileDescriptor socket, Transport transport) : socket_(std::move(socket)), transport_(transport) {}
    Expected<void> push();

    FileDescriptor socket_;
    Transport transport_;
    std::vector<std::uint8_t> waiting_;
    std::size_t pushed_ = 0;  // of what waits
};

}  // namespace sekisho::ipfix
