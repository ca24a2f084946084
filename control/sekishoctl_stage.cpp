#include "control/sekishoctl_stage.hpp"

#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <unistd.h>

#include <fmt/format.h>

#include "control/batches.hpp"
#include "control/json.hpp"
#include "net/file_descriptor.hpp"

namespace sekisho::control::cli {

using nlohmann::json;

namespace {

// A policy file in pieces; from standard input, they are kept.
class Pieces {
  public:
    explicit Pieces(const std::string& file)
        : name_(file),
          file_(file == "-" ? ::dup(STDIN_FILENO) : ::open(file.c_str(), O_RDONLY | O_CLOEXEC)),
          kept_(file == "-" ? std::optional<std::string>("") : std::nullopt) {
        if (!file_) failed();
    }
    // The next, valid until the one after; empty at the end, or at an error().
    std::string_view next() {
        while (file_ && !error_) {
            const ssize_t got = ::read(file_.number(), piece_.data(), piece_.size());
            if (got < 0 && errno == EINTR) continue;
            if (got < 0) break;
            const std::string_view piece(piece_.data(), static_cast<std::size_t>(got));
            if (kept_) kept_->append(piece);
            return piece;
        }
        if (!error_) failed();
        return {};
    }
    const std::optional<Error>& error() const noexcept { return error_; }
    // All of it, for a second look.
    Expected<std::string> whole() {
        if (!kept_) return read_file(name_);
        while (!next().empty()) {
        }
        if (error_) return *error_;
        return *kept_;
    }

  private:
    void failed() { error_ = Error{ErrorCode::unavailable, fmt::format("{}: {}", name_, std::strerror(errno))}; }

    std::string name_;
    FileDescriptor file_;
    std::optional<std::string> kept_;
    std::optional<Error> error_;
    std::vector<char> piece_ = std::vector<char>(256 * 1024);
};

}  // namespace

Expected<std::string> read_file(const std::string& file) {
    const FileDescriptor opened(file == "-" ? ::dup(STDIN_FILENO) : ::open(file.c_str(), O_RDONLY | O_CLOEXEC));
    std::string text;
    std::array<char, 256 * 1024> piece;
    for (;;) {
        const ssize_t got = opened ? ::read(opened.number(), piece.data(), piece.size()) : -1;
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return Error{ErrorCode::unavailable, fmt::format("{}: {}", file, std::strerror(errno))};
        if (got == 0) return text;
        text.append(piece.data(), static_cast<std::size_t>(got));
    }
}

std::optional<Document> parse_document(const Options& options, const std::string& file, const std::string& text) {
    std::vector<Error> errors;
    auto document = Document::parse(text, errors);
    if (!document) print_errors(options, file, errors);
    return document;
}

StagedFile stage(const Options& options, Daemon& daemon, const std::string& file) {
    Pieces pieces(file);
    if (pieces.error()) return {std::nullopt, fail(options, *pieces.error())};
    const auto begun = daemon.call("begin", {{"replace", true}});
    if (!begun) return {std::nullopt, daemon.exit_code()};
    const json transaction = begun->value("transaction", json());

    Batches batches(daemon.client(), transaction);
    bool odd = false;  // something that only a look at the whole file explains
    const NextPiece next = [&pieces] { return pieces.next(); };
    const auto root = parse_json_elements(next, [&](const std::string& key, std::size_t, json&& element) {
        const auto kind = kind_named(key);
        if (!kind || *kind == Kind::hub)
            odd = true;
        else
            batches.put(*kind, element.dump(-1, ' ', false, json::error_handler_t::replace));
    });
    if (!root || !root->is_object()) {
        odd = true;
    } else {
        for (const auto& [key, value] : root->items()) {
            if (key == name_of(Kind::hub))
                batches.put(Kind::hub, value.dump(-1, ' ', false, json::error_handler_t::replace));
            else if (!kind_named(key) || !value.is_array())
                odd = true;
        }
    }
    const bool whole = batches.finish() && batches.staged() == batches.puts();
    if (pieces.error()) return {std::nullopt, fail(options, *pieces.error())};
    if (whole && !odd && root->contains(name_of(Kind::hub))) return {transaction, kOk};
    const auto& failure = batches.failure();
    if (failure && std::holds_alternative<Client::Lost>(*failure))
        return {std::nullopt, fail(options, std::get<Client::Lost>(*failure))};
    const auto text = pieces.whole();
    if (!text) return {std::nullopt, fail(options, text.error())};
    if (!parse_document(options, file, *text)) return {std::nullopt, kRefused};
    if (failure) return {std::nullopt, fail(options, std::get<RpcError>(*failure))};
    return {std::nullopt, fail(options, Error{ErrorCode::invalid,
                                              fmt::format("{}: the daemon did not take all of its objects", file)})};
}

}  // namespace sekisho::control::cli
