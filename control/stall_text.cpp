#include "control/stall_text.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace sekisho::control {

std::string words_of(const dataplane::StallWatch::Event& event) {
    const auto milliseconds = event.silence.count();
    return event.stalled ? fmt::format("worker {} is stalled: it has finished no round for {} ms", event.worker.value(),
                                       milliseconds)
                         : fmt::format("worker {} goes on again, after {} ms", event.worker.value(), milliseconds);
}

nlohmann::json details_of(const dataplane::StallWatch::Event& event) {
    return {{"worker", event.worker.value()},
            {"state", event.stalled ? "stalled" : "running"},
            {"milliseconds", event.silence.count()}};
}

}  // namespace sekisho::control
