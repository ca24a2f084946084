// The choice of engine, and the door that only proven ones come through.
#include "crypto/aead.hpp"

#include "crypto/engines.hpp"
#include "crypto/self_test.hpp"

namespace sekisho::crypto {

std::size_t prepared_bytes(EngineKind kind) noexcept {
    return kind == EngineKind::ipsec_mb ? ipsec_mb_prepared_bytes() : openssl_prepared_bytes();
}

Expected<std::unique_ptr<AeadEngine>> make_engine(EngineKind kind) {
    auto engine = kind == EngineKind::ipsec_mb ? make_ipsec_mb_engine() : make_openssl_engine();
    if (!engine) return engine.error();
    KeyStore store(prepared_bytes(kind));
    if (auto passed = self_test(**engine, store); !passed) return passed.error().at((*engine)->description());
    return engine;
}

Expected<void> check_key_length(Suite suite, std::size_t length) {
    if (length == text_of(suite).key_length) return {};
    return Error{ErrorCode::invalid, std::string(name_of(suite)) + " takes a key of " +
                                         std::to_string(text_of(suite).key_length) + " bytes, not of " +
                                         std::to_string(length)};
}

}  // namespace sekisho::crypto
