// The methods of the control socket: reads requests from the server's lines, asks generations and node, answers.
//
// docs/control-socket.md documents each. What takes long is answered when it is done, by id; meanwhile other requests
// and other clients are served. Loop's thread only.
#pragma once

#include <bitset>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "control/events.hpp"
#include "control/generations.hpp"
#include "control/node.hpp"
#include "control/node_watch.hpp"
#include "control/params.hpp"
#include "control/resting_node.hpp"
#include "control/roles.hpp"
#include "control/sas.hpp"
#include "control/sessions.hpp"
#include "control/show_policy.hpp"
#include "control/socket_server.hpp"
#include "control/socket_witness.hpp"
#include "control/translation_log.hpp"

namespace sekisho::control {

inline constexpr int kProtocolVersion = 1;  // raised when a client of the old one would misunderstand

class Service {
  public:
    struct Place {
        std::string path;            // of the socket
        std::optional<gid_t> group;  // whose the socket is; the daemon's when there is none
        Roles roles;
        ServerLimits limits;
    };
    struct Security {
        Sas& sas;
        LedgerThread& ledger;
        SocketWitness& witness;
        TranslationLog& translations;
    };
    // Serves at its place until it is destroyed; the others outlive it.
    static Expected<std::unique_ptr<Service>> start(EventLoop& loop, Place place, Generations& generations, Node& node,
                                                    Events& events, const std::string& version, Security security);
    Service(const Service&) = delete;
    Service& operator=(const Service&) = delete;
    ~Service();

    std::size_t clients() const noexcept { return server_->clients(); }

  private:
    struct Call {
        ClientId client;
        const Peer& peer;
        std::optional<nlohmann::json> id;  // none: answered to nobody
        Params params;
        std::vector<Secret> keys;  // of the request
    };
    using Method = std::function<void(Call)>;

    struct Listener {
        std::bitset<kEventKinds.size()> kinds;
        std::uint64_t lost = 0;  // since the last that was sent
    };

    Service(Generations& generations, Node& node, Events& events, std::string version, Roles roles, Security security);
    void add_methods();
    void add_generation_methods();   // control/service_generations.cpp
    void add_session_methods();      // control/service_sessions.cpp
    void add_translation_methods();  // control/service_translations.cpp
    void who(Call call);
    void show_rows(Call call);  // control/service_rows.cpp
    void take_line(ClientId client, const Peer& peer, WipedText& line);
    // Nothing, or why the peer may not call it so.
    std::optional<RpcError> refusal(const MethodRow& method, const Peer& peer, const nlohmann::json& params);
    void answer(ClientId client, const std::optional<nlohmann::json>& id, const Result& result);
    // Answers a call that is done later: keeps the client until then.
    template <class Done, class Write>
    std::function<void(Done)> later(const Call& call, Write write) {
        server_->expect_answer(call.client);
        return [this, client = call.client, id = call.id, write](Done done) {
            if (const auto* refused = std::get_if<Refused>(&done))
                answer(client, id, error_of(*refused));
            else
                answer(client, id, write(std::get<0>(done)));
            server_->answered(client);
        };
    }
    static RpcError error_of(const Refused& refused);

    void begin(Call call);
    void batch(Call call);
    void diff(Call call);
    void commit(Call call);
    void rollback(Call call);
    void abort(Call call);
    void close_gate(Call call);
    void open_gate(Call call);

    // control/service_sas.cpp.
    void add_sa_methods();
    void install(Call call, Sas::Use use);
    Answer<nlohmann::json> told_later(const Call& call);

    // The event stream: control/service_events.cpp.
    void events(Call call);
    void pass_on(const Event& event);
    void stop_listening(ClientId client);

    Generations& generations_;
    RestingNode node_;
    Events& events_;
    std::string version_;
    Roles roles_;
    Security security_;
    std::map<std::string, Method, std::less<>> methods_;
    std::map<ClientId, Listener> listeners_;
    std::unique_ptr<Sessions> sessions_;
    std::unique_ptr<NodeWatch> watch_;
    std::unique_ptr<SocketServer> server_;
};

}  // namespace sekisho::control
