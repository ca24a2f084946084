// The methods of the control socket that are about sessions.
#include "control/service.hpp"

namespace sekisho::control {

void Service::add_session_methods() {
    methods_["show.sessions"] = [this](Call call) {
        const SessionRequest request = read_session_request(call.params, node_, false);
        if (auto error = call.params.error()) return answer(call.client, call.id, *error);
        sessions_->show(request, told_later(call));
    };
    methods_["session.clear"] = [this](Call call) {
        const SessionRequest request = read_session_request(call.params, node_, true);
        if (auto error = call.params.error()) return answer(call.client, call.id, *error);
        sessions_->clear(call.peer, request, told_later(call));
    };
}

}  // namespace sekisho::control
