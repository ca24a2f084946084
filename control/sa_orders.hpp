// What is asked of SAs over the control socket: the parameters of sa.install, sa.rekey, sa.switch and sa.remove, read.
//
// Keys are in the request's Secrets already (control/key_text.hpp); an order points to its own. Whether an order fits
// the policy and what is installed is control/sas' business. Pure; control thread.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "crypto/ledger.hpp"
#include "crypto/lifetime.hpp"
#include "net/expected.hpp"
#include "net/ids.hpp"
#include "net/secret.hpp"

namespace sekisho::control {

struct SaOrder {
    struct Half {
        Spi spi;
        Secret key;  // the AES key and then the salt
    };
    std::string place;  // `sas[3] tunnel "kita-esp"`, for errors
    std::string tunnel;
    std::optional<Half> inbound;
    std::optional<Half> outbound;
    std::optional<std::string> suite;  // as told; the tunnel's counts
    std::optional<crypto::KeyOrigin> origin;
    std::optional<crypto::WallTime> created;
    crypto::LifetimeLimits lifetimes;  // 0: the tunnel's
    std::string label;                 // what the SAs are to whoever installed them; "" for nothing
};

// A tunnel, and which of its SAs is meant.
struct SaName {
    std::string place;
    std::string tunnel;
    std::optional<Spi> inbound;
    std::optional<Spi> outbound;
};

// {"sas": [...]}'s value. Errors: invalid, with the place: no array, or an empty one; an unknown field; a key that is
// no hexadecimal text; a number that is none.
Expected<std::vector<SaOrder>> read_orders(const nlohmann::json& sas, std::vector<Secret>& keys);
Expected<std::vector<SaName>> read_names(const nlohmann::json& sas);

}  // namespace sekisho::control
