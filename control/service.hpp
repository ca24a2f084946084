// The methods of the control socket: reads requests from the server's lines, asks generations and node, answers.
//
// docs/control-socket.md documents each. What takes long is answered when it is done, by id; meanwhile other requests
// and other clients are served. Loop's thread only.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "control/generations.hpp"
#include "control/node.hpp"
#include "control/params.hpp"
#include "control/show_policy.hpp"
#include "control/socket_server.hpp"

namespace sekisho::control {

inline constexpr int kProtocolVersion = 1;  // raised when a client of the old one would misunderstand

class Service {
  public:
    // Serves at `path` until it is destroyed; the others outlive it.
    static Expected<std::unique_ptr<Service>> start(EventLoop& loop, const std::string& path, Generations& generations,
                                                    Node& node, const std::string& version, ServerLimits limits = {});
    Service(const Service&) = delete;
    Service& operator=(const Service&) = delete;

    std::size_t clients() const noexcept { return server_->clients(); }

  private:
    struct Call {
        ClientId client;
        Peer peer;
        std::optional<nlohmann::json> id;  // none: answered to nobody
        Params params;
    };
    using Method = std::function<void(Call)>;

    Service(Generations& generations, Node& node, std::string version);
    void add_methods();
    void take_line(ClientId client, const Peer& peer, const std::string& line);
    void answer(ClientId client, const std::optional<nlohmann::json>& id, const Result& result);
    // Answers a call that is done later: keeps the client until then.
    template <class Done, class Write>
    std::function<void(Done)> later(const Call& call, Write write);

    void begin(Call call);
    void batch(Call call);
    void diff(Call call);
    void commit(Call call);
    void abort(Call call);

    Generations& generations_;
    Node& node_;
    std::string version_;
    std::map<std::string, Method, std::less<>> methods_;
    std::unique_ptr<SocketServer> server_;
};

}  // namespace sekisho::control
