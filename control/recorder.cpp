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

void Recorder::line(std::string what, nlohmann::json line, Peer peer, Done done) {
    {
        const std::lock_guard lock(lines_mutex_);
        lines_.push_back({std::move(what), std::move(line), std::move(peer), std::move(done)});
        if (lines_.size() > 1) return;
    }
    thread_.submit([this]() -> CompilerThread::After {
        std::vector<Line> lines;
        {
            const std::lock_guard lock(lines_mutex_);
            lines.swap(lines_);
        }
        return record(std::move(lines));
    });
}

CompilerThread::After Recorder::record(std::vector<Line> lines) {
    std::vector<Expected<void>> outcomes;
    for (const Line& line : lines) {
        Expected<void> written;
        try {
            written = audit_.write(line.what, line.line, line.peer);
        } catch (const std::exception& fault) {
            written = Error{ErrorCode::unavailable, std::string("recording failed: ") + fault.what()};
        }
        outcomes.push_back(std::move(written));
    }
    const Expected<void> durable = audit_.sync();
    return [lines = std::move(lines), outcomes = std::move(outcomes), durable] {
        for (std::size_t i = 0; i < lines.size(); ++i) lines[i].done(outcomes[i] ? durable : outcomes[i]);
    };
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
