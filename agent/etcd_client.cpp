// gRPC's synchronous calls, each with a deadline. A connection is dropped as soon as it fails.
#include "agent/etcd_client.hpp"

#include <fstream>
#include <grpcpp/grpcpp.h>
#include <iterator>
#include <mutex>

#include <fmt/format.h>

#include "agent/etcd.grpc.pb.h"

namespace sekisho::agent {

namespace pb = etcdserverpb;

namespace {

constexpr int kMostBytes = 32 << 20;  // of one answer; a request to etcd has 1.5 MiB at most, unless configured
// etcd's own limit is one ping in five seconds.
constexpr int kPingEvery = 10'000, kPingWithin = 5'000;  // milliseconds

EtcdError error_of(const grpc::Status& status, const std::string& endpoint) {
    EtcdError error{EtcdFault::other, fmt::format("etcd {}: {}", endpoint, status.error_message())};
    const std::string& message = status.error_message();
    const auto says = [&](const char* words) { return message.find(words) != std::string::npos; };
    switch (status.error_code()) {
        case grpc::StatusCode::UNAVAILABLE:
        case grpc::StatusCode::DEADLINE_EXCEEDED:
        case grpc::StatusCode::CANCELLED: error.fault = EtcdFault::unreachable; break;
        case grpc::StatusCode::PERMISSION_DENIED:
        case grpc::StatusCode::UNAUTHENTICATED: error.fault = EtcdFault::refused; break;
        case grpc::StatusCode::OUT_OF_RANGE:
            if (says("compacted") || says("future revision")) error.fault = EtcdFault::compacted;
            break;
        case grpc::StatusCode::RESOURCE_EXHAUSTED:
            if (says("message larger than max")) error.fault = EtcdFault::too_large;
            break;
        default: break;
    }
    if (status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED)
        error.words = fmt::format("etcd {}: no answer in time", endpoint);
    // What etcd says of a certificate whose name is no user, or of none at all.
    if (says("user name is empty") || says("user name not found") || says("permission denied") ||
        says("invalid auth token"))
        error.fault = EtcdFault::refused;
    return error;
}

Expected<std::string> content_of(const std::string& file) {
    std::ifstream stream(file, std::ios::binary);
    std::string text(std::istreambuf_iterator<char>(stream), {});
    if (!stream || text.empty()) return Error{ErrorCode::unavailable, file + ": cannot be read, or is empty"};
    return text;
}

Expected<std::shared_ptr<grpc::ChannelCredentials>> credentials_of(const EtcdOptions& options) {
    grpc::SslCredentialsOptions ssl;
    const auto read = [](const std::string& file, std::string& into) -> Expected<void> {
        if (file.empty()) return {};
        auto text = content_of(file);
        if (!text) return text.error();
        into = std::move(*text);
        return {};
    };
    if (auto done = read(options.ca_file, ssl.pem_root_certs); !done) return done.error();
    if (auto done = read(options.certificate_file, ssl.pem_cert_chain); !done) return done.error();
    if (auto done = read(options.key_file, ssl.pem_private_key); !done) return done.error();
    return grpc::SslCredentials(ssl);
}

}  // namespace

std::string end_of_prefix(std::string prefix) {
    while (!prefix.empty() && static_cast<unsigned char>(prefix.back()) == 0xff) prefix.pop_back();
    if (prefix.empty()) return std::string(1, '\0');  // etcd: to the end of all keys
    prefix.back() = static_cast<char>(static_cast<unsigned char>(prefix.back()) + 1);
    return prefix;
}

struct EtcdClient::State {
    EtcdOptions options;
    std::mutex mutex;  // of what follows
    std::size_t member = 0;
    std::shared_ptr<grpc::Channel> channel;
    std::vector<grpc::ClientContext*> under_way;
    bool stopped = false;

