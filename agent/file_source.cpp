// inotify says when to look; what stat() says decides.
#include "agent/file_source.hpp"

#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <openssl/evp.h>
#include <poll.h>
#include <set>
#include <sys/inotify.h>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "agent/key.hpp"
#include "control/json.hpp"
#include "control/place.hpp"

namespace sekisho::agent {

using control::Kind;
using nlohmann::json;

namespace {

// What inotify does not see (a link's target in another directory, some network file systems) is seen this soon.
constexpr std::chrono::milliseconds kLookEvery{1000};

Error system_error(const std::string& file) {
    return {errno == EACCES ? ErrorCode::permission : ErrorCode::unavailable,
            fmt::format("{}: {}", file, std::strerror(errno))};
}

// The file from its beginning in pieces, hashed on the way.
class Pieces {
  public:
    explicit Pieces(int number) : number_(number) { EVP_DigestInit_ex(digest_.get(), EVP_sha256(), nullptr); }
    // Empty at the end, or after an error.
    std::string_view next() {
        ssize_t got = 0;
        do got = ::pread(number_, piece_.data(), piece_.size(), at_);
        while (got < 0 && errno == EINTR);
        if (got < 0) failed_ = true;
        if (got <= 0) return {};
        at_ += got;
        EVP_DigestUpdate(digest_.get(), piece_.data(), static_cast<std::size_t>(got));
        return {piece_.data(), static_cast<std::size_t>(got)};
    }
    bool failed() const noexcept { return failed_; }
    std::string hash() {  // of what was read; once
        while (!next().empty()) {
        }
        std::array<unsigned char, EVP_MAX_MD_SIZE> bytes{};
        unsigned length = 0;
        EVP_DigestFinal_ex(digest_.get(), bytes.data(), &length);
        std::string text;
        for (unsigned i = 0; i < length; ++i) text += fmt::format("{:02x}", bytes[i]);
        return text;
    }

  private:
    struct Free {
        void operator()(EVP_MD_CTX* digest) const { EVP_MD_CTX_free(digest); }
    };
    int number_;
    off_t at_ = 0;
    bool failed_ = false;
    std::unique_ptr<EVP_MD_CTX, Free> digest_{EVP_MD_CTX_new()};
    std::vector<char> piece_ = std::vector<char>(256 * 1024);
};

// The key of an object of the document; without a name, where it stands.
std::string key_of_object(Kind kind, const json& object, std::size_t index) {
    const auto text = [&](const char* field) {
        return object.is_object() && object.contains(field) && object[field].is_string()
                   ? object[field].get<std::string>()
                   : std::string();
    };
    std::string id = kind == Kind::routes ? text("operator") + "/" + text("prefix") : text("id");
    if (id.empty() || id == "/") id = fmt::format("[{}]", index);
    return fmt::format("{}/{}", name_of(kind), id);
}

std::string written(const json& value) {
    return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace

FileSource::FileSource(std::string file) : file_(std::move(file)), inotify_(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK)) {
    const auto directory = std::filesystem::path(file_).parent_path();
    ::inotify_add_watch(inotify_.number(), directory.empty() ? "." : directory.c_str(),
                        IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE | IN_DELETE | IN_ONLYDIR);
}

FileSource::Identity FileSource::identity_of(const std::string& file) {
    struct stat told {};
    if (::stat(file.c_str(), &told) != 0) return {};
    return {told.st_dev, told.st_ino, told.st_size, told.st_mtim};
}

bool FileSource::is_changed() const {
    return !(identity_of(file_) == read_) || !(identity_of(signature_file()) == read_signature_);
}

Expected<Position> FileSource::begin(const std::string& label) {
    read_ = identity_of(file_);
    read_signature_ = identity_of(signature_file());
    opened_ = FileDescriptor(::open(file_.c_str(), O_RDONLY | O_CLOEXEC));
    if (!opened_) return system_error(file_);
    Pieces pieces(opened_.number());
    hash_ = pieces.hash();
    if (pieces.failed()) return system_error(file_);
    const std::string found = "file:" + hash_;
    return Position{found, label == found};
}

Expected<void> FileSource::read(const std::string& below, const std::function<void(Item)>& take) {
    Pieces pieces(opened_.number());
    std::optional<Error> wrong;
    const auto refuse = [&](const std::string& place, const std::string& words) {
        if (!wrong) wrong = Error{ErrorCode::invalid, fmt::format("{}: {}: {}", file_, place, words)};
    };
    std::set<std::string> names;  // of this kind
    std::string kind_of_names;
    const auto root = control::parse_json_elements(
        [&] { return pieces.next(); },
        [&](const std::string& member, std::size_t index, json&& object) {
            const auto kind = control::kind_named(member);
            if (!kind || *kind == Kind::hub) return refuse(member, "an array of a known kind is expected");
            if (std::exchange(kind_of_names, member) != member) names.clear();
            const std::string key = key_of_object(*kind, object, index);
            if (!names.insert(key).second)
                refuse(control::indexed(member, index), "another one before it has the same name");
            if (key.rfind(below, 0) == 0) take({key, written(object), 0});
        });
    if (!root) return Error{ErrorCode::invalid, fmt::format("{}: {}", file_, root.error().words)};
    if (!root->is_object()) return Error{ErrorCode::invalid, file_ + ": a policy document is a JSON object"};
    for (const auto& [member, value] : root->items()) {
        const auto kind = control::kind_named(member);
        if (kind == Kind::hub) {
            if (std::string("hub").rfind(below, 0) == 0) take({"hub", written(value), 0});
        } else if (!kind || !value.is_array()) {
            refuse(member, kind ? "an array is expected" : "is not a kind of object that this version knows");
        }
    }
    const std::string key = "signatures/" + std::string(kOfFile);
    if (std::ifstream signature(signature_file()); signature && key.rfind(below, 0) == 0)
        take({key, {std::istreambuf_iterator<char>(signature), {}}, 0});
    if (wrong) return *wrong;
    if (pieces.failed()) return system_error(file_);
    if (pieces.hash() != hash_) return Error{ErrorCode::unavailable, file_ + ": changed while it was read"};
    return {};
}

Event FileSource::next(std::chrono::milliseconds longest) {
    const auto until = std::chrono::steady_clock::now() + longest;
    for (;;) {
        if (is_changed()) return {Event::What::replaced, {}, {}, file_ + " changed"};
        const auto left =
            std::chrono::duration_cast<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
        if (left.count() <= 0) return {};
        pollfd waiting{inotify_.number(), POLLIN, 0};
        ::poll(&waiting, 1, static_cast<int>(std::min(left, kLookEvery).count()));
        std::array<char, 4096> told{};
        while (::read(inotify_.number(), told.data(), told.size()) > 0) {
        }
    }
}

}  // namespace sekisho::agent
