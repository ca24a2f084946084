#include "control/state_store.hpp"

#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace sekisho::control {

namespace {

using nlohmann::json;

constexpr int kFormat = 1;

Error system_error(const std::string& path, const char* tried) {
    const ErrorCode code = errno == EACCES || errno == EPERM ? ErrorCode::permission : ErrorCode::unavailable;
    return {code, fmt::format("state directory: {} {}: {}", tried, path, std::strerror(errno))};
}

Expected<void> write_all(const FileDescriptor& file, const std::string& bytes, const std::string& path) {
    std::size_t written = 0;
    while (written < bytes.size()) {
        const ssize_t step = ::write(file.number(), bytes.data() + written, bytes.size() - written);
        if (step < 0 && errno == EINTR) continue;
        if (step < 0) return system_error(path, "writing");
        written += static_cast<std::size_t>(step);
    }
    return {};
}

Expected<std::string> read_all(const FileDescriptor& file, const std::string& path) {
    std::string bytes;
    std::array<char, 64 * 1024> piece;
    for (;;) {
        const ssize_t got = ::read(file.number(), piece.data(), piece.size());
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return system_error(path, "reading");
        if (got == 0) return bytes;
        bytes.append(piece.data(), static_cast<std::size_t>(got));
    }
}

constexpr std::array<std::uint32_t, 256> crc32_table() {
    std::array<std::uint32_t, 256> table{};
    for (std::uint32_t i = 0; i < 256; ++i) {
        std::uint32_t value = i;
        for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1) != 0 ? 0xedb8'8320U : 0U);
        table[i] = value;
    }
    return table;
}

}  // namespace

std::uint32_t crc32_of(const std::string& bytes) noexcept {
    static constexpr auto kTable = crc32_table();
    std::uint32_t crc = 0xffff'ffffU;
    for (const char c : bytes) crc = (crc >> 8) ^ kTable[(crc ^ static_cast<unsigned char>(c)) & 0xff];
    return ~crc;
}

Expected<std::unique_ptr<StateStore>> StateStore::open(const std::string& directory) {
    if (::mkdir(directory.c_str(), 0750) != 0 && errno != EEXIST) return system_error(directory, "making");
    const std::string path = directory + "/lock";
    FileDescriptor lock(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0640));
    if (!lock) return system_error(path, "opening");
    if (::flock(lock.number(), LOCK_EX | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK)
            return Error{ErrorCode::exists, "state directory " + directory + ": another daemon is using it"};
        return system_error(path, "locking");
    }
    return std::unique_ptr<StateStore>(new StateStore(directory, std::move(lock)));
}

Expected<std::optional<StateStore::Saved>> StateStore::load() const {
    return load(file(), "start with --policy FILE --policy-replace, or restore the file");
}

Expected<std::optional<StateStore::Saved>> StateStore::load_gates() const {
    return load(gates_file(), "restore it, or remove it and close by hand again what has to be closed");
}

Expected<std::optional<StateStore::Saved>> StateStore::load(const std::string& path, const char* remedy) {
    const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file) {
        if (errno == ENOENT) return std::optional<Saved>();
        return system_error(path, "opening");
    }
    auto bytes = read_all(file, path);
    if (!bytes) return bytes.error();

    const auto damaged = [&](const std::string& how) {
        return Error{ErrorCode::invalid, fmt::format("state file {} is damaged: {}; {}", path, how, remedy)};
    };
    // A line that describes the rest, then the document itself.
    const std::size_t newline = bytes->find('\n');
    if (newline == std::string::npos) return damaged("its first line has no end");
    const json header = json::parse(bytes->substr(0, newline), nullptr, false);
    const auto is = [&header](const char* name, json::value_t type) {
        return header.is_object() && header.contains(name) && header.at(name).type() == type;
    };
    if (!is("format", json::value_t::number_unsigned) || !is("generation", json::value_t::number_unsigned) ||
        !is("committed", json::value_t::string) || !is("bytes", json::value_t::number_unsigned) ||
        !is("crc32", json::value_t::number_unsigned))
        return damaged("its first line does not describe a generation");
    if (header["format"] != kFormat)
        return damaged(fmt::format("its format is {}, this version reads {}", header["format"].dump(), kFormat));
    Saved saved{header["generation"], header["committed"], bytes->substr(newline + 1), {}};
    if (is("label", json::value_t::string)) saved.label = header["label"];
    if (header["bytes"] != saved.document.size())
        return damaged(
            fmt::format("its document has {} bytes and should have {}", saved.document.size(), header["bytes"].dump()));
    if (header["crc32"] != crc32_of(saved.document)) return damaged("its document's checksum is wrong");
    return std::optional<Saved>(std::move(saved));
}

Expected<void> StateStore::save(const Saved& saved) {
    return save(saved, file());
}

Expected<void> StateStore::save_gates(const Saved& saved) {
    return save(saved, gates_file());
}

Expected<void> StateStore::save(const Saved& saved, const std::string& path) {
    const std::string beside = path + ".new";
    json header = {{"format", kFormat},
                   {"generation", saved.generation},
                   {"committed", saved.committed},
                   {"bytes", saved.document.size()},
                   {"crc32", crc32_of(saved.document)}};
    if (!saved.label.empty()) header["label"] = saved.label;
    FileDescriptor file(::open(beside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640));
    if (!file) return system_error(beside, "opening");
    if (auto written = write_all(file, header.dump() + "\n", beside); !written) return written;
    if (auto written = write_all(file, saved.document, beside); !written) return written;
    if (::fsync(file.number()) != 0) return system_error(beside, "syncing");
    file.close();
    if (::rename(beside.c_str(), path.c_str()) != 0) return system_error(path, "renaming to");
    const FileDescriptor directory(::open(directory_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!directory || ::fsync(directory.number()) != 0) return system_error(directory_, "syncing");
    return {};
}

}  // namespace sekisho::control
