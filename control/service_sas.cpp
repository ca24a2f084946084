// The methods of the control socket that are about SAs, the nonce ledger, and what the node can be held to.
#include "control/calendar.hpp"
#include "control/compliance.hpp"
#include "control/service.hpp"

namespace sekisho::control {

using nlohmann::json;

namespace {

json words_of(const Expected<void>& outcome) {
    return outcome ? json() : json(outcome.error().words);
}

json to_json(const LedgerState& state, ManualKeys manual_keys, bool witnessed) {
    json result = {{"manual_keys", name_of(manual_keys)},
                   {"stands", static_cast<bool>(state.standing)},
                   {"refused", words_of(state.standing)},
                   {"not_extended", words_of(state.renewal)},
                   {"witness", witnessed}};
    if (state.epoch == 0) return result;
    result["ledger"] = state.id.text();
    result["born"] = time_text(state.birth);
    result["epoch"] = state.epoch;
    result["keys"] = state.keys;
    return result;
}

}  // namespace

void Service::add_sa_methods() {
    methods_["sa.install"] = [this](Call call) { install(std::move(call), Sas::Use::now); };
    methods_["sa.rekey"] = [this](Call call) { install(std::move(call), Sas::Use::after_switch); };
    const auto named = [this](void (Sas::*method)(const Peer&, std::vector<SaName>, Answer<json>)) {
        return [this, method](Call call) {
            const json sas = call.params.take("sas");
            if (auto error = call.params.error()) return answer(call.client, call.id, *error);
            auto names = read_names(sas);
            if (!names) return answer(call.client, call.id, rpc_error(names.error()));
            (security_.sas.*method)(call.peer, std::move(*names), told_later(call));
        };
    };
    methods_["sa.switch"] = named(&Sas::switch_over);
    methods_["sa.remove"] = named(&Sas::remove);
    methods_["ledger.new"] = [this](Call call) {
        if (auto error = call.params.error()) return answer(call.client, call.id, *error);
        // Recorded first: what the old ledger knew is lost with this.
        generations_.recorder().line("ledger.new", json::object(), call.peer,
                                     [this, later = told_later(call)](const Expected<void>& recorded) {
                                         if (!recorded) return later(Refused{recorded.error(), {}, {}});
                                         security_.ledger.make_new([this, later](const Expected<void>& made) {
                                             if (!made) return later(Refused{made.error(), {}, {}});
                                             later(to_json(security_.ledger.state(), security_.ledger.manual_keys(),
                                                           security_.witness.is_connected()));
                                         });
                                     });
    };
    methods_["ledger.witness"] = [this](Call call) {
        if (auto error = call.params.error()) return answer(call.client, call.id, *error);
        auto connected = security_.witness.connect(call.client, [this](ClientId client, const json& question) {
            server_->send(client, notification_line("ledger.question", question));
        });
        if (!connected) return answer(call.client, call.id, rpc_error(connected.error()));
        answer(call.client, call.id, json{{"manual_keys", name_of(security_.ledger.manual_keys())}});
        security_.ledger.try_again();
    };
    methods_["ledger.answer"] = [this](Call call) {
        const std::uint64_t ask = call.params.required_number("ask");
        json given = json::object();
        for (const char* field : {"epoch", "mark", "error", "name"})
            if (call.params.has(field)) given[field] = call.params.take(field);
        if (auto error = call.params.error()) return answer(call.client, call.id, *error);
        if (auto taken = security_.witness.answer(call.client, ask, given); !taken)
            return answer(call.client, call.id, rpc_error(taken.error()));
        answer(call.client, call.id, json{{"answered", ask}});
    };
    methods_["show.sa"] = [this](Call call) {
        auto shown = security_.sas.show(std::move(call.params));
        if (auto* error = std::get_if<RpcError>(&shown)) return answer(call.client, call.id, *error);
        answer(call.client, call.id, std::get<json>(shown));
    };
    methods_["show.ledger"] = [this](Call call) {
        if (auto error = call.params.error()) return answer(call.client, call.id, *error);
        answer(call.client, call.id,
               to_json(security_.ledger.state(), security_.ledger.manual_keys(), security_.witness.is_connected()));
    };
    methods_["show.compliance"] = [this](Call call) {
        if (auto error = call.params.error()) return answer(call.client, call.id, *error);
        answer(call.client, call.id,
               compliance(*generations_.running()->policy, security_.ledger.manual_keys(), security_.ledger.state()));
    };
}

Answer<json> Service::told_later(const Call& call) {
    return later<Outcome<json>>(call, [](const json& result) -> Result { return result; });
}

void Service::install(Call call, Sas::Use use) {
    const json sas = call.params.take("sas");
    if (auto error = call.params.error()) return answer(call.client, call.id, *error);
    auto orders = read_orders(sas, call.keys);
    if (!orders) return answer(call.client, call.id, rpc_error(orders.error()));
    security_.sas.install(call.peer, std::move(*orders), use, told_later(call));
}

}  // namespace sekisho::control
