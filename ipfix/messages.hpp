// Events as IPFIX messages (RFC 7011), by RFC 8158's elements, made by libfixbuf.
//
// Three templates: a block of a host's, a block of an institution's, which has no host, and a static map. The operator
// is VRFname, the institution userName, the translation natPoolName; a generation has no element. One object is one
// Transport Session: its first message are the templates, and its sequence numbers begin with 0. One thread's.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "ipfix/event.hpp"
#include "net/expected.hpp"

namespace sekisho::ipfix {

using Message = std::vector<std::uint8_t>;

class Messages {
  public:
    static constexpr std::size_t kMost = 1400;  // bytes of a message: what UDP carries whole

    // `domain`: the observation domain, by which a collector tells nodes apart.
    static Expected<std::unique_ptr<Messages>> make(std::uint32_t domain);
    ~Messages();
    Messages(const Messages&) = delete;
    Messages& operator=(const Messages&) = delete;

    // The templates. By UDP, again and again (RFC 7011 §8.4).
    Expected<Message> templates();
    // The first of these events, as many as one message holds; how many it has.
    struct Made {
        Message message;
        std::size_t events = 0;
    };
    Expected<Made> of(std::span<const Event> events);

  private:
    struct Fixbuf;
    explicit Messages(std::unique_ptr<Fixbuf> fixbuf);
    std::unique_ptr<Fixbuf> fixbuf_;
};

}  // namespace sekisho::ipfix
