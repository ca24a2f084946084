// Who remembers the ledger outside the node, so that a machine put back to an earlier day is found out.
//
// An interface: the policy store's agent answers it, tests answer it themselves. Called from the ledger's thread, and
// may block there; no worker waits for it.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "crypto/ledger_file.hpp"

namespace sekisho::crypto {

class Witness {
  public:
    virtual ~Witness() = default;

    // The last epoch recorded for this ledger; nullopt: never heard of it. Error: cannot say now.
    virtual Expected<std::optional<LedgerEpoch>> epoch_of(const LedgerId& ledger) = 0;
    // Recorded for good when it returns without an error. Epochs of a ledger only rise: a lower one is an error, and so
    // is the same number with another mark, which only a clone of the ledger can have.
    virtual Expected<void> record(const LedgerId& ledger, const LedgerEpoch& epoch) = 0;
    // These keys are used by this ledger's node. Error: exists, naming the fingerprint, when another ledger claimed one
    // before; then none is claimed.
    virtual Expected<void> claim(const LedgerId& ledger, std::span<const Fingerprint> keys) = 0;

  protected:
    Witness() = default;
    Witness(const Witness&) = delete;
    Witness& operator=(const Witness&) = delete;
};

}  // namespace sekisho::crypto
