// The CLI's side of the conversation: asking, pages, and errors in the two forms, for people and for programs.
#include <cstdio>

#include <fmt/format.h>

#include "control/sekishoctl.hpp"

namespace sekisho::control::cli {

using nlohmann::json;

namespace {

constexpr int kTries = 5;  // of a list while generations change

int print_error(const Options& options, int exit_code, int code, std::string_view name, const std::string& words,
                json data) {
    if (options.json) {
        data["name"] = name;
        fmt::print(stderr, "{}\n",
                   json{{"error", {{"code", code}, {"message", words}, {"data", std::move(data)}}}}.dump(
                       -1, ' ', false, json::error_handler_t::replace));
        return exit_code;
    }
    fmt::print(stderr, "sekishoctl: {}\n", words);
    if (const auto errors = data.find("errors"); errors != data.end() && errors->is_array())
        for (const json& error : *errors)
            if (error.is_string()) fmt::print(stderr, "  {}\n", error.get_ref<const std::string&>());
    return exit_code;
}

}  // namespace

int fail(const Options& options, const RpcError& error) {
    return print_error(options, kRefused, static_cast<int>(error.code), name_of(error.code), error.message, error.data);
}

int fail(const Options& options, const Client::Lost& lost) {
    return print_error(options, kUnreachable, static_cast<int>(RpcErrorCode::unavailable), "unreachable", lost.words,
                       json::object());
}

int fail(const Options& options, const Error& error) {
    return fail(options, rpc_error(error));
}

void print(const json& result) {
    fmt::print("{}\n", result.dump(2, ' ', false, json::error_handler_t::replace));
}

std::string word(const json& item, const char* name) {
    const json value = item.value(name, json());
    return value.is_string() ? value.get<std::string>() : value.is_null() ? "-" : value.dump();
}

std::optional<json> Daemon::call(const std::string& method, const json& params) {
    if (!client_) {
        auto connected = Client::connect(options_.socket);
        if (!connected) {
            exit_code_ = fail(options_, Client::Lost{connected.error().words});
            return std::nullopt;
        }
        client_.emplace(std::move(*connected));
    }
    auto answer = client_->call(method, params);
    if (auto* result = std::get_if<json>(&answer)) return std::move(*result);
    if (const auto* error = std::get_if<RpcError>(&answer))
        exit_code_ = fail(options_, *error);
    else
        exit_code_ = fail(options_, std::get<Client::Lost>(answer));
    return std::nullopt;
}

std::optional<json> Daemon::next_notification() {
    auto answer = client_->next_notification();
    if (auto* params = std::get_if<json>(&answer)) return std::move(*params);
    exit_code_ = fail(options_, std::get<Client::Lost>(answer));
    return std::nullopt;
}

std::optional<json> Daemon::call_pages(const std::string& method, json params, const std::string& items_name) {
    for (int tries = 0; tries < kTries; ++tries) {
        json all;
        json page_params = params;
        for (;;) {
            auto page = call(method, page_params);
            if (!page) return std::nullopt;
            if (all.is_null()) {
                all = *page;
                all.erase("next");
            } else if (page->value("generation", 0) != all.value("generation", 0)) {
                break;  // a commit came between two pages
            } else {
                for (json& item : (*page)[items_name]) all[items_name].push_back(std::move(item));
            }
            const json next = page->value("next", json());
            if (next.is_null()) return all;
            page_params["after"] = next;
        }
    }
    exit_code_ = fail(options_, Error{ErrorCode::unavailable,
                                      "the generation changed while the list was read, time "
                                      "and again"});
    return std::nullopt;
}

}  // namespace sekisho::control::cli
