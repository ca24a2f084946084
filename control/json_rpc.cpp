#include "control/json_rpc.hpp"

#include "control/json.hpp"

namespace sekisho::control {

namespace {

using nlohmann::json;

bool is_good_id(const json& id) {
    return id.is_string() || id.is_number_integer() || id.is_null();
}

Refusal invalid_request(const json& message, std::string words) {
    Refusal refusal{nullptr, {RpcErrorCode::invalid_request, std::move(words)}};
    if (message.is_object()) {
        const auto id = message.find("id");
        if (id != message.end() && is_good_id(*id)) refusal.id = *id;
    }
    return refusal;
}

// Words that came from outside (a path in an error, say) may hold any bytes: what is no UTF-8 is replaced.
std::string line_of(const json& message) {
    return message.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
}

}  // namespace

std::string_view name_of(RpcErrorCode code) noexcept {
    switch (code) {
#define SEKISHO_RPC_ERROR_CASE(name, number, sentence) \
    case RpcErrorCode::name: return #name;
        SEKISHO_RPC_ERRORS(SEKISHO_RPC_ERROR_CASE)
#undef SEKISHO_RPC_ERROR_CASE
    }
    return "unknown";
}

RpcErrorCode code_of(ErrorCode code) noexcept {
    switch (code) {
        case ErrorCode::invalid: return RpcErrorCode::invalid;
        case ErrorCode::not_found: return RpcErrorCode::not_found;
        case ErrorCode::exists: return RpcErrorCode::exists;
        case ErrorCode::unsupported: return RpcErrorCode::unsupported;
        case ErrorCode::limit: return RpcErrorCode::limit;
        case ErrorCode::permission: return RpcErrorCode::permission;
        case ErrorCode::unavailable: return RpcErrorCode::unavailable;
    }
    return RpcErrorCode::internal_error;
}

RpcError rpc_error(const Error& error) {
    return {code_of(error.code), error.words};
}

std::variant<Request, Refusal> parse_request(std::string_view line) {
    auto parsed = parse_json(line);
    if (!parsed) return Refusal{nullptr, {RpcErrorCode::parse_error, "not JSON: " + parsed.error().words}};
    json& message = *parsed;

    if (message.is_array()) return invalid_request(message, "batches of requests are refused: send one request a line");
    if (!message.is_object()) return invalid_request(message, "a request is an object");
    for (const auto& [name, value] : message.items())
        if (name != "jsonrpc" && name != "id" && name != "method" && name != "params")
            return invalid_request(message, "a request has no member \"" + name + "\"");
    const auto version = message.find("jsonrpc");
    if (version == message.end() || *version != "2.0") return invalid_request(message, "\"jsonrpc\" must be \"2.0\"");
    const auto method = message.find("method");
    if (method == message.end() || !method->is_string()) return invalid_request(message, "\"method\" must be a string");

    Request request;
    if (const auto id = message.find("id"); id != message.end()) {
        if (!is_good_id(*id)) return invalid_request(message, "\"id\" must be a string, a whole number or null");
        request.id = std::move(*id);
    }
    request.method = method->get<std::string>();
    request.params = json::object();
    if (const auto params = message.find("params"); params != message.end()) {
        if (!params->is_object()) {
            // A notification is not answered by the standard, but who writes this by hand should learn of it.
            return Refusal{request.id.value_or(nullptr),
                           {RpcErrorCode::invalid_params, "\"params\" must be an object: parameters go by name"}};
        }
        request.params = std::move(*params);
    }
    return request;
}

std::string request_line(std::uint64_t id, std::string_view method, const json& params) {
    return line_of({{"jsonrpc", "2.0"}, {"id", id}, {"method", method}, {"params", params}});
}

std::string notification_line(std::string_view method, const json& params) {
    return line_of({{"jsonrpc", "2.0"}, {"method", method}, {"params", params}});
}

std::string result_line(const json& id, const json& result) {
    return line_of({{"jsonrpc", "2.0"}, {"id", id}, {"result", result}});
}

std::string result_line(const json& id, const JsonText& result) {
    return R"({"id":)" + id.dump(-1, ' ', false, json::error_handler_t::replace) + R"(,"jsonrpc":"2.0","result":)" +
           result.text + "}\n";
}

std::string error_line(const json& id, const RpcError& error) {
    json data = error.data;
    data["name"] = name_of(error.code);
    return line_of(
        {{"jsonrpc", "2.0"},
         {"id", id},
         {"error",
          {{"code", static_cast<std::int32_t>(error.code)}, {"message", error.message}, {"data", std::move(data)}}}});
}

}  // namespace sekisho::control
