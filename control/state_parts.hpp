// The files of generations in the state directory, one by one. Inner header of control/state_*.cpp.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "control/generation_record.hpp"
#include "control/state_store.hpp"
#include "net/expected.hpp"

namespace sekisho::control {

inline constexpr int kTextFormat = 1;        // checked by length and CRC-32
inline constexpr int kGenerationFormat = 3;  // by length and SHA-256
inline constexpr const char* kRestore = "start with --policy FILE --policy-replace, or restore the file";
inline constexpr const char* kUnconfirmed = ".unconfirmed";

// A file's first line and the rest, whose length is checked.
struct StateParts {
    nlohmann::json line;
    std::string rest;
};
Error damaged_file(const std::string& path, const std::string& how, const char* remedy);
bool has(const nlohmann::json& line, const char* name, nlohmann::json::value_t type);
Expected<std::optional<StateParts>> load_parts(const std::string& path, const char* remedy);
Expected<void> check_crc(const StateParts& parts, const std::string& path, const char* remedy);

Expected<std::optional<StateStore::Saved>> load_generation(const std::string& path);
Expected<void> save_generation(const std::string& path, const GenerationRecord& record, const Document& document);
// What the first line of a generation's file says, of the version before too.
std::optional<GenerationRecord> first_record(const std::string& path);
// With what a journal says of it, up to the generation of that number or to its end.
Expected<std::optional<StateStore::Saved>> with_journal(Expected<std::optional<StateStore::Saved>> saved,
                                                        const std::string& path, std::optional<std::uint64_t> number);
// The files of a directory that are named by a number and `ending`, ascending.
std::vector<std::uint64_t> numbered(const std::string& directory, std::string_view ending);

}  // namespace sekisho::control
