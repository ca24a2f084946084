// From the log to the collector: what is read, what is on its way, and what has arrived.
//
// By TCP an event is done with when the collector's host has acknowledged it; when the link breaks before that, it is
// sent again, so that it may come twice but never not at all. By UDP it is done with when it has left; a refusal that
// comes back counts as lost what was sent since the last look. How far it is stands in the cursor, a file that is
// replaced whole. One thread, which the caller gives.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>

#include "ipfix/changes.hpp"
#include "ipfix/link.hpp"
#include "ipfix/log_reader.hpp"
#include "ipfix/messages.hpp"

namespace sekisho::ipfix {

struct ExporterOptions {
    std::string log_directory;  // sekishod's state directory
    std::string cursor;         // a file's path
    Collector collector;
    std::uint32_t domain = 0;
    std::chrono::seconds templates_every{600};        // by UDP
    std::chrono::milliseconds settle{2000};           // without a line, before a file's list is taken to be at its end
    std::chrono::milliseconds patience{1000};         // for a connection
    std::chrono::milliseconds longest_pause{30'000};  // between two tries
};

struct ExportCounts {
    std::uint64_t events = 0;       // that have arrived, or left by UDP
    std::uint64_t messages = 0;     // sent, those with templates too
    std::uint64_t connections = 0;  // made
    std::uint64_t failures = 0;     // of connections, made or tried
    std::uint64_t again = 0;        // events that were sent again, on another connection
    std::uint64_t lost = 0;         // events that UDP could not deliver, as far as it says
    std::uint64_t unreadable = 0;   // lines
    std::uint64_t waiting = 0;      // events that are read and not done with; a gauge
    friend bool operator==(const ExportCounts&, const ExportCounts&) = default;
};

class Exporter {
  public:
    using Clock = std::chrono::steady_clock;

    // Goes on where the cursor says; without one, with the latest file, or the first that comes.
    explicit Exporter(ExporterOptions options);
    // A piece of the work, without waiting for anything but a new connection. About five times a second.
    void round(Clock::time_point now);
    // Writes the cursor, if it has changed. Error: it cannot be written.
    Expected<void> save();
    const ExportCounts& counts() const noexcept { return counts_; }

  private:
    struct Waiting {
        Event event;
        Place after;  // the place behind the line that told of it
        bool sent_before = false;
    };
    static constexpr std::size_t kMostWaiting = 8192;

    void resume();
    void read(Clock::time_point now);
    bool connect(Clock::time_point now);
    Expected<void> send(Clock::time_point now);
    void take_arrived();
    void lose(const Error& error, Clock::time_point now);

    ExporterOptions options_;
    ExportCounts counts_;
    LogReader log_;
    Changes changes_;
    Clock::time_point last_line_;
    Place done_, saved_;
    std::deque<Waiting> waiting_;
    std::size_t sent_ = 0;  // of them, the first ones, on this link
    std::optional<Link> link_;
    std::unique_ptr<Messages> messages_;  // of this link
    Clock::time_point next_try_, next_templates_;
    std::chrono::milliseconds pause_{0};
};

}  // namespace sekisho::ipfix
