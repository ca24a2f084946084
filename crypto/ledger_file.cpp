// Reading and writing the ledger's file.
#include "crypto/ledger_file.hpp"

#include <bit>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <optional>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

#include "crypto/digest.hpp"

namespace sekisho::crypto {

namespace {

static_assert(std::endian::native == std::endian::little);

constexpr std::array<char, 8> kMagic = {'S', 'K', 'L', 'E', 'D', 'G', 'R', '1'};

struct Header {
    std::array<char, 8> magic;
    std::array<std::uint8_t, 16> id;
    std::int64_t birth;  // seconds since 1970
    std::uint64_t epoch;
    std::uint64_t entries;  // records of the snapshot, its commit apart
    std::uint64_t inode;    // of the file itself
    std::int64_t born_seconds;
    std::int64_t born_nanoseconds;
    std::array<std::uint8_t, 24> zero;
    std::array<std::uint8_t, 32> digest;  // of all before it
};
static_assert(sizeof(Header) == 128);

enum class Kind : std::uint32_t { reserve = 0x52455356, commit = 0x434d4954 };

struct Record {
    Kind kind;
    std::uint32_t count;  // of a commit: its reserves
    std::uint64_t epoch;
    std::array<std::uint8_t, 16> key;  // of a commit: its epoch's mark
    std::uint64_t end;
    std::uint64_t zero;
    std::array<std::uint8_t, 16> digest;  // of the ledger's identity and all before it
};
static_assert(sizeof(Record) == 64);

template <class Block>
std::span<const std::uint8_t> before_digest(const Block& block) {
    return {reinterpret_cast<const std::uint8_t*>(&block), offsetof(Block, digest)};
}

std::array<std::uint8_t, 16> digest_of(const LedgerId& id, const Record& record) {
    const auto whole = sha256({id.bytes, before_digest(record)});
    std::array<std::uint8_t, 16> digest;
    std::copy_n(whole.begin(), digest.size(), digest.begin());
    return digest;
}

// A commit as bytes.
std::vector<Record> records_of(const LedgerId& id, const LedgerEpoch& epoch,
                               std::span<const Reservation> reservations) {
    std::vector<Record> records;
    records.reserve(reservations.size() + 1);
    for (const Reservation& reservation : reservations)
        records.push_back({Kind::reserve, 0, epoch.number, reservation.key.bytes, reservation.end, 0, {}});
    records.push_back(
        {Kind::commit, static_cast<std::uint32_t>(reservations.size()), epoch.number, epoch.mark, 0, 0, {}});
    for (Record& record : records) record.digest = digest_of(id, record);
    return records;
}

Error failed(const std::string& path, const std::string& what) {
    return {ErrorCode::unavailable, path + ": cannot " + what + ": " + std::strerror(errno)};
}

// What a copy does not have: the place in its file system, and when it was made there.
struct Self {
    std::uint64_t inode = 0;
    std::int64_t born_seconds = 0;  // 0 where the file system does not know
    std::int64_t born_nanoseconds = 0;
    friend bool operator==(const Self&, const Self&) = default;
};

std::optional<Self> self_of(int file) {
    struct statx found {};
    if (statx(file, "", AT_EMPTY_PATH, STATX_INO | STATX_BTIME, &found) != 0) return std::nullopt;
    Self self{found.stx_ino, 0, 0};
    if ((found.stx_mask & STATX_BTIME) != 0) {
        self.born_seconds = found.stx_btime.tv_sec;
        self.born_nanoseconds = found.stx_btime.tv_nsec;
    }
    return self;
}

bool write_all(int file, std::span<const std::uint8_t> bytes, std::uint64_t at) {
    while (!bytes.empty()) {
        const ssize_t written = pwrite(file, bytes.data(), bytes.size(), static_cast<off_t>(at));
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) return false;
        bytes = bytes.subspan(static_cast<std::size_t>(written));
        at += static_cast<std::uint64_t>(written);
    }
    return true;
}

template <class Block>
std::span<const std::uint8_t> bytes_of(const std::vector<Block>& blocks) {
    return {reinterpret_cast<const std::uint8_t*>(blocks.data()), blocks.size() * sizeof(Block)};
}

std::optional<std::vector<std::uint8_t>> read_all(int file) {
    struct stat found {};
    if (fstat(file, &found) != 0) return std::nullopt;
    std::vector<std::uint8_t> bytes(static_cast<std::size_t>(found.st_size));
    std::size_t at = 0;
    while (at < bytes.size()) {
        const ssize_t got = pread(file, bytes.data() + at, bytes.size() - at, static_cast<off_t>(at));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return std::nullopt;
        if (got == 0) break;
        at += static_cast<std::size_t>(got);
    }
    bytes.resize(at);
    return bytes;
}

// Adds the records' commits to `contents`. Every record with a right digest counts, committed or not: to skip too much
// is harmless. False: damaged before its end.
bool replay(std::span<const std::uint8_t> bytes, std::uint64_t snapshot_entries, LedgerContents& contents) {
    std::uint64_t open_reserves = 0;  // since the last commit
    bool torn = false;
    bool has_snapshot = false;
    for (std::size_t at = 0; at < bytes.size(); at += sizeof(Record)) {
        Record record{};
        const bool whole = bytes.size() - at >= sizeof record;
        if (whole) std::memcpy(&record, bytes.data() + at, sizeof record);
        const bool sound = whole && record.digest == digest_of(contents.id, record) &&
                           (record.kind == Kind::reserve || record.kind == Kind::commit);
        const std::uint64_t expected = contents.epoch.number + (has_snapshot ? 1 : 0);
        if (!sound) {
            if (!has_snapshot) return false;
            torn = true;
            continue;
        }
        if (record.epoch != expected) return false;
        if (record.kind == Kind::reserve) {
            std::uint64_t& end = contents.ends[Fingerprint{record.key}];
            end = std::max(end, record.end);
            ++open_reserves;
            continue;
        }
        if (torn || record.count != open_reserves || (!has_snapshot && record.count != snapshot_entries)) return false;
        contents.epoch = {record.epoch, record.key};
        open_reserves = 0;
        has_snapshot = true;
    }
    return has_snapshot;
}

}  // namespace

