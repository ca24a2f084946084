#include "control/service.hpp"

#include <exception>
#include <unistd.h>

#include <fmt/format.h>

#include "control/allocations.hpp"
#include "control/answer_bounds.hpp"
#include "control/calendar.hpp"
#include "control/key_text.hpp"
#include "control/log.hpp"
#include "control/place.hpp"
#include "control/process_memory.hpp"
#include "control/show_node.hpp"

namespace sekisho::control {

using nlohmann::json;

RpcError Service::error_of(const Refused& refused) {
    RpcError error = rpc_error(refused.error);
    if (refused.conflict) {
        error.code = RpcErrorCode::conflict;
        error.data["base"] = refused.conflict->base;
        error.data["running"] = refused.conflict->running;
    }
    if (!refused.others.empty()) {
        error.message += fmt::format(" (and {} more)", refused.others.size());
        error.data["errors"] = json::array({refused.error.words});
        for (const Error& other : refused.others) error.data["errors"].push_back(other.words);
    }
    return error;
}

Service::Service(Generations& generations, Node& node, Events& events, std::string version, Roles roles,
                 Security security)
    : generations_(generations),
      node_(node),
      events_(events),
      version_(std::move(version)),
      roles_(std::move(roles)),
      security_(security) {}

Service::~Service() {
    events_.listen({});
}

Expected<std::unique_ptr<Service>> Service::start(EventLoop& loop, Place place, Generations& generations, Node& node,
                                                  Events& events, const std::string& version, Security security) {
    std::unique_ptr<Service> service(new Service(generations, node, events, version, std::move(place.roles), security));
    Service* const self = service.get();
    service->add_methods();
    ServerHandlers handlers;
    handlers.line = [self](ClientId client, const Peer& peer, WipedText& line) { self->take_line(client, peer, line); };
    handlers.refused = [self](ClientId client, const std::string& words) {
        self->server_->send(client, error_line(nullptr, {RpcErrorCode::limit, words}));
    };
    handlers.gone = [self](ClientId client) {
        self->stop_listening(client);
        self->security_.witness.gone(client);
        self->generations_.client_gone(client);
    };
    auto sessions = Sessions::make(loop, service->node_, generations.recorder());
    if (!sessions) return sessions.error();
    service->sessions_ = std::move(*sessions);
    auto watch = NodeWatch::make(loop, service->node_, events);
    if (!watch) return watch.error();
    service->watch_ = std::move(*watch);
    auto server = SocketServer::listen(loop, place.path, std::move(handlers), place.limits, place.group);
    if (!server) return server.error();
    service->server_ = std::move(*server);
    events.listen([self](const Event& event) { self->pass_on(event); });
    return service;
}

void Service::add_methods() {
    const auto now = [this](const std::string& name, std::function<Result(Params)> method) {
        methods_[name] = [this, method = std::move(method)](Call call) {
            answer(call.client, call.id, method(std::move(call.params)));
        };
    };
    now("version", [this](Params params) -> Result {
        if (auto error = params.error()) return *error;
        return json{{"version", version_},
                    {"protocol", kProtocolVersion},
                    {"generation", generations_.running()->number},
                    {"pid", ::getpid()}};
    });
    methods_["whoami"] = [this](Call call) {
        if (auto error = call.params.error()) return answer(call.client, call.id, *error);
        answer(call.client, call.id,
               json{{"role", name_of(roles_.of(call.peer))}, {"uid", call.peer.uid}, {"gid", call.peer.gid}});
    };
    methods_["begin"] = [this](Call call) { begin(std::move(call)); };
    methods_["batch"] = [this](Call call) { batch(std::move(call)); };
    methods_["diff"] = [this](Call call) { diff(std::move(call)); };
    add_generation_methods();
    methods_["abort"] = [this](Call call) { abort(std::move(call)); };
    methods_["gate.close"] = [this](Call call) { close_gate(std::move(call)); };
    methods_["gate.open"] = [this](Call call) { open_gate(std::move(call)); };
    add_sa_methods();
    add_session_methods();
    add_translation_methods();
    methods_["events"] = [this](Call call) { events(std::move(call)); };

    now("show.generation", [this](Params params) -> Result {
        if (auto error = params.error()) return *error;
        json result = show_generation(*generations_.running());
        result["transactions"] = generations_.transactions();
        const auto by = generations_.confirm_by();
        result["confirm_by"] = by ? json(time_text(*by)) : json();
        result["sas_withdrawn"] = security_.sas.withdrawn();
        const ProcessMemory memory = process_memory();
        result["memory"] = {{"resident_bytes", memory.resident}, {"most_resident_bytes", memory.most_resident}};
        return result;
    });
    now("show.policy", [this](Params params) { return show_policy(*generations_.running(), std::move(params)); });
    for (const Kind kind : kKinds) {
        if (kind == Kind::hub) continue;
        now("show." + std::string(name_of(kind)), [this, kind](Params params) {
            MoreOfObject more;
            if (kind == Kind::routes)
                more = [&routes = generations_.running()->policy->routes,
                        usable = UsableNexthops(node_)](const std::string& id) {
                    const auto route = routes.find(id);
                    const json nexthops = route == routes.end() ? json::array() : usable.of(route->second);
                    return nexthops.empty() ? std::string() : ",\"nexthops\":" + nexthops.dump();
                };
            if (kind == Kind::allocations)
                more = [&policy = *generations_.running()->policy](const std::string& id) {
                    const auto allocation = policy.allocations.find(id);
                    const auto free = allocation == policy.allocations.end()
                                          ? std::nullopt
                                          : free_from(allocation->second, policy.hold_down_days);
                    return ",\"free_from\":" + (free ? json(date_text(*free)) : json()).dump();
                };
            if (kind == Kind::translations)
                more = [this](const std::string& id) {
                    const auto translation = generations_.running()->policy->translations.find(id);
                    const bool is_block = translation != generations_.running()->policy->translations.end() &&
                                          translation->second.kind == TranslationKind::port_block;
                    return is_block ? fmt::format(",\"blocks\":{}", security_.translations.blocks_of(id)) : "";
                };
            if (kind == Kind::tunnels) more = [this](const std::string& id) { return security_.sas.show_tunnel(id); };
            return show_objects(*generations_.running(), generations_.gates_by_hand(), kind, std::move(params),
                                std::chrono::system_clock::now(), more);
        });
    }
    now("show.tables", [this](Params params) -> Result {
        if (auto error = params.error()) return *error;
        return to_json(generations_.running()->report);
    });
    methods_["show.rows"] = [this](Call call) { show_rows(std::move(call)); };
    now("show.ports", [this](Params params) { return show_ports(node_, std::move(params)); });
    now("show.counters", [this](Params params) { return show_counters(node_, std::move(params)); });
    now("show.drops", [this](Params params) { return show_drops(node_, std::move(params)); });
    now("show.stages", [this](Params params) { return show_stages(node_, std::move(params)); });
    now("show.workers", [this](Params params) { return show_workers(node_, std::move(params)); });
    now("show.taps", [this](Params params) { return show_taps(node_, std::move(params)); });
    now("show.neighbours", [this](Params params) { return show_neighbours(node_, std::move(params)); });
    now("explain", [this](Params params) { return explain(node_, std::move(params)); });
}

void Service::take_line(ClientId client, const Peer& peer, WipedText& line) {
    std::vector<Secret> keys = take_keys(line);  // before anybody copies them
    auto parsed = parse_request(line);
    if (auto* refusal = std::get_if<Refusal>(&parsed)) {
        // The words of a parse error quote what was read, and a line that is no JSON may hide a key from us.
        if (refusal->error.code == RpcErrorCode::parse_error && line.find("key") != WipedText::npos)
            refusal->error.message = "not JSON";
        server_->send(client, error_line(refusal->id, refusal->error));
        return;
    }
    Request& request = std::get<Request>(parsed);
    const auto method = methods_.find(request.method);
    const MethodRow* const row = method_named(request.method);
    if (method == methods_.end() || row == nullptr) {  // what no role may call is not there
        answer(client, request.id,
               RpcError{RpcErrorCode::method_not_found, "there is no method " + in_quotes(request.method)});
        return;
    }
    if (const auto no = refusal(*row, peer, request.params)) return answer(client, request.id, *no);
    try {
        method->second({client, peer, request.id, Params(std::move(request.params)), std::move(keys)});
    } catch (const std::exception& fault) {
        log(LogLevel::error, fmt::format("method {}: {}", request.method, fault.what()));
        answer(
            client, request.id,
            RpcError{RpcErrorCode::internal_error, fmt::format("method {} failed: {}", request.method, fault.what())});
    }
}

std::optional<RpcError> Service::refusal(const MethodRow& method, const Peer& peer, const json& params) {
    const auto dry_run = params.find("dry_run");
    const Role least = dry_run != params.end() && *dry_run == true ? method.least_for_dry_run : method.least;
    const Role role = roles_.of(peer);
    if (role >= least) return std::nullopt;
    generations_.recorder().refusal(method.name, peer, name_of(role));
    return RpcError{RpcErrorCode::permission,
                    fmt::format("{} is for role {}, and user {} is {}", in_quotes(method.name), name_of(least),
                                peer.uid, role == Role::none ? "nobody here" : name_of(role)),
                    {{"role", name_of(role)}, {"least", name_of(least)}}};
}

void Service::answer(ClientId client, const std::optional<json>& id, const Result& result) {
    if (!id) return;  // a notification
    if (const auto* error = std::get_if<RpcError>(&result))
        server_->send(client, error_line(*id, *error));
    else if (const auto* page = std::get_if<JsonText>(&result))
        server_->send(client, result_line(*id, *page));
    else
        server_->send(client, result_line(*id, std::get<json>(result)));
}

void Service::begin(Call call) {
    const bool replace = call.params.flag("replace");
    if (auto error = call.params.error()) return answer(call.client, call.id, *error);
    const std::uint64_t base = generations_.running()->number;
    const auto transaction = generations_.begin(call.client, call.peer, replace);
    if (!transaction) return answer(call.client, call.id, rpc_error(transaction.error()));
    answer(call.client, call.id, json{{"transaction", *transaction}, {"base", base}});
}

void Service::batch(Call call) {
    const TransactionId transaction = call.params.required_number("transaction");
    json operations = json::object();
    for (const char* part : {"put", "delete"})
        if (json value = call.params.take(part); !value.is_null()) operations[part] = std::move(value);
    if (auto error = call.params.error()) return answer(call.client, call.id, *error);
    generations_.batch(call.client, transaction, std::move(operations),
                       later<Outcome<Staged>>(call, [](const Staged& staged) -> Result {
                           return json{{"puts", staged.puts}, {"deletes", staged.deletes}, {"objects", staged.objects}};
                       }));
}

void Service::diff(Call call) {
    const TransactionId transaction = call.params.required_number("transaction");
    if (auto error = call.params.error()) return answer(call.client, call.id, *error);
    generations_.diff(call.client, transaction, later<Outcome<Compared>>(call, [](const Compared& compared) -> Result {
                          json result = bounded(compared.diff);
                          result["running"] = compared.running;
                          return result;
                      }));
}

void Service::abort(Call call) {
    const TransactionId transaction = call.params.required_number("transaction");
    if (auto error = call.params.error()) return answer(call.client, call.id, *error);
    if (auto aborted = generations_.abort(call.client, transaction); !aborted)
        return answer(call.client, call.id, rpc_error(aborted.error()));
    answer(call.client, call.id, json{{"aborted", transaction}});
}

void Service::close_gate(Call call) {
    json gate = json::object();
    for (const char* field : {"id", "target", "target_id", "reason", "clause", "notice", "from", "until"})
        if (auto text = call.params.text(field)) gate[field] = std::move(*text);
    if (auto error = call.params.error()) return answer(call.client, call.id, *error);
    generations_.close_gate(call.peer, gate, later<Outcome<GateMoved>>(call, [](const GateMoved& moved) -> Result {
                                json result = {{"closed", moved.id}, {"durable", moved.durable}};
                                if (!moved.durable) result["warning"] = moved.words;
                                return result;
                            }));
}

void Service::open_gate(Call call) {
    const std::string id = call.params.required_text("id");
    if (auto error = call.params.error()) return answer(call.client, call.id, *error);
    generations_.open_gate(call.peer, id, later<Outcome<GateMoved>>(call, [](const GateMoved& moved) -> Result {
                               return json{{"opened", moved.id}};
                           }));
}

}  // namespace sekisho::control
