#include "control/state_store.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <fcntl.h>
#include <filesystem>
#include <sys/file.h>
#include <sys/stat.h>

#include <fmt/format.h>

#include "control/document_hash.hpp"
#include "control/log.hpp"
#include "control/state_file.hpp"

namespace sekisho::control {

namespace {

using nlohmann::json;

constexpr int kTextFormat = 1;        // checked by length and CRC-32
constexpr int kGenerationFormat = 2;  // by length and SHA-256
constexpr const char* kRestore = "start with --policy FILE --policy-replace, or restore the file";
constexpr const char* kUnconfirmed = ".unconfirmed";

constexpr std::array<std::uint32_t, 256> crc32_table() {
    std::array<std::uint32_t, 256> table{};
    for (std::uint32_t i = 0; i < 256; ++i) {
        std::uint32_t value = i;
        for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1) != 0 ? 0xedb8'8320U : 0U);
        table[i] = value;
    }
    return table;
}

// A file's first line and the rest; the rest's length is checked.
struct Parts {
    json line;
    std::string rest;
};

Error damaged(const std::string& path, const std::string& how, const char* remedy) {
    return {ErrorCode::invalid, fmt::format("state file {} is damaged: {}; {}", path, how, remedy)};
}

bool has(const json& line, const char* name, json::value_t type) {
    return line.is_object() && line.contains(name) && line.at(name).type() == type;
}

Expected<std::optional<Parts>> load_parts(const std::string& path, const char* remedy) {
    auto bytes = read_whole(path);
    if (!bytes && bytes.error().code == ErrorCode::not_found) return std::optional<Parts>();
    if (!bytes) return bytes.error();
    const std::size_t newline = bytes->find('\n');
    if (newline == std::string::npos) return damaged(path, "its first line has no end", remedy);
    Parts parts{json::parse(bytes->substr(0, newline), nullptr, false), {}};
    if (!has(parts.line, "format", json::value_t::number_unsigned) ||
        !has(parts.line, "generation", json::value_t::number_unsigned) ||
        !has(parts.line, "committed", json::value_t::string) ||
        !has(parts.line, "bytes", json::value_t::number_unsigned))
        return damaged(path, "its first line does not describe a generation", remedy);
    parts.rest = bytes->erase(0, newline + 1);
    if (parts.line["bytes"] != parts.rest.size())
        return damaged(
            path,
            fmt::format("its document has {} bytes and should have {}", parts.rest.size(), parts.line["bytes"].dump()),
            remedy);
    return std::optional<Parts>(std::move(parts));
}

Expected<void> check_crc(const Parts& parts, const std::string& path, const char* remedy) {
    if (!has(parts.line, "crc32", json::value_t::number_unsigned))
        return damaged(path, "its first line does not describe a generation", remedy);
    if (parts.line["crc32"] != crc32_of(parts.rest)) return damaged(path, "its document's checksum is wrong", remedy);
    return {};
}

Expected<std::optional<StateStore::Saved>> load_generation(const std::string& path) {
    auto parts = load_parts(path, kRestore);
    if (!parts) return parts.error();
    if (!*parts) return std::optional<StateStore::Saved>();
    const json& line = (*parts)->line;
    StateStore::Saved saved;
    if (line["format"] == kTextFormat) {  // as the version before wrote it: it knew the number and the time only
        if (auto good = check_crc(**parts, path, kRestore); !good) return good.error();
        saved.record.number = line["generation"];
        saved.record.committed = line["committed"];
        saved.record.what = "commit";
        saved.record.bytes = (*parts)->rest.size();
        saved.record.hash = sha256_text((*parts)->rest);
    } else if (line["format"] == kGenerationFormat) {
        auto record = record_of(line);
        if (!record) return damaged(path, "its first line does not describe a generation", kRestore);
        saved.record = std::move(*record);
        if (sha256_text((*parts)->rest) != saved.record.hash)
            return damaged(path, "its document's checksum is wrong", kRestore);
    } else {
        return damaged(path,
                       fmt::format("its format is {}, this version reads {} and {}", line["format"].dump(), kTextFormat,
                                   kGenerationFormat),
                       kRestore);
    }
    saved.document = std::move((*parts)->rest);
    return std::optional<StateStore::Saved>(std::move(saved));
}

Expected<void> save_generation(const std::string& path, const GenerationRecord& record, const Document& document) {
    json line = to_json(record);
    line.erase("confirmed");
    line["format"] = kGenerationFormat;
    return write_file(path, line, [&document](const TakeText& take) { document.write(take); });
}

Expected<std::optional<StateStore::SavedText>> load_text(const std::string& path, const char* remedy) {
    auto parts = load_parts(path, remedy);
    if (!parts) return parts.error();
    if (!*parts) return std::optional<StateStore::SavedText>();
    if ((*parts)->line["format"] != kTextFormat)
        return damaged(
            path, fmt::format("its format is {}, this version reads {}", (*parts)->line["format"].dump(), kTextFormat),
            remedy);
    if (auto good = check_crc(**parts, path, remedy); !good) return good.error();
    return std::optional<StateStore::SavedText>(
        {(*parts)->line["generation"], (*parts)->line["committed"], std::move((*parts)->rest)});
}

Expected<void> save_text(const std::string& path, const StateStore::SavedText& saved) {
    const json line = {{"format", kTextFormat},
                       {"generation", saved.number},
                       {"committed", saved.time},
                       {"bytes", saved.text.size()},
                       {"crc32", crc32_of(saved.text)}};
    return write_file(path, line, [&saved](const TakeText& take) { take(saved.text); });
}

// The files of a directory that are named by a number and `ending`, ascending.
std::vector<std::uint64_t> numbered(const std::string& directory, std::string_view ending) {
    std::vector<std::uint64_t> numbers;
    std::error_code none;
    for (const auto& entry : std::filesystem::directory_iterator(directory, none)) {
        const std::string name = entry.path().filename();
        std::uint64_t number = 0;
        const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
        if (error == std::errc() && std::string_view(end, name.data() + name.size()) == ending)
            numbers.push_back(number);
    }
    std::sort(numbers.begin(), numbers.end());
    return numbers;
}

Expected<void> make_private(const std::string& directory) {
    if (::mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) return state_error(directory, "making");
    struct stat found {};
    if (::stat(directory.c_str(), &found) != 0) return state_error(directory, "looking at");
    if ((found.st_mode & 0777) != 0700 && ::chmod(directory.c_str(), 0700) != 0)
        return state_error(directory, "setting the mode of");
    return {};
}

}  // namespace

