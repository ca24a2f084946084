// Packets that came out of an SA which may not carry them: told in the audit log, the log and an event (RFC 4301 §5.2,
// which asks for time, SPI and what of the packet can be seen).
//
// One packet of each SA in a minute, and of all SAs 10 a second at most, after a rest 50: a peer that sends nothing
// else fills no disk. Each line has how many the SA refused so far.
#include <utility>

#include <fmt/format.h>

#include "control/place.hpp"
#include "control/sas.hpp"
#include "control/sas_words.hpp"

namespace sekisho::control {

using nlohmann::json;

namespace {

template <class Number>
json or_null(const std::optional<Number>& number) {
    return number ? json(*number) : json();
}

json to_json(const crypto::SelectorFields& packet) {
    return {{"source", packet.source.text()},
            {"destination", packet.destination.text()},
            {"protocol", or_null(packet.protocol)},
            {"source_port", or_null(packet.source_port)},
            {"destination_port", or_null(packet.destination_port)}};
}

}  // namespace

void Sas::look_at_mismatches() {
    for (const dataplane::SelectorMismatch& told : parts_.associations.take_selector_mismatches(parts_.clock())) {
        const auto name = names_.find(told.tunnel);
        if (name == names_.end() || !tunnels_.find(name->second)->second.inbound.contains(told.spi)) continue;
        if (!mismatches_.take(parts_.clock())) {
            ++mismatches_left_out_;
            continue;
        }
        tell_mismatch(name->second, told);
    }
}

void Sas::tell_mismatch(const std::string& tunnel, const dataplane::SelectorMismatch& told) {
    std::uint64_t packets = 0;
    for (const dataplane::SaInfo& info : parts_.associations.list(told.tunnel))
        if (!info.outbound && info.spi == told.spi)
            for (const auto& [reason, count] : info.failures)
                if (reason == DropReason::selector_mismatch) packets = count;
    const json packet = to_json(told.packet);
    parts_.events.post(EventKind::sa, {{"tunnel", tunnel},
                                       {"spi", told.spi.value()},
                                       {"direction", "inbound"},
                                       {"event", "selector_mismatch"},
                                       {"packet", packet},
                                       {"packets", packets}});
    write(LogLevel::warning,
          fmt::format("tunnel {}, inbound SA {}: a packet that it may not carry, from {} to {}; {} so far",
                      in_quotes(tunnel), spi_text(told.spi), told.packet.source.text(), told.packet.destination.text(),
                      packets));
    json line = {{"sa", tunnel + " in " + spi_text(told.spi)}, {"packet", packet}, {"packets", packets}};
    if (const std::uint64_t left_out = std::exchange(mismatches_left_out_, 0); left_out != 0)
        line["left_out"] = left_out;
    parts_.recorder.line("sa.selector_mismatch", std::move(line), AuditLog::own_peer(),
                         [](const Expected<void>& recorded) {
                             if (!recorded) log(LogLevel::error, recorded.error().words);
                         });
}

}  // namespace sekisho::control
