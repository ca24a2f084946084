#include "control/sekishoctl_stage.hpp"

#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <unistd.h>

#include <fmt/format.h>

#include "control/json.hpp"
#include "net/file_descriptor.hpp"

namespace sekisho::control::cli {

using nlohmann::json;

namespace {

constexpr std::size_t kBatchBytes = std::size_t{256} << 10;  // of objects in one line
constexpr std::size_t kAhead = 4;                            // batches that are not answered yet

// Collects objects into batches and keeps a few of them under way.
class Batches {
  public:
    Batches(Daemon& daemon, const json& transaction) : daemon_(daemon), transaction_(transaction.dump()) {}

    void add(Kind kind, const std::string& object) {
        if (bytes_ != 0 && bytes_ + object.size() > kBatchBytes) send();
        if (kind != kind_ || bytes_ == 0) {
            if (bytes_ != 0) puts_ += end_of(kind_) + ",";
            puts_ += fmt::format("\"{}\":{}", name_of(kind), kind == Kind::hub ? "" : "[");
            kind_ = kind;
        } else {
            puts_ += ",";
        }
        puts_ += object;
        bytes_ += object.size();
        ++count_;
    }
    // Sends the rest and waits for all answers. True when the daemon has as many objects as it was given.
    bool finish() {
        send();
        while (!failure_ && !unanswered_.empty()) take_answer();
        return !failure_ && staged_ == count_;
    }
    // What went wrong: an RpcError, or Lost. Nothing is printed here.
    const std::optional<Client::Answer>& failure() const noexcept { return failure_; }

  private:
    static std::string end_of(Kind kind) { return kind == Kind::hub ? "" : "]"; }

    void send() {
        if (bytes_ == 0 || failure_) return;
        if (unanswered_.size() == kAhead) take_answer();
        unanswered_.push_back(daemon_.ask(
            "batch", fmt::format(R"({{"transaction":{},"put":{{{}{}}}}})", transaction_, puts_, end_of(kind_))));
        puts_.clear();
        bytes_ = 0;
    }
    void take_answer() {
        auto answer = daemon_.answer_to(unanswered_.front());
        unanswered_.pop_front();
        if (const auto* result = std::get_if<json>(&answer))
            staged_ = result->value("objects", std::size_t{0});
        else
            failure_ = std::move(answer);
    }

    Daemon& daemon_;
    std::string transaction_;
    std::string puts_;
    Kind kind_ = Kind::hub;
    std::size_t bytes_ = 0;
    std::size_t count_ = 0;   // objects given to add()
    std::size_t staged_ = 0;  // objects in the daemon's staged document, as of the last answer
    std::deque<std::uint64_t> unanswered_;
    std::optional<Client::Answer> failure_;
};

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

    Batches batches(daemon, transaction);
    bool odd = false;  // something that only a look at the whole file explains
    const NextPiece next = [&pieces] { return pieces.next(); };
    const auto root = parse_json_elements(next, [&](const std::string& key, std::size_t, json&& element) {
        const auto kind = kind_named(key);
        if (!kind || *kind == Kind::hub)
            odd = true;
        else
            batches.add(*kind, element.dump(-1, ' ', false, json::error_handler_t::replace));
    });
    if (!root || !root->is_object()) {
        odd = true;
    } else {
        for (const auto& [key, value] : root->items()) {
            if (key == name_of(Kind::hub))
                batches.add(Kind::hub, value.dump(-1, ' ', false, json::error_handler_t::replace));
            else if (!kind_named(key) || !value.is_array())
                odd = true;
        }
    }
    const bool whole = batches.finish();
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