std::string LedgerId::text() const {
    return hexadecimal(bytes);
}

Expected<LedgerEpoch> LedgerEpoch::next() const {
    LedgerEpoch following{number + 1, {}};
    if (!fill_random(following.mark)) return Error{ErrorCode::unavailable, "no random numbers for a commit"};
    // A clone may have the same state to make random numbers of, but not the same moment.
    std::uint64_t moment = static_cast<std::uint64_t>(std::chrono::system_clock::now().time_since_epoch().count());
    for (std::uint8_t& byte : std::span(following.mark).first(sizeof moment)) {
        byte ^= static_cast<std::uint8_t>(moment);
        moment >>= 8;
    }
    return following;
}

FileHandle& FileHandle::operator=(FileHandle&& other) noexcept {
    if (this != &other) {
        if (number_ >= 0) close(number_);
        number_ = std::exchange(other.number_, -1);
    }
    return *this;
}
FileHandle::~FileHandle() {
    if (number_ >= 0) close(number_);
}

Expected<LedgerFile> LedgerFile::lock(const std::string& path) {
    const std::string name = path + ".lock";
    FileHandle handle(open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (!handle) return failed(name, "open it");
    if (flock(handle.number(), LOCK_EX | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK) return Error{ErrorCode::unavailable, path + ": another process has this ledger"};
        return failed(name, "lock it");
    }
    return LedgerFile(path, std::move(handle));
}

Expected<LedgerContents> LedgerFile::read() const {
    const FileHandle file(open(path_.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file) {
        if (errno == ENOENT) return Error{ErrorCode::not_found, path_ + ": there is no ledger"};
        return failed(path_, "open it");
    }
    const auto bytes = read_all(file.number());
    if (!bytes) return failed(path_, "read it");
    const auto damaged = [this](const std::string& what) {
        return Error{ErrorCode::invalid, path_ + ": the ledger is damaged: " + what};
    };
    Header header{};
    if (bytes->size() < sizeof header) return damaged("it ends in its header");
    std::memcpy(&header, bytes->data(), sizeof header);
    if (header.magic != kMagic) return damaged("it does not begin as a ledger does");
    if (header.digest != sha256({before_digest(header)})) return damaged("its header is not what was written");
    const auto self = self_of(file.number());
    if (!self) return failed(path_, "ask what it is");
    if (*self != Self{header.inode, header.born_seconds, header.born_nanoseconds})
        return Error{ErrorCode::invalid,
                     path_ + ": this is a copy of the ledger, not the ledger: nobody knows how old"};
    LedgerContents contents{LedgerId{header.id}, WallTime(std::chrono::seconds(header.birth)), {header.epoch, {}}, {}};
    if (!replay(std::span(*bytes).subspan(sizeof header), header.entries, contents))
        return damaged("records are missing or not what was written");
    return contents;
}

Expected<void> LedgerFile::replace(const LedgerContents& contents) {
    const std::string fresh = path_ + ".new";
    unlink(fresh.c_str());
    FileHandle file(open(fresh.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (!file) return failed(fresh, "make it");
    const auto self = self_of(file.number());
    if (!self) return failed(fresh, "ask what it is");
    Header header{kMagic,
                  contents.id.bytes,
                  contents.birth.time_since_epoch().count(),
                  contents.epoch.number,
                  contents.ends.size(),
                  self->inode,
                  self->born_seconds,
                  self->born_nanoseconds,
                  {},
                  {}};
    header.digest = sha256({before_digest(header)});
    std::vector<Reservation> all;
    for (const auto& [key, end] : contents.ends) all.push_back({key, end});
    const std::vector<Record> records = records_of(contents.id, contents.epoch, all);
    const auto refused = [&](const std::string& what) {
        const Error error = failed(fresh, what);
        unlink(fresh.c_str());
        return error;
    };
    if (!write_all(file.number(), {reinterpret_cast<const std::uint8_t*>(&header), sizeof header}, 0) ||
        !write_all(file.number(), bytes_of(records), sizeof header))
        return refused("write it");
    // Durable before the name leads to it, and the name before anyone acts on it.
    if (fsync(file.number()) != 0) return refused("make it durable");
    if (rename(fresh.c_str(), path_.c_str()) != 0) return refused("put it in place of the old one");
    const std::size_t slash = path_.rfind('/');
    const std::string directory = slash == std::string::npos ? "." : path_.substr(0, slash + 1);
    const FileHandle place(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!place || fsync(place.number()) != 0) return failed(directory, "make the new ledger's name durable");
    file_ = std::move(file);
    length_ = sizeof header + records.size() * sizeof(Record);
    broken_ = false;
    return {};
}

Expected<void> LedgerFile::append(const LedgerId& id, const LedgerEpoch& epoch,
                                  std::span<const Reservation> reservations) {
    if (broken_ || !file_) return Error{ErrorCode::unavailable, path_ + ": nothing can be appended since an error"};
    const std::vector<Record> records = records_of(id, epoch, reservations);
    const auto bytes = bytes_of(records);
    if (!write_all(file_.number(), bytes, length_)) {
        Error error = failed(path_, "append to it");
        // What was written in part must not stand before the next commit.
        broken_ = ftruncate(file_.number(), static_cast<off_t>(length_)) != 0;
        return error;
    }
    if (fdatasync(file_.number()) != 0) {
        broken_ = true;  // a second try would succeed without having written: the kernel reports an error once
        return failed(path_, "make a commit durable");
    }
    length_ += bytes.size();
    return {};
}

}  // namespace sekisho::crypto
