// From the lines of the translation log to what has changed.
//
// Each file of the log begins with what is in force then, after a line "start", which the daemon writes when it starts
// too. What is listed again as it was is no event; what is not, has ended by then. Pure; one thread's.
#pragma once

#include <cstdint>
#include <map>
#include <string_view>
#include <vector>

#include "ipfix/event.hpp"

namespace sekisho::ipfix {

class Changes {
  public:
    // The events that one more line tells of are put behind `events`. False: it is no line of the log.
    bool take(std::string_view line, std::vector<Event>& events);
    // No more lines have come for a while: what the latest file has not listed again has ended.
    void settle(std::vector<Event>& events);

  private:
    struct Key {
        std::uint32_t address;
        std::uint16_t first_port;
        std::uint8_t protocol;  // of a static map; 0: a block
        friend auto operator<=>(const Key&, const Key&) = default;
    };
    static Key key_of(const Event& event) noexcept {
        return {event.address.value(), event.first_port, event.is_static ? event.protocol : std::uint8_t{0}};
    }

    // It was over when the latest file began.
    void end(Event event, std::vector<Event>& events) const;

    std::map<Key, Event> held_;      // in force, as they were opened
    std::map<Key, Event> unlisted_;  // were before the latest start, and have not been listed again yet
    std::int64_t started_ = 0;       // time of the latest start
};

}  // namespace sekisho::ipfix