    struct Connection {
        std::shared_ptr<grpc::Channel> channel;
        std::string endpoint;
    };
    Expected<Connection> connection() {
        const std::lock_guard lock(mutex);
        const std::string& endpoint = options.endpoints[member];
        if (channel) return Connection{channel, endpoint};
        const std::size_t scheme = endpoint.find("://");
        const std::string address = scheme == std::string::npos ? endpoint : endpoint.substr(scheme + 3);
        std::shared_ptr<grpc::ChannelCredentials> credentials;
        if (endpoint.rfind("https://", 0) == 0) {
            auto made = credentials_of(options);
            if (!made) return made.error();
            credentials = std::move(*made);
        } else {
            credentials = grpc::InsecureChannelCredentials();
        }
        grpc::ChannelArguments arguments;
        arguments.SetMaxReceiveMessageSize(kMostBytes);
        arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kPingEvery);
        arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kPingWithin);
        arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
        arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
        arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // a new channel is a new connection
        channel = grpc::CreateCustomChannel(address, credentials, arguments);
        return Connection{channel, endpoint};
    }
    // After a failure on this connection: the next call goes to the next member.
    void dropped(const Connection& connection) {
        const std::lock_guard lock(mutex);
        if (channel != connection.channel) return;
        channel.reset();
        member = (member + 1) % options.endpoints.size();
    }

    // A context that stop() can cancel.
    class Context {
      public:
        Context(State& state, std::chrono::milliseconds life) : state_(state) {
            context_.set_deadline(std::chrono::system_clock::now() + life);
            // A member that has lost its leader says so instead of staying silent.
            context_.AddMetadata("hasleader", "true");
            const std::lock_guard lock(state_.mutex);
            state_.under_way.push_back(&context_);
            if (state_.stopped) context_.TryCancel();
        }
        ~Context() {
            const std::lock_guard lock(state_.mutex);
            std::erase(state_.under_way, &context_);
        }
        Context(const Context&) = delete;
        Context& operator=(const Context&) = delete;
        grpc::ClientContext* get() { return &context_; }

      private:
        State& state_;
        grpc::ClientContext context_;
    };

    // One call; `call(channel, context)` gives its status.
    template <class Call>
    std::optional<EtcdError> ask(const Call& call) {
        auto connected = connection();
        if (!connected) return EtcdError{EtcdFault::refused, connected.error().words};
        Context context(*this, options.answer_within);
        const grpc::Status status = call(connected->channel, context.get());
        if (status.ok()) return std::nullopt;
        EtcdError error = error_of(status, connected->endpoint);
        if (error.fault == EtcdFault::unreachable || error.fault == EtcdFault::refused) dropped(*connected);
        return error;
    }
};

EtcdClient::EtcdClient(EtcdOptions options) : state_(std::make_unique<State>()) {
    state_->options = std::move(options);
}

EtcdClient::~EtcdClient() = default;

EtcdClient::Answer<Page> EtcdClient::range(const std::string& key, const std::string& end, std::int64_t revision,
                                           std::int64_t limit, bool keys_only) {
    pb::RangeRequest request;
    request.set_key(key);
    request.set_range_end(end);
    request.set_revision(revision);
    request.set_limit(limit);
    request.set_keys_only(keys_only);
    pb::RangeResponse response;
    if (auto error = state_->ask([&](const auto& channel, grpc::ClientContext* context) {
            return pb::KV::NewStub(channel)->Range(context, request, &response);
        }))
        return *error;
    Page page{{}, response.more(), response.header().revision(), response.header().cluster_id()};
    page.items.reserve(static_cast<std::size_t>(response.kvs_size()));
    for (pb::KeyValue& item : *response.mutable_kvs())
        page.items.push_back({std::move(*item.mutable_key()), std::move(*item.mutable_value()), item.mod_revision()});
    return page;
}

EtcdClient::Answer<std::int64_t> EtcdClient::transact(const std::vector<Operation>& operations) {
    auto done = transact_if({}, operations);
    if (const auto* error = std::get_if<EtcdError>(&done)) return *error;
    return std::get<Transacted>(done).revision;
}

EtcdClient::Answer<Transacted> EtcdClient::transact_if(const std::vector<Condition>& conditions,
                                                       const std::vector<Operation>& operations) {
    pb::TxnRequest request;
    for (const Condition& condition : conditions) {
        pb::Compare& one = *request.add_compare();
        one.set_target(pb::Compare::MOD);
        one.set_key(condition.key);
        one.set_mod_revision(condition.mod_revision);
        request.add_failure()->mutable_request_range()->set_key(condition.key);
    }
    for (const Operation& operation : operations) {
        pb::RequestOp& one = *request.add_success();
        if (operation.value) {
            one.mutable_request_put()->set_key(operation.key);
            one.mutable_request_put()->set_value(*operation.value);
            one.mutable_request_put()->set_lease(operation.lease);
        } else {
            one.mutable_request_delete_range()->set_key(operation.key);
        }
    }
    pb::TxnResponse response;
    if (auto error = state_->ask([&](const auto& channel, grpc::ClientContext* context) {
            return pb::KV::NewStub(channel)->Txn(context, request, &response);
        }))
        return *error;
    Transacted result{response.succeeded(), response.header().revision(), {}};
    if (result.done) return result;
    for (pb::ResponseOp& one : *response.mutable_responses())
        for (pb::KeyValue& item : *one.mutable_response_range()->mutable_kvs())
            result.there.push_back(
                {std::move(*item.mutable_key()), std::move(*item.mutable_value()), item.mod_revision()});
    return result;
}

EtcdClient::Answer<std::int64_t> EtcdClient::grant_lease(std::chrono::seconds life) {
    pb::LeaseGrantRequest request;
    request.set_ttl(life.count());
    pb::LeaseGrantResponse response;
    if (auto error = state_->ask([&](const auto& channel, grpc::ClientContext* context) {
            return pb::Lease::NewStub(channel)->LeaseGrant(context, request, &response);
        }))
        return *error;
    return response.id();
}

