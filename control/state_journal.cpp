#include "control/state_journal.hpp"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>

#include <fmt/format.h>

#include "control/document_hash.hpp"
#include "control/log.hpp"
#include "control/state_file.hpp"
#include "control/state_parts.hpp"
#include "net/file_descriptor.hpp"

namespace sekisho::control {

namespace {

using nlohmann::json;

constexpr int kJournalFormat = 1;
constexpr std::string_view kEnd = "end\n";

std::string text_of(const JournalEntry& entry) {
    json line = to_json(entry.record);
    line.erase("confirmed");
    line["changes_bytes"] = entry.changes.size();
    line["changes_sha256"] = sha256_text(entry.changes);
    return line.dump() + "\n" + entry.changes;
}

// What is left of a file, cut off line by line.
class Rest {
  public:
    explicit Rest(std::string_view text) : text_(text) {}
    bool empty() const noexcept { return text_.empty(); }
    std::size_t size() const noexcept { return text_.size(); }
    // Nothing, if the line has no end.
    std::optional<std::string_view> line() {
        const std::size_t end = text_.find('\n');
        if (end == std::string_view::npos) return std::nullopt;
        return take(end + 1).substr(0, end);
    }
    std::string_view take(std::size_t bytes) {
        const std::string_view taken = text_.substr(0, bytes);
        text_.remove_prefix(taken.size());
        return taken;
    }

  private:
    std::string_view text_;
};

bool is_number(const json& line, const char* name) {
    return line.is_object() && line.contains(name) && line.at(name).is_number_unsigned();
}

}  // namespace

Expected<std::optional<Journal>> read_journal(const std::string& path, const char* remedy) {
    const auto bytes = read_whole(path);
    if (!bytes && bytes.error().code == ErrorCode::not_found) return std::optional<Journal>();
    if (!bytes) return bytes.error();
    Rest rest(*bytes);
    const auto first = rest.line();
    const json about = first ? json::parse(*first, nullptr, false) : json();
    if (!is_number(about, "format") || about["format"] != kJournalFormat || !is_number(about, "follows"))
        return damaged_file(path, "its first line does not describe a journal", remedy);
    Journal journal{about["follows"], {}, bytes->size() - rest.size()};
    while (!rest.empty()) {
        const std::string place = fmt::format("its entry {}", journal.entries.size() + 1);
        const auto line = rest.line();
        if (!line) break;  // half a line, or what a file system puts where nothing was written
        const json object = json::parse(*line, nullptr, false);
        auto record = record_of(object);
        if (!record || !is_number(object, "changes_bytes"))
            return damaged_file(path, place + " does not describe a generation", remedy);
        const std::size_t size = object["changes_bytes"];
        if (rest.size() < size + kEnd.size()) break;
        JournalEntry entry{std::move(*record), std::string(rest.take(size))};
        if (rest.take(kEnd.size()) != kEnd) {
            if (rest.empty()) break;
            return damaged_file(path, place + " has no end", remedy);
        }
        if (object.value("changes_sha256", std::string()) != sha256_text(entry.changes))
            return damaged_file(path, place + " has a wrong checksum", remedy);
        journal.entries.push_back(std::move(entry));
        journal.bytes = bytes->size() - rest.size();
    }
    return std::optional<Journal>(std::move(journal));
}

bool Journal::goes_on_from(std::uint64_t generation) const {
    return generation == follows || std::any_of(entries.begin(), entries.end(), [&](const JournalEntry& entry) {
               return entry.record.number == generation;
           });
}

Expected<std::uint64_t> begin_journal(const std::string& path, std::uint64_t follows,
                                      const std::vector<JournalEntry>& entries) {
    const json line = {{"format", kJournalFormat}, {"follows", follows}};
    std::uint64_t size = line.dump().size() + 1;
    const auto write = [&](const TakeText& take) {
        for (const JournalEntry& entry : entries) {
            const std::string text = text_of(entry) + std::string(kEnd);
            size += text.size();
            take(text);
        }
    };
    if (auto written = write_file(path, line, write); !written) return written.error();
    return size;
}

Expected<std::uint64_t> append_journal(const std::string& path, std::uint64_t bytes, const JournalEntry& entry) {
    const FileDescriptor file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
    if (!file) return state_error(path, "opening");
    const auto end = static_cast<off_t>(bytes);
    if (::ftruncate(file.number(), end) != 0) return state_error(path, "shortening");
    if (::lseek(file.number(), end, SEEK_SET) != end) return state_error(path, "going to the end of");
    // Its end comes when the rest is durable: so what has an end and does not fit is damage, and no crash's doing.
    const std::string text = text_of(entry);
    for (const std::string_view part : {std::string_view(text), kEnd}) {
        Expected<void> written = write_all(file, part, path);
        if (written && ::fdatasync(file.number()) != 0) written = state_error(path, "syncing");
        if (written) continue;
        // What is refused must not be there after a restart. If even that fails, the next append does it.
        if (::ftruncate(file.number(), end) != 0 || ::fdatasync(file.number()) != 0)
            log(LogLevel::error, state_error(path, "shortening").words);
        return written.error();
    }
    return bytes + text.size() + kEnd.size();
}

}  // namespace sekisho::control
