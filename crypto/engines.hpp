// The engines as they are before their known-answer test: for aead.cpp and self_test.cpp alone.
#pragma once

#include <memory>

#include "crypto/aead.hpp"

namespace sekisho::crypto {

// Where a key of this kind will lie, if it is as long as the suite's. Errors as AeadEngine::prepare()'s.
Expected<KeySlot> slot_for(EngineKind kind, Suite suite, std::span<const std::uint8_t> key, KeyStore& store);

Expected<std::unique_ptr<AeadEngine>> make_vaes_engine();
std::size_t vaes_prepared_bytes() noexcept;
bool vaes_runs_here() noexcept;

Expected<std::unique_ptr<AeadEngine>> make_ipsec_mb_engine();
std::size_t ipsec_mb_prepared_bytes() noexcept;

Expected<std::unique_ptr<AeadEngine>> make_openssl_engine();
std::size_t openssl_prepared_bytes() noexcept;

}  // namespace sekisho::crypto