std::uint32_t crc32_of(const std::string& bytes) noexcept {
    static constexpr auto kTable = crc32_table();
    std::uint32_t crc = 0xffff'ffffU;
    for (const char c : bytes) crc = (crc >> 8) ^ kTable[(crc ^ static_cast<unsigned char>(c)) & 0xff];
    return ~crc;
}

Expected<std::unique_ptr<StateStore>> StateStore::open(const std::string& directory, std::size_t keep) {
    for (const std::string& each : {directory, directory + "/kept", directory + "/scheduled"})
        if (auto made = make_private(each); !made) return made.error();
    const std::string path = directory + "/lock";
    FileDescriptor lock(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (!lock) return state_error(path, "opening");
    if (::flock(lock.number(), LOCK_EX | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK)
            return Error{ErrorCode::exists, "state directory " + directory + ": another daemon is using it"};
        return state_error(path, "locking");
    }
    return std::unique_ptr<StateStore>(new StateStore(directory, keep, std::move(lock)));
}

std::string StateStore::kept_file(std::uint64_t number, bool confirmed) const {
    return fmt::format("{}/kept/{}{}", directory_, number, confirmed ? "" : kUnconfirmed);
}

Expected<std::optional<StateStore::Saved>> StateStore::load() const {
    return load_generation(file());
}

Expected<std::optional<StateStore::Saved>> StateStore::load_unconfirmed() const {
    return load_generation(unconfirmed_file());
}

Expected<StateStore::Saved> StateStore::load(std::uint64_t number) const {
    for (const bool confirmed : {true, false}) {
        auto saved = load_generation(kept_file(number, confirmed));
        if (!saved) return saved.error();
        if (*saved) return std::move(**saved);
    }
    if (auto last = load(); last && *last && (*last)->record.number == number) return std::move(**last);
    std::string numbers;
    for (const GenerationRecord& record : kept())
        numbers += fmt::format("{}{}", numbers.empty() ? "" : ", ", record.number);
    return Error{ErrorCode::not_found, fmt::format("generation {} is not kept; {}", number,
                                                   numbers.empty() ? "none is" : "there are " + numbers)};
}

std::vector<GenerationRecord> StateStore::kept() const {
    std::vector<GenerationRecord> records;
    for (const bool confirmed : {true, false})
        for (const std::uint64_t number : numbered(directory_ + "/kept", confirmed ? "" : kUnconfirmed)) {
            const auto line = read_first_line(kept_file(number, confirmed));
            if (!line) continue;
            const json object = json::parse(*line, nullptr, false);
            auto record = record_of(object);
            if (!record && has(object, "crc32", json::value_t::number_unsigned)) {  // of the version before
                record = GenerationRecord();
                record->number = number;
                record->committed = object.value("committed", "");
                record->what = "commit";
                record->bytes = object.value("bytes", std::uint64_t{0});
            }
            if (!record) continue;
            record->confirmed = confirmed;
            records.push_back(std::move(*record));
        }
    std::sort(records.begin(), records.end(), [](const auto& a, const auto& b) { return a.number < b.number; });
    return records;
}

// A second name for the same bytes: nothing is copied, and a crash leaves at most one name too many.
Expected<void> StateStore::keep_last() {
    const auto line = read_first_line(file());
    if (!line) return line.error().code == ErrorCode::not_found ? Expected<void>() : line.error();
    const json object = json::parse(*line, nullptr, false);
    if (!has(object, "generation", json::value_t::number_unsigned)) return {};  // damaged, and about to be replaced
    const std::string kept = kept_file(object["generation"], true);
    if (::link(file().c_str(), kept.c_str()) != 0 && errno != EEXIST) return state_error(kept, "linking");
    return sync_directory_of(kept);
}

Expected<void> StateStore::retire_unconfirmed() {
    const auto line = read_first_line(unconfirmed_file());
    if (!line) return line.error().code == ErrorCode::not_found ? Expected<void>() : line.error();
    const json object = json::parse(*line, nullptr, false);
    if (!has(object, "generation", json::value_t::number_unsigned)) return remove_file(unconfirmed_file());
    return move_file(unconfirmed_file(), kept_file(object["generation"], false));
}

void StateStore::forget_old() const {
    for (const bool confirmed : {true, false}) {
        const auto numbers = numbered(directory_ + "/kept", confirmed ? "" : kUnconfirmed);
        for (std::size_t i = 0; i + keep_ < numbers.size(); ++i)
            if (auto removed = remove_file(kept_file(numbers[i], confirmed)); !removed)
                log(LogLevel::warning, removed.error().words);
    }
}

Expected<void> StateStore::save(const GenerationRecord& record, const Document& document) {
    if (auto kept = keep_last(); !kept) return kept;
    if (auto saved = save_generation(file(), record, document); !saved) return saved;
    // From here on the new one is the last good one; an unconfirmed one of a lower number is nobody's any more.
    if (auto retired = retire_unconfirmed(); !retired) log(LogLevel::warning, retired.error().words);
    forget_old();
    return {};
}

Expected<void> StateStore::save_unconfirmed(const GenerationRecord& record, const Document& document) {
    return save_generation(unconfirmed_file(), record, document);
}

Expected<void> StateStore::confirm() {
    if (auto kept = keep_last(); !kept) return kept;
    if (auto moved = move_file(unconfirmed_file(), file()); !moved) return moved;
    forget_old();
    return {};
}

Expected<std::optional<StateStore::SavedText>> StateStore::load_gates() const {
    return load_text(gates_file(), "restore it, or remove it and close by hand again what has to be closed");
}

Expected<void> StateStore::save_gates(const SavedText& gates) {
    return save_text(gates_file(), gates);
}

Expected<std::vector<StateStore::SavedText>> StateStore::load_schedule() const {
    std::vector<SavedText> schedule;
    for (const std::uint64_t number : numbered(directory_ + "/scheduled", "")) {
        auto saved = load_text(fmt::format("{}/scheduled/{}", directory_, number),
                               "restore it, or remove it and schedule the change again");
        if (!saved) return saved.error();
        if (*saved) schedule.push_back(std::move(**saved));
    }
    return schedule;
}

Expected<void> StateStore::save_scheduled(const SavedText& scheduled) {
    return save_text(fmt::format("{}/scheduled/{}", directory_, scheduled.number), scheduled);
}

Expected<void> StateStore::remove_scheduled(std::uint64_t number) {
    return remove_file(fmt::format("{}/scheduled/{}", directory_, number));
}

}  // namespace sekisho::control
