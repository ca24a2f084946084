#include "control/recorder.hpp"

#include <exception>
#include <utility>

#include <nlohmann/json.hpp>

#include "control/log.hpp"

namespace sekisho::control {

void Recorder::gates(std::string what, nlohmann::json line, Peer peer, StateStore::SavedText gates, Done done) {
    thread_.submit([this, what = std::move(what), line = std::move(line), peer = std::move(peer),
                    gates = std::move(gates), done = std::move(done)]() -> CompilerThread::After {
        Expected<void> recorded;
        try {
            recorded = audit_.append(what, line, peer);
            if (auto saved = state_.save_gates(gates); recorded) recorded = saved;
        } catch (const std::exception& fault) {
            recorded = Error{ErrorCode::unavailable, std::string("recording failed: ") + fault.what()};
        }
        return [done, recorded] { done(recorded); };
    });
}

void Recorder::refusal(std::string_view method, const Peer& peer, std::string_view role) {
    if (!refusals_.take(std::chrono::steady_clock::now())) {
        ++left_out_;
        return;
    }
    nlohmann::json line = {{"method", method}, {"role", role}};
    if (const std::uint64_t left_out = std::exchange(left_out_, 0); left_out != 0) line["left_out"] = left_out;
    thread_.submit([this, line = std::move(line), peer]() -> CompilerThread::After {
        if (auto recorded = audit_.append("permission", line, peer); !recorded)
            log(LogLevel::error, recorded.error().words);
        return {};
    });
}

}  // namespace sekisho::control
