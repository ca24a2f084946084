#include "control/client.hpp"

#include <array>
#include <cerrno>
#include <cstring>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <fmt/format.h>

#include "control/json.hpp"
#include "control/unix_socket.hpp"

namespace sekisho::control {

namespace {

using nlohmann::json;

constexpr std::size_t kLongestAnswer = std::size_t{64} << 20;  // far over what the daemon sends

}  // namespace

Client::Client(std::string path, FileDescriptor socket)
    : path_(std::move(path)), socket_(std::move(socket)), input_(kLongestAnswer) {}

Expected<Client> Client::connect(const std::string& path) {
    auto socket = connect_to(path);
    if (!socket) return socket.error();
    return Client(path, std::move(*socket));
}

void Client::wait_at_most(std::chrono::seconds longest) {
    const timeval limit{static_cast<time_t>(longest.count()), 0};
    ::setsockopt(socket_.number(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
}

Client::Lost Client::lost(const std::string& words) const {
    return {fmt::format("control socket {}: {}", path_, words)};
}

Client::Answer Client::call(const std::string& method, const json& params) {
    return answer_to(ask(method, params.dump(-1, ' ', false, json::error_handler_t::replace)));
}

std::uint64_t Client::ask(const std::string& method, std::string_view params) {
    const std::uint64_t id = next_id_++;
    // What cannot be sent is not sent: the daemon may have said why before it closed, and answer_to() finds out.
    (void)(send(fmt::format(R"({{"jsonrpc":"2.0","id":{},"method":{},"params":)", id, json(method).dump())) &&
           send(params) && send("}\n"));
    return id;
}

bool Client::send(std::string_view part) {
    while (!part.empty()) {
        const ssize_t step = ::send(socket_.number(), part.data(), part.size(), MSG_NOSIGNAL);
        if (step < 0 && errno == EINTR) continue;
        if (step < 0) return false;
        part.remove_prefix(static_cast<std::size_t>(step));
    }
    return true;
}

std::optional<Client::Lost> Client::read_some() {
    std::array<char, 64 * 1024> bytes;
    for (;;) {
        const ssize_t got = ::recv(socket_.number(), bytes.data(), bytes.size(), 0);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return lost("no answer in time");
        if (got < 0) return lost(std::strerror(errno));
        if (got == 0) return lost("the daemon closed the connection before it answered");
        input_.feed({bytes.data(), static_cast<std::size_t>(got)});
        return std::nullopt;
    }
}

Client::Answer Client::answer_to(std::uint64_t id) {
    for (;;) {
        while (auto answer = input_.next()) {
            if (answer->oversize) return lost("an answer longer than any should be");
            auto message = parse_json(answer->text);
            if (!message || !message->is_object()) return lost("an answer that is no JSON-RPC");
            if (message->contains("method")) {
                notifications_.push_back(std::move((*message)["params"]));
                continue;
            }
            const json answered = message->value("id", json());
            if (const auto error = message->find("error"); error != message->end() && error->is_object()) {
                // A null id: the daemon could not read a request of ours.
                if (!answered.is_null() && answered != id) continue;
                return RpcError{static_cast<RpcErrorCode>(error->value("code", 0)), error->value("message", ""),
                                error->value("data", json::object())};
            }
            if (answered == id && message->contains("result")) return std::move((*message)["result"]);
        }
        if (auto gone = read_some()) return *gone;
    }
}

bool Client::has_come(std::chrono::milliseconds longest) {
    // What came with an answer was read, and is no news to the socket.
    while (auto line = input_.next()) {
        auto message = line->oversize ? Expected<json>(Error()) : parse_json(line->text);
        if (message && message->is_object() && message->contains("method"))
            notifications_.push_back(std::move((*message)["params"]));
    }
    if (!notifications_.empty()) return true;
    pollfd waiting{socket_.number(), POLLIN, 0};
    return ::poll(&waiting, 1, static_cast<int>(longest.count())) > 0;
}

Client::Answer Client::next_notification() {
    for (;;) {
        if (!notifications_.empty()) {
            json first = std::move(notifications_.front());
            notifications_.pop_front();
            return first;
        }
        while (auto line = input_.next()) {
            if (line->oversize) return lost("a message longer than any should be");
            auto message = parse_json(line->text);
            if (!message || !message->is_object()) return lost("a message that is no JSON-RPC");
            if (message->contains("method")) return std::move((*message)["params"]);
        }
        if (auto gone = read_some()) return *gone;
    }
}

}  // namespace sekisho::control
