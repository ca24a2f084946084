// The choice of engine, and the door that only proven ones come through.
#include "crypto/aead.hpp"

#include <string>

#include "crypto/engines.hpp"
#include "crypto/self_test.hpp"

namespace sekisho::crypto {

namespace {

struct Engine {  // by EngineKind
    std::size_t (*prepared_bytes)() noexcept;
    Expected<std::unique_ptr<AeadEngine>> (*make)();
};
constexpr std::array<Engine, kEngineKinds.size()> kEngines = {{
    {vaes_prepared_bytes, make_vaes_engine},
    {ipsec_mb_prepared_bytes, make_ipsec_mb_engine},
    {openssl_prepared_bytes, make_openssl_engine},
}};
constexpr const Engine& row_of(EngineKind kind) noexcept {
    return kEngines[static_cast<std::size_t>(kind)];
}

}  // namespace

std::span<const EngineKind> engines_here() noexcept {
    static_assert(kEngineKinds.front() == EngineKind::vaes);
    return std::span(kEngineKinds).subspan(vaes_runs_here() ? 0 : 1);
}

std::size_t prepared_bytes(EngineKind kind) noexcept {
    return row_of(kind).prepared_bytes();
}

Expected<std::unique_ptr<AeadEngine>> make_engine(EngineKind kind) {
    auto engine = row_of(kind).make();
    if (!engine) return engine.error();
    if (auto proven = prove(**engine); !proven) return proven.error();
    return engine;
}

Expected<KeySlot> slot_for(EngineKind kind, Suite suite, std::span<const std::uint8_t> key, KeyStore& store) {
    if (auto fine = check_key_length(suite, key.size()); !fine) return fine.error();
    if (store.slot_bytes() < prepared_bytes(kind))
        return Error{ErrorCode::invalid, "the key store's slots are too small for " + std::string(name_of(kind))};
    return store.take();
}

Expected<void> check_key_length(Suite suite, std::size_t length) {
    if (length == text_of(suite).key_length) return {};
    return Error{ErrorCode::invalid, std::string(name_of(suite)) + " takes a key of " +
                                         std::to_string(text_of(suite).key_length) + " bytes, not of " +
                                         std::to_string(length)};
}

}  // namespace sekisho::crypto
