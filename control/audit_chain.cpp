#include "control/audit_chain.hpp"

#include <algorithm>
#include <array>
#include <sys/stat.h>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "control/document_hash.hpp"

namespace sekisho::control {

namespace {

constexpr std::size_t kMostErrors = 20;

void add_error(ChainVerdict& verdict, std::string words) {
    if (verdict.errors.size() < kMostErrors)
        verdict.errors.push_back(std::move(words));
    else
        ++verdict.more_errors;
}

}  // namespace

std::optional<LastLine> last_line_of(const FileDescriptor& file) {
    struct stat found {};
    if (::fstat(file.number(), &found) != 0) return std::nullopt;
    LastLine last;
    std::string tail;
    for (off_t begin = found.st_size; begin > 0;) {
        std::array<char, 4096> piece;
        const off_t from = std::max<off_t>(0, begin - static_cast<off_t>(piece.size()));
        const ssize_t got = ::pread(file.number(), piece.data(), static_cast<std::size_t>(begin - from), from);
        if (got != begin - from) return std::nullopt;
        tail.insert(0, piece.data(), static_cast<std::size_t>(got));
        begin = from;
        last.is_half = tail.back() != '\n';
        const std::size_t end = last.is_half ? tail.size() : tail.size() - 1;
        const std::size_t newline = end == 0 ? std::string::npos : tail.rfind('\n', end - 1);
        if (newline == std::string::npos && begin != 0) continue;
        const std::size_t start = newline == std::string::npos ? 0 : newline + 1;
        last.text = tail.substr(start, end - start);
        break;
    }
    return last;
}

ChainVerdict verify_chain(std::istream& log, const std::optional<std::string>& head, std::uint64_t* head_line) {
    ChainVerdict verdict;
    verdict.head = kChainBegin;
    bool chained = false;
    std::uint64_t odd = 0;  // the line before, if it is no JSON: the next must cover it
    std::uint64_t found = head && *head == kChainBegin ? 1 : 0;
    for (std::string line; std::getline(log, line);) {
        const std::uint64_t number = ++verdict.lines;
        const auto object = nlohmann::json::parse(line, nullptr, false);
        const bool is_line = object.is_object();
        const auto previous = is_line ? object.find("previous") : object.end();
        const bool has_previous = is_line && previous != object.end() && previous->is_string();
        if (is_line && !has_previous) {
            if (chained) add_error(verdict, fmt::format("line {}: it has no \"previous\"", number));
            ++verdict.before;
        } else if (has_previous) {
            if (*previous != verdict.head)
                add_error(
                    verdict,
                    number == 1
                        ? std::string("line 1: there were lines before it, which are gone")
                        : fmt::format("line {}: it does not follow line {}: a line was changed, left out or put in",
                                      number, number - 1));
            else if (odd != 0)
                verdict.cut.push_back(odd);
            chained = true;
        }
        if (odd != 0 && !has_previous) add_error(verdict, fmt::format("line {}: it is not JSON", odd));
        odd = is_line ? 0 : number;
        verdict.head = sha256_text(line);
        if (head && *head == verdict.head) found = number + 1;
    }
    if (odd != 0) verdict.cut.push_back(odd);  // the very last
    if (head && found == 0) add_error(verdict, fmt::format("no line has the hash {}: the log's end is gone", *head));
    if (head_line != nullptr) *head_line = found == 0 ? 0 : found - 1;
    return verdict;
}

}  // namespace sekisho::control
