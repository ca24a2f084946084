// The state directory: the last good generation's document, and the gates closed by hand, kept over restarts.
//
// save() is durable before it returns (written beside, fsync, renamed, directory fsync), so a crash leaves the old
// generation or the new one and never half of one; load() checks length and CRC-32 and refuses a damaged file instead
// of guessing. One daemon a directory, held by a lock. The compiler thread saves generations and the
// recorder gates; the control thread loads before that.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "net/expected.hpp"
#include "net/file_descriptor.hpp"

namespace sekisho::control {

class StateStore {
  public:
    struct Saved {
        std::uint64_t generation = 0;
        std::string committed;  // time of the commit, Japan time
        std::string document;   // JSON text
        std::string label;      // of the generation; "" if it has none
    };

    // Makes the directory (mode 0750; its parent must be there) and takes its lock. Error exists: another daemon has
    // it.
    static Expected<std::unique_ptr<StateStore>> open(const std::string& directory);

    const std::string& directory() const noexcept { return directory_; }
    std::string file() const { return directory_ + "/generation"; }

    // nullopt: nothing was ever saved. Error invalid: the file is damaged; the words say how and what to do.
    Expected<std::optional<Saved>> load() const;
    Expected<void> save(const Saved& saved);
    // The same for the gates closed by hand; their document is control/hand_gates' text.
    std::string gates_file() const { return directory_ + "/gates"; }
    Expected<std::optional<Saved>> load_gates() const;
    Expected<void> save_gates(const Saved& saved);

  private:
    static Expected<std::optional<Saved>> load(const std::string& path, const char* remedy);
    Expected<void> save(const Saved& saved, const std::string& path);
    StateStore(std::string directory, FileDescriptor lock) : directory_(std::move(directory)), lock_(std::move(lock)) {}

    std::string directory_;
    FileDescriptor lock_;
};

std::uint32_t crc32_of(const std::string& bytes) noexcept;  // IEEE 802.3, as zlib's

}  // namespace sekisho::control
