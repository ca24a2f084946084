// SAs in the store: a tunnel's, for one node, with their keys sealed for it (docs/store.md).
//
// {"node": "hub-1", "tunnel": "kita-esp", "created": "...", "from": "...", "inbound": {"spi": 4096}, "outbound":
// {"spi": 4097}, "wrapped": "..."} below keys/NODE/, under TUNNEL/NAME. What is wrapped is the inbound key and then the
// outbound one, each as sa.install takes it, bound to all the rest of the object. Values only; any thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/hpke.hpp"
#include "control/wiped_text.hpp"

namespace sekisho::agent {

// What a node unwraps with: its own key, and those of who may give it keys.
struct UnwrapKeys {
    HpkeKey own;
    std::vector<HpkeKey> from;
};

struct WrappedSa {
    std::string name;  // "kita-esp/4096"
    std::int64_t revision = 0;
    std::string tunnel;
    // When its outbound SA is to be sealed with, in place of another; the beginning of time if that is not said.
    std::chrono::system_clock::time_point from{};
    std::optional<std::uint32_t> inbound, outbound;  // SPIs
    std::string value;                               // as the store has it
    // What its SAs are called on the node: who finds them there knows which object they are of, and of which content.
    std::string label;
};

// Errors name the field.
Expected<WrappedSa> read_wrapped(const std::string& node, const std::string& name, std::int64_t revision,
                                 std::string value);

// Adds what sa.install takes of this, keys and all: an element of `sas`, JSON. Without `inbound` or `outbound`, that
// half is left out. Error permission: not wrapped for this node by somebody it knows, or changed since.
struct Halves {
    bool inbound = true, outbound = true;
};
Expected<void> unwrap(const WrappedSa& sa, const UnwrapKeys& keys, Halves halves, control::WipedText& into);

// The other way, for whoever makes keys: an element of `sas` as sa.install takes it, with marks for its keys
// (control/key_text.hpp), becomes an object of the store. `from` may be among its members.
struct StoreObject {
    std::string name;   // TUNNEL/SPI
    std::string value;  // JSON
};
Expected<StoreObject> wrap(const std::string& node, const std::string& order_text, const std::vector<Secret>& keys,
                           const HpkeKey& own, const HpkeKey& to);

}  // namespace sekisho::agent
