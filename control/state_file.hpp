// Files of the state directory: a line of JSON that describes the rest, then the rest, replaced whole or not at all.
//
// write_file() is durable before it returns (written beside, fsync, renamed, directory fsync), so a crash leaves the
// old file or the new one and never half of one. Used by control/state_store.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "net/expected.hpp"
#include "net/file_descriptor.hpp"

namespace sekisho::control {

using TakeText = std::function<void(std::string_view)>;

// errno as an error: "state directory: opening PATH: no such file". Code permission or unavailable.
Error state_error(const std::string& path, const char* tried);

Expected<void> write_file(const std::string& path, const nlohmann::json& first_line,
                          const std::function<void(const TakeText&)>& rest);
Expected<void> write_all(const FileDescriptor& file, std::string_view bytes, const std::string& path);
// Error not_found: there is no such file.
Expected<std::string> read_whole(const std::string& path);
// The first line, at most 64 KiB, without its newline; whole files may be large.
Expected<std::string> read_first_line(const std::string& path);
Expected<void> move_file(const std::string& from, const std::string& to);  // durable; both in one directory tree
Expected<void> remove_file(const std::string& path);                       // durable; no error if it is not there
Expected<void> sync_directory_of(const std::string& path);

}  // namespace sekisho::control
