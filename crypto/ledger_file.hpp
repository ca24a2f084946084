// The nonce ledger's file: up to which sequence number each key may have been used, whatever happened since.
//
// A header, a snapshot, and then commits one behind the other: records of 64 bytes, each with a digest over itself and
// the ledger's identity. A commit counts when its last record is there; what is torn at the end was never acted upon. A
// new file is written beside the old one and renamed over it. The header knows the file's own inode and birth, so a
// copy put back in its place is known for one. One process at a time: PATH.lock is locked for as long as the file is
// held. Numbers little-endian. Blocks on the disk; control's thread, or one of its own.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <span>
#include <string>

#include "crypto/fingerprint.hpp"
#include "net/expected.hpp"

namespace sekisho::crypto {

using WallTime = std::chrono::sys_seconds;

struct LedgerId {
    std::array<std::uint8_t, 16> bytes{};

    std::string text() const;
    friend auto operator<=>(const LedgerId&, const LedgerId&) = default;
};

// Numbers below `end` may have been used.
struct Reservation {
    Fingerprint key;
    std::uint64_t end = 0;
};

// One commit of a ledger: how many there were, starts among them, and by chance a mark. A ledger and its clone (a
// machine copied whole) come to the same numbers, and never to the same marks.
struct LedgerEpoch {
    std::uint64_t number = 0;
    std::array<std::uint8_t, 16> mark{};

    // The next one. Error: unavailable, there are no random numbers.
    Expected<LedgerEpoch> next() const;
    friend auto operator<=>(const LedgerEpoch&, const LedgerEpoch&) = default;
};

struct LedgerContents {
    LedgerId id;
    WallTime birth;
    LedgerEpoch epoch;
    std::map<Fingerprint, std::uint64_t> ends;
};

// A file descriptor, closed with its owner.
class FileHandle {
  public:
    FileHandle() noexcept = default;
    explicit FileHandle(int number) noexcept : number_(number) {}
    FileHandle(FileHandle&& other) noexcept : number_(other.number_) { other.number_ = -1; }
    FileHandle& operator=(FileHandle&& other) noexcept;
    FileHandle(const FileHandle&) = delete;
    FileHandle& operator=(const FileHandle&) = delete;
    ~FileHandle();

    int number() const noexcept { return number_; }
    explicit operator bool() const noexcept { return number_ >= 0; }

  private:
    int number_ = -1;
};

class LedgerFile {
  public:
    // Takes the lock. Errors: unavailable, when another process has it or the directory refuses.
    static Expected<LedgerFile> lock(const std::string& path);

    // What the file says. Errors: not_found; invalid, when it is damaged or a copy: the words say which.
    Expected<LedgerContents> read() const;

    // Puts a file with these contents in the old one's place; whichever of the two is found after a crash is whole. On
    // an error the old one is in its place still.
    Expected<void> replace(const LedgerContents& contents);

    // Durable when it returns without an error; after replace(). Errors: unavailable. After one the file may or may not
    // hold the commit; is_broken() says that nothing more can be appended.
    Expected<void> append(const LedgerId& id, const LedgerEpoch& epoch, std::span<const Reservation> reservations);

    bool is_broken() const noexcept { return broken_; }
    std::uint64_t length() const noexcept { return length_; }  // bytes

  private:
    LedgerFile(std::string path, FileHandle lock) : path_(std::move(path)), lock_(std::move(lock)) {}

    std::string path_;
    FileHandle lock_;
    FileHandle file_;
    std::uint64_t length_ = 0;
    bool broken_ = false;
};

}  // namespace sekisho::crypto
