// JSON-RPC 2.0 as the control socket speaks it: lines read as requests, answers written as lines.
//
// It knows no method and no socket. Stricter than the standard where looseness could hide a mistake: batches (arrays of
// requests) are refused, parameters are given by name, an id is a string, a whole number or null. Values only; any
// thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include <nlohmann/json.hpp>

#include "net/expected.hpp"

namespace sekisho::control {

// The error codes, X(name, number, sentence): below zero the standard's own, above zero ours.
#define SEKISHO_RPC_ERRORS(X)                                                          \
    X(parse_error, -32700, "the line is not JSON, or is longer than a message may be") \
    X(invalid_request, -32600, "the line is JSON, but no JSON-RPC 2.0 request")        \
    X(method_not_found, -32601, "there is no such method")                             \
    X(invalid_params, -32602, "a parameter is missing, unknown, or of the wrong type") \
    X(internal_error, -32603, "a fault of the daemon itself; its log says more")       \
    X(invalid, 1, "what was given is malformed or contradicts itself")                 \
    X(not_found, 2, "what was named does not exist")                                   \
    X(exists, 3, "what was to be made exists already")                                 \
    X(unsupported, 4, "the schema names it, this node cannot do it yet")               \
    X(limit, 5, "a size or a budget would be exceeded")                                \
    X(permission, 6, "the asker may not do this")                                      \
    X(unavailable, 7, "the system did not give what was needed")                       \
    X(conflict, 8, "another commit came between the transaction's begin and its commit")

enum class RpcErrorCode : std::int32_t {
#define SEKISHO_RPC_ERROR_NAME(name, number, sentence) name = (number),
    SEKISHO_RPC_ERRORS(SEKISHO_RPC_ERROR_NAME)
#undef SEKISHO_RPC_ERROR_NAME
};
std::string_view name_of(RpcErrorCode code) noexcept;  // "unknown" for a number that is none of them
RpcErrorCode code_of(ErrorCode code) noexcept;

struct RpcError {
    RpcErrorCode code = RpcErrorCode::internal_error;
    std::string message;
    nlohmann::json data = nlohmann::json::object();  // further members of "data", beside the name of the code
};
RpcError rpc_error(const Error& error);

struct Request {
    std::string method;
    nlohmann::json params;             // an object, empty when there were none
    std::optional<nlohmann::json> id;  // nullopt: a notification, which is never answered
};

// A refused line, with what to answer it by.
struct Refusal {
    nlohmann::json id;  // null when it could not be read
    RpcError error;
};

std::variant<Request, Refusal> parse_request(std::string_view line);

// JSON that is text already: what is large and was text before is not made a tree to be made text again.
struct JsonText {
    std::string text;
};

// Lines to send, their newline included.
std::string request_line(std::uint64_t id, std::string_view method, const nlohmann::json& params);
std::string notification_line(std::string_view method, const nlohmann::json& params);
std::string result_line(const nlohmann::json& id, const nlohmann::json& result);
std::string result_line(const nlohmann::json& id, const JsonText& result);
std::string error_line(const nlohmann::json& id, const RpcError& error);

}  // namespace sekisho::control
