#include "ipfix/log_reader.hpp"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <filesystem>
#include <unistd.h>

namespace sekisho::ipfix {

namespace {

constexpr std::size_t kPiece = 65'536;

bool is_log(const std::string& name) {
    return name.starts_with("translations-") && name.ends_with(".jsonl");
}

// The name of the log that `better` chooses among all; "": there is none.
template <class Better>
std::string chosen(const std::string& directory, Better&& better) {
    std::string best;
    std::error_code error;
    for (std::filesystem::directory_iterator at(directory, error), end; !error && at != end; at.increment(error)) {
        const std::string name = at->path().filename().string();
        if (is_log(name) && better(name, best)) best = name;
    }
    return best;
}

}  // namespace

std::string LogReader::latest() const {
    return chosen(directory_, [](const std::string& name, const std::string& best) { return name > best; });
}

std::string LogReader::file_after(const std::string& file) const {
    return chosen(directory_, [&](const std::string& name, const std::string& best) {
        return name > file && (best.empty() || name < best);
    });
}

void LogReader::begin_with(const std::string& file) {
    text_.clear();
    given_ = 0;
    place_ = {file, 0};
    const auto open = [&] {
        file_ = FileDescriptor(::open((directory_ + "/" + place_.file).c_str(), O_RDONLY | O_CLOEXEC));
    };
    file_.close();
    if (file.empty()) return;  // next() finds the first one
    open();
    if (file_) return;
    place_.file = file_after(file);
    if (!place_.file.empty()) open();
}

bool LogReader::fill() {
    text_.erase(0, std::exchange(given_, 0));
    const std::size_t before = text_.size();
    text_.resize(before + kPiece);
    ssize_t count = -1;
    do count = file_ ? ::read(file_.number(), text_.data() + before, kPiece) : 0;
    while (count < 0 && errno == EINTR);
    text_.resize(before + static_cast<std::size_t>(std::max<ssize_t>(count, 0)));
    return count > 0;
}

std::optional<std::string> LogReader::next() {
    for (;;) {
        const std::size_t end = text_.find('\n', given_);
        if (end != std::string::npos) {
            std::string line = text_.substr(given_, end - given_);
            place_.offset += end + 1 - given_;
            given_ = end + 1;
            return line;
        }
        if (fill()) continue;
        const std::string later = file_after(place_.file);
        if (later.empty()) return std::nullopt;
        if (fill()) continue;  // what was written before the later one was made
        begin_with(later);
    }
}

}  // namespace sekisho::ipfix
