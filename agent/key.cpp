#include "agent/key.hpp"

#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "control/json.hpp"
#include "control/place.hpp"
#include "net/prefix.hpp"

namespace sekisho::agent {

using control::in_quotes;
using control::Kind;
using nlohmann::json;

namespace {

constexpr std::string_view kNodes = "nodes";
constexpr std::string_view kSignatures = "signatures";
// A message on the control socket has a mebibyte at most; what is around the object is short.
constexpr std::size_t kMostBytes = (std::size_t{1} << 20) - 512;

Expected<std::string> text_of(const json& object, const char* field) {
    const auto found = object.find(field);
    if (found == object.end()) return Error{ErrorCode::invalid, fmt::format(".{}: is missing", field)};
    if (!found->is_string()) return Error{ErrorCode::invalid, fmt::format(".{}: text is expected", field)};
    return found->get<std::string>();
}

// The id that the object itself gives: the daemon will know it by that.
Expected<std::string> own_id(const PolicyKey& key, const json& object) {
    if (key.of != PolicyKey::Of::object || key.kind != Kind::routes) return text_of(object, "id");
    auto operator_id = text_of(object, "operator");
    if (!operator_id) return operator_id;
    const auto written = text_of(object, "prefix");
    if (!written) return written;
    const auto prefix = IpPrefix::parse(*written);
    if (!prefix) return Error{ErrorCode::invalid, fmt::format(".prefix: {} is not a prefix", in_quotes(*written))};
    return *operator_id + " " + prefix->text();
}

}  // namespace

Expected<PolicyKey> parse_key(std::string_view key) {
    if (key == "hold") return PolicyKey{PolicyKey::Of::hold, Kind::hub, {}};
    const std::size_t slash = key.find('/');
    const std::string_view folder = key.substr(0, slash);
    const auto kind = control::kind_named(folder);
    if (!kind && folder != kNodes && folder != kSignatures)
        return Error{ErrorCode::invalid, in_quotes(folder) + " is not a kind of object that this version knows"};
    if (kind == Kind::hub) {
        if (slash != std::string_view::npos) return Error{ErrorCode::invalid, "the hub is one object: \"hub\""};
        return PolicyKey{PolicyKey::Of::object, Kind::hub, {}};
    }
    std::string id(slash == std::string_view::npos ? "" : key.substr(slash + 1));
    if (id.empty()) return Error{ErrorCode::invalid, "the object's name is missing after " + in_quotes(folder)};
    if (folder == kSignatures) return PolicyKey{PolicyKey::Of::signature, Kind::hub, std::move(id)};
    if (!kind) return PolicyKey{PolicyKey::Of::node, Kind::hub, std::move(id)};
    if (kind == Kind::routes) {
        const std::size_t after = id.find('/');
        if (after == std::string::npos)
            return Error{ErrorCode::invalid, "a route is routes/OPERATOR/PREFIX, as in routes/kita/10.1.0.0/16"};
        id[after] = ' ';
    }
    return PolicyKey{PolicyKey::Of::object, *kind, std::move(id)};
}

std::string key_of(Kind kind, std::string_view id) {
    if (kind == Kind::hub) return "hub";
    std::string key = fmt::format("{}/{}", name_of(kind), id);
    if (kind == Kind::routes) std::replace(key.begin(), key.end(), ' ', '/');
    return key;
}

std::string policy_prefix(std::string_view cluster) {
    return fmt::format("/sekisho/{}/policy/", cluster);
}

std::string state_prefix(std::string_view cluster) {
    return fmt::format("/sekisho/{}/state/", cluster);
}

std::string ledger_key(std::string_view cluster, std::string_view node) {
    return fmt::format("/sekisho/{}/ledgers/{}", cluster, node);
}

std::string claims_prefix(std::string_view cluster) {
    return fmt::format("/sekisho/{}/claims/", cluster);
}

std::string keys_prefix(std::string_view cluster, std::string_view node) {
    return fmt::format("/sekisho/{}/keys/{}/", cluster, node);
}

Expected<json> object_at(const PolicyKey& key, std::string_view value) {
    if (value.size() > kMostBytes)
        return Error{ErrorCode::limit,
                     fmt::format("has {} bytes; at most {} are taken of an object", value.size(), kMostBytes)};
    auto object = control::parse_json(value);
    if (!object) return object.error();
    if (!object->is_object()) return Error{ErrorCode::invalid, "a JSON object is expected"};
    if (key.of == PolicyKey::Of::object && key.kind == Kind::hub) return object;
    const auto id = own_id(key, *object);
    if (!id) return id.error();
    if (*id != key.id)
        return Error{ErrorCode::invalid,
                     fmt::format("{}: {} is not what the key says, {}", key.kind == Kind::routes ? ".prefix" : ".id",
                                 in_quotes(*id), in_quotes(key.id))};
    return object;
}

}  // namespace sekisho::agent
