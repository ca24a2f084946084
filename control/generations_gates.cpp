// Gates by hand: closed at once and then recorded, recorded and then opened.
//
// The order is what safety hangs on. Closing must not wait for a disk that is full or busy with a large commit; opening
// must be known to have been asked for. Either is lost to a crash before it is recorded, and was not answered then.
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "control/calendar.hpp"
#include "control/generations.hpp"
#include "control/log.hpp"
#include "control/place.hpp"

namespace sekisho::control {

using nlohmann::json;

Expected<void> Generations::load_gates() {
    auto saved = parts_.state.load_gates();
    if (!saved) return saved.error();
    if (*saved) {
        auto gates = HandGates::parse((*saved)->text);
        if (!gates) return gates.error().at("state file " + parts_.state.gates_file());
        gates_ = recorded_gates_ = std::move(*gates);
        gate_changes_ = (*saved)->number;
    }
    if (const auto next = gates_.next_change(clock())) next_gate_change_->set_at(*next);
    return {};
}

// What is in force of the gates by hand has changed: folded at once; agreements are compiled. `then` is called when
// nothing is left to do.
void Generations::gates_changed(bool agreements, std::function<void()> then) {
    const WallTime now = clock();
    fold_gates(*running_->gates, gates_.in_force(now), *tables_);
    if (const auto next = gates_.next_change(now))
        next_gate_change_->set_at(*next);
    else
        next_gate_change_->clear();
    if (agreements) {
        if (then) after_recompile_.push_back(std::move(then));
        recompile();
    } else if (then) {
        then();
    }
}

void Generations::close_gate(const Peer& peer, const json& gate, Answer<GateMoved> answer) {
    const WallTime now = clock();
    auto made = recorded_gates_.made(gate, *running_->policy, peer, now);
    if (!made) return answer(Refused{made.error(), {}, {}});
    const std::string id = made->object->id;
    const bool of_agreement = made->gate().target == GateTarget::agreement;
    const json object = json::parse(made->object->text);
    gates_.close(*made);
    recorded_gates_.close(std::move(*made));
    // Two things are left, in any order: it is recorded, and an agreement is compiled.
    struct Left {
        int count = 2;
        GateMoved moved;
    };
    auto left = std::make_shared<Left>();
    left->moved.id = id;
    const auto done = [left, answer = std::move(answer)] {
        if (--left->count == 0) answer(left->moved);
    };
    gates_changed(of_agreement, done);
    parts_.events.post(EventKind::gate, {{"change", "closed"}, {"id", id}, {"gate", object}, {"uid", peer.uid}});
    recorder_.gates("gate.close", {{"generation", running_->number}, {"gate", object}}, peer,
                    {++gate_changes_, time_text(now), recorded_gates_.text()}, [left, done](Expected<void> recorded) {
                        if (!recorded) {
                            left->moved.durable = false;
                            left->moved.words = recorded.error().words;
                            log(LogLevel::error, recorded.error().words);
                        }
                        done();
                    });
}

void Generations::open_gate(const Peer& peer, const std::string& id, Answer<GateMoved> answer) {
    const HandGate* const gate = recorded_gates_.find(id);
    if (gate == nullptr || gates_.find(id) == nullptr) {
        if (running_->policy->gates.contains(id))
            return answer(Refused{
                {ErrorCode::exists, fmt::format("gate {} is the document's own: a commit opens it", in_quotes(id))},
                {},
                {}});
        return answer(
            Refused{{ErrorCode::not_found, fmt::format("no gate {} is closed by hand", in_quotes(id))}, {}, {}});
    }
    const HandGate was = *gate;
    recorded_gates_.open(id);
    recorder_.gates("gate.open", {{"generation", running_->number}, {"gate", json::parse(was.object->text)}}, peer,
                    {++gate_changes_, time_text(clock()), recorded_gates_.text()},
                    [this, id, was, peer, answer = std::move(answer)](Expected<void> recorded) {
                        if (!recorded) {
                            recorded_gates_.close(was);
                            return answer(Refused{recorded.error(), {}, {}});
                        }
                        gates_.open(id);
                        parts_.events.post(EventKind::gate, {{"change", "opened"}, {"id", id}, {"uid", peer.uid}});
                        gates_changed(was.gate().target == GateTarget::agreement, [answer, id] {
                            answer(GateMoved{id, true, {}});
                        });
                    });
}

}  // namespace sekisho::control