EtcdClient::Answer<bool> EtcdClient::renew_lease(std::int64_t lease) {
    pb::LeaseKeepAliveResponse response;
    bool answered = false;
    if (auto error = state_->ask([&](const auto& channel, grpc::ClientContext* context) {
            auto stub = pb::Lease::NewStub(channel);
            const auto stream = stub->LeaseKeepAlive(context);
            pb::LeaseKeepAliveRequest request;
            request.set_id(lease);
            stream->Write(request);
            stream->WritesDone();
            answered = stream->Read(&response);
            return stream->Finish();
        }))
        return *error;
    if (!answered) return EtcdError{EtcdFault::unreachable, "etcd did not answer a lease's renewal"};
    return response.ttl() > 0;
}

EtcdClient::Answer<bool> EtcdClient::revoke_lease(std::int64_t lease) {
    pb::LeaseRevokeRequest request;
    request.set_id(lease);
    pb::LeaseRevokeResponse response;
    if (auto error = state_->ask([&](const auto& channel, grpc::ClientContext* context) {
            return pb::Lease::NewStub(channel)->LeaseRevoke(context, request, &response);
        }))
        return *error;
    return true;
}

std::optional<EtcdError> EtcdClient::watch(const std::string& prefix, std::int64_t from, std::chrono::milliseconds life,
                                           const std::function<void(WatchChanges)>& tell) {
    auto connected = state_->connection();
    if (!connected) return EtcdError{EtcdFault::refused, connected.error().words};
    const auto ends = std::chrono::steady_clock::now() + life;
    State::Context context(*state_, life);
    auto stub = pb::Watch::NewStub(connected->channel);
    const auto stream = stub->Watch(context.get());

    pb::WatchRequest request;
    pb::WatchCreateRequest& create = *request.mutable_create_request();
    create.set_key(prefix);
    create.set_range_end(end_of_prefix(prefix));
    create.set_start_revision(from);
    create.set_progress_notify(true);
    create.set_fragment(true);
    std::optional<EtcdError> cancelled;
    WatchChanges gathered;
    if (stream->Write(request)) {
        pb::WatchResponse response;
        while (!cancelled && stream->Read(&response)) {
            if (response.compact_revision() != 0) {
                cancelled = EtcdError{EtcdFault::compacted,
                                      fmt::format("etcd {}: revision {} was compacted", connected->endpoint, from)};
            } else if (response.canceled()) {
                cancelled =
                    error_of(grpc::Status(grpc::StatusCode::UNKNOWN, response.cancel_reason()), connected->endpoint);
            } else if (response.created()) {
                // A member that is behind catches up; a store that was put back to an earlier state does not, and what
                // it tells is not what follows ours.
                std::int64_t newest = response.header().revision();
                if (newest + 1 < from) {
                    const auto page = range(prefix, "", 0, 1, true);
                    if (const auto* error = std::get_if<EtcdError>(&page))
                        cancelled = *error;
                    else
                        newest = std::get<Page>(page).revision;
                }
                if (!cancelled && newest + 1 < from)
                    cancelled =
                        EtcdError{EtcdFault::compacted, fmt::format("etcd {}: is at revision {} and was at {} before",
                                                                    connected->endpoint, newest, from - 1)};
                else if (!cancelled)
                    tell({from - 1, {}});
            } else {
                for (pb::Event& event : *response.mutable_events()) {
                    pb::KeyValue& item = *event.mutable_kv();
                    std::optional<std::string> value;
                    if (event.type() == pb::Event::PUT) value = std::move(*item.mutable_value());
                    gathered.revision = item.mod_revision();
                    gathered.changes.push_back({std::move(*item.mutable_key()), std::move(value), item.mod_revision()});
                }
                if (response.fragment()) continue;  // the rest of these revisions is still to come
                // Word of progress has no events; its revision is safe, because etcd sends it in order with them.
                if (response.events_size() == 0 && gathered.changes.empty())
                    gathered.revision = response.header().revision();
                tell(std::exchange(gathered, WatchChanges()));
            }
            response.Clear();
        }
    }
    context.get()->TryCancel();
    const grpc::Status status = stream->Finish();
    if (cancelled) {
        if (cancelled->fault != EtcdFault::compacted) state_->dropped(*connected);
        return cancelled;
    }
    state_->dropped(*connected);  // a new watch has a new connection, with the certificates as they are then
    if (std::chrono::steady_clock::now() >= ends) return std::nullopt;
    {
        const std::lock_guard lock(state_->mutex);
        if (state_->stopped) return std::nullopt;
    }
    return error_of(status, connected->endpoint);
}

void EtcdClient::stop() {
    const std::lock_guard lock(state_->mutex);
    state_->stopped = true;
    for (grpc::ClientContext* context : state_->under_way) context->TryCancel();
}

std::string EtcdClient::endpoint() const {
    const std::lock_guard lock(state_->mutex);
    return state_->options.endpoints[state_->member];
}

}  // namespace sekisho::agent
