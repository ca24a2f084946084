// The state directory: the last good generation, those before it, one that waits to be confirmed, and the gates closed
// by hand, kept over restarts.
//
//   generation             the last good one: what a restart begins with
//   unconfirmed            the one that runs and was not confirmed yet; a restart does not begin with it
//   kept/N                 good ones before it, newest first as many as are to be kept
//   kept/N.unconfirmed     one that ran and was rolled back
//   gates, scheduled/N     gates by hand; changes that are to come into force at a time
//
// Every change is one rename, durable before the call returns; what is read is checked against its length and hash (or
// CRC-32), and a damaged file is refused instead of guessed at. One daemon a directory, held by a lock. The compiler
// thread changes generations and the recorder gates; the control thread loads before that.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "control/document.hpp"
#include "control/generation_record.hpp"
#include "net/expected.hpp"
#include "net/file_descriptor.hpp"

namespace sekisho::control {

class StateStore {
  public:
    struct Saved {
        GenerationRecord record;
        std::string document;  // JSON text
    };
    struct SavedText {  // of gates and schedules
        std::uint64_t number = 0;
        std::string time;  // Japan time
        std::string text;
    };

    // Makes the directory (its parent must be there), with mode 0700, which one that is there gets too, and takes its
    // lock. `keep`: how many good generations before the last are kept. Error exists: another daemon has it.
    static Expected<std::unique_ptr<StateStore>> open(const std::string& directory, std::size_t keep = kKeep);
    static constexpr std::size_t kKeep = 10;

    const std::string& directory() const noexcept { return directory_; }
    std::string file() const { return directory_ + "/generation"; }
    std::string unconfirmed_file() const { return directory_ + "/unconfirmed"; }
    std::string kept_file(std::uint64_t number, bool confirmed) const;

    // nullopt: there is none. Error invalid: the file is damaged; the words say how and what to do.
    Expected<std::optional<Saved>> load() const;
    Expected<std::optional<Saved>> load_unconfirmed() const;
    // One that is kept, or the last good one; error not_found says which there are.
    Expected<Saved> load(std::uint64_t number) const;
    // What is known of all that are kept, ascending; files that tell nothing are left out.
    std::vector<GenerationRecord> kept() const;

    // The document becomes the last good one; the one that was is kept, and an unconfirmed one kept as rolled back.
    Expected<void> save(const GenerationRecord& record, const Document& document);
    Expected<void> save_unconfirmed(const GenerationRecord& record, const Document& document);
    // The unconfirmed one becomes the last good one; the one that was is kept.
    Expected<void> confirm();

    std::string gates_file() const { return directory_ + "/gates"; }
    Expected<std::optional<SavedText>> load_gates() const;
    Expected<void> save_gates(const SavedText& gates);

    Expected<std::vector<SavedText>> load_schedule() const;  // ascending
    Expected<void> save_scheduled(const SavedText& scheduled);
    Expected<void> remove_scheduled(std::uint64_t number);

  private:
    StateStore(std::string directory, std::size_t keep, FileDescriptor lock)
        : directory_(std::move(directory)), keep_(keep), lock_(std::move(lock)) {}
    Expected<void> keep_last();  // another name for the last good one, so that it stays when it is replaced
    Expected<void> retire_unconfirmed();
    void forget_old() const;

    std::string directory_;
    std::size_t keep_;
    FileDescriptor lock_;
};

std::uint32_t crc32_of(const std::string& bytes) noexcept;  // IEEE 802.3, as zlib's

}  // namespace sekisho::control
