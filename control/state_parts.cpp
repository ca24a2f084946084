#include "control/state_parts.hpp"

#include <algorithm>
#include <charconv>
#include <filesystem>

#include <fmt/format.h>

#include "control/document_hash.hpp"
#include "control/state_file.hpp"
#include "control/state_journal.hpp"

namespace sekisho::control {

using nlohmann::json;

Error damaged_file(const std::string& path, const std::string& how, const char* remedy) {
    return {ErrorCode::invalid, fmt::format("state file {} is damaged: {}; {}", path, how, remedy)};
}

bool has(const json& line, const char* name, json::value_t type) {
    return line.is_object() && line.contains(name) && line.at(name).type() == type;
}

Expected<std::optional<StateParts>> load_parts(const std::string& path, const char* remedy) {
    auto bytes = read_whole(path);
    if (!bytes && bytes.error().code == ErrorCode::not_found) return std::optional<StateParts>();
    if (!bytes) return bytes.error();
    const std::size_t newline = bytes->find('\n');
    if (newline == std::string::npos) return damaged_file(path, "its first line has no end", remedy);
    StateParts parts{json::parse(bytes->substr(0, newline), nullptr, false), {}};
    if (!has(parts.line, "format", json::value_t::number_unsigned) ||
        !has(parts.line, "generation", json::value_t::number_unsigned) ||
        !has(parts.line, "committed", json::value_t::string) ||
        !has(parts.line, "bytes", json::value_t::number_unsigned))
        return damaged_file(path, "its first line does not describe a generation", remedy);
    parts.rest = bytes->erase(0, newline + 1);
    if (parts.line["bytes"] != parts.rest.size())
        return damaged_file(
            path,
            fmt::format("its document has {} bytes and should have {}", parts.rest.size(), parts.line["bytes"].dump()),
            remedy);
    return std::optional<StateParts>(std::move(parts));
}

Expected<void> check_crc(const StateParts& parts, const std::string& path, const char* remedy) {
    if (!has(parts.line, "crc32", json::value_t::number_unsigned))
        return damaged_file(path, "its first line does not describe a generation", remedy);
    if (parts.line["crc32"] != crc32_of(parts.rest))
        return damaged_file(path, "its document's checksum is wrong", remedy);
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
        const auto document = Document::parse((*parts)->rest);
        if (!document) return damaged_file(path, document.error().words, kRestore);
        saved.record.hash = hash_of(*document).text;
    } else if (line["format"] == kGenerationFormat) {
        auto record = record_of(line);
        if (!record || !has(line, "sha256", json::value_t::string))
            return damaged_file(path, "its first line does not describe a generation", kRestore);
        saved.record = std::move(*record);
        if (line["sha256"] != sha256_text((*parts)->rest))
            return damaged_file(path, "its document's checksum is wrong", kRestore);
    } else {
        return damaged_file(path,
                            fmt::format("its format is {}, this version reads {} and {}", line["format"].dump(),
                                        kTextFormat, kGenerationFormat),
                            kRestore);
    }
    saved.document = std::move((*parts)->rest);
    return std::optional<StateStore::Saved>(std::move(saved));
}

Expected<void> save_generation(const std::string& path, const GenerationRecord& record, const Document& document) {
    json line = to_json(record);
    line.erase("confirmed");
    line["format"] = kGenerationFormat;
    line["sha256"] = sha256_of_text(document);
    return write_file(path, line, [&document](const TakeText& take) { document.write(take); });
}

std::optional<GenerationRecord> first_record(const std::string& path) {
    const auto line = read_first_line(path);
    if (!line) return std::nullopt;
    const json object = json::parse(*line, nullptr, false);
    if (auto record = record_of(object)) return *record;
    if (!has(object, "crc32", json::value_t::number_unsigned) ||
        !has(object, "generation", json::value_t::number_unsigned))
        return std::nullopt;
    GenerationRecord record;
    record.number = object["generation"];
    record.committed = object.value("committed", "");
    record.what = "commit";
    record.bytes = object.value("bytes", std::uint64_t{0});
    return record;
}

Expected<std::optional<StateStore::Saved>> with_journal(Expected<std::optional<StateStore::Saved>> saved,
                                                        const std::string& path, std::optional<std::uint64_t> number) {
    if (!saved || !*saved) return saved;
    auto journal = read_journal(path, kRestore);
    if (!journal) return journal.error();
    StateStore::Saved& last = **saved;
    if (!*journal || !(*journal)->goes_on_from(last.record.number)) return saved;
    for (JournalEntry& entry : (*journal)->entries) {
        if (entry.record.number <= last.record.number) continue;
        if (number && entry.record.number > *number) break;
        last.record = std::move(entry.record);
        last.changes.push_back(std::move(entry.changes));
    }
    return saved;
}

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

}  // namespace sekisho::control
