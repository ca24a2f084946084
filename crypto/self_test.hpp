// What an engine passes before it may touch a packet: the known answers (known_answers.hpp), and comparison with
// another.
//
// Every answer both ways, in one batch and one by one; and a tag with one wrong bit must be refused. Once an engine, at
// start, on the thread that makes it; the comparison once a process. prove() is what make_engine() asks.
#pragma once

#include "crypto/aead.hpp"

namespace sekisho::crypto {

// Error: unavailable, naming the vector and what was wrong. An engine that fails must not be used.
Expected<void> self_test(AeadEngine& engine, KeyStore& store);

// Every length to kCompared, with both suites, a key and an AAD for each: what `engine` seals must be what `other`
// seals, and open again. For engines whose code differs by length. A few milliseconds. Error: unavailable, naming the
// length; or what the key store says.
inline constexpr std::size_t kCompared = 800;  // bytes: all ways through gcm_kernel.hpp, three groups and their rests
Expected<void> compare(AeadEngine& engine, AeadEngine& other);

// Whether the engine may be let out: by the known answers, and, if its kind is vaes, beside OpenSSL, once a process for
// each description. Error: as above, with the engine's description before it.
Expected<void> prove(AeadEngine& engine);

}  // namespace sekisho::crypto
