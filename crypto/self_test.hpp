// The known-answer test that an engine passes before it may touch a packet (known_answers.hpp).
//
// Every answer both ways, in one batch and one by one; and a tag with one wrong bit must be refused. Once an engine, at
// start, on the thread that makes it.
#pragma once

#include "crypto/aead.hpp"

namespace sekisho::crypto {

// Error: unavailable, naming the vector and what was wrong. An engine that fails must not be used.
Expected<void> self_test(AeadEngine& engine, KeyStore& store);

}  // namespace sekisho::crypto
