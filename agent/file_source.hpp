// The policy in a watched file: the embedded default, for a node without a store.
//
// The file is a policy document. It is replaced by renaming another over it (what editors and configuration tools do);
// one that is not whole is refused by whoever reads it, and read again when it changes. A position is the hash of its
// bytes. Its signature, for a node that wants one, is the file of its name and ".sig". Of a large file no more is in
// memory than a piece and an object.
#pragma once

#include <sys/stat.h>

#include "agent/source.hpp"
#include "net/file_descriptor.hpp"

namespace sekisho::agent {

class FileSource final : public Source {
  public:
    explicit FileSource(std::string file);

    Expected<Position> begin(const std::string& label) override;
    Expected<void> read(const std::string& below, const std::function<void(Item)>& take) override;
    Event next(std::chrono::milliseconds longest) override;

  private:
    // Which file it is and when it was written, as the system tells.
    struct Identity {
        dev_t device = 0;
        ino_t number = 0;
        off_t size = 0;
        timespec modified{};
        friend bool operator==(const Identity& a, const Identity& b) noexcept {
            return a.device == b.device && a.number == b.number && a.size == b.size &&
                   a.modified.tv_sec == b.modified.tv_sec && a.modified.tv_nsec == b.modified.tv_nsec;
        }
    };
    static Identity identity_of(const std::string& file);  // all zero when there is none
    std::string signature_file() const { return file_ + ".sig"; }
    bool is_changed() const;

    std::string file_;
    FileDescriptor opened_;
    Identity read_, read_signature_;  // of what was begun with
    std::string hash_;                // likewise
    FileDescriptor inotify_;
};

}  // namespace sekisho::agent
