#include "control/answer_bounds.hpp"

#include <fmt/format.h>

namespace sekisho::control {

using nlohmann::json;

namespace {

constexpr std::size_t kDiffBytes = std::size_t{512} << 10;  // of one answer
constexpr std::size_t kMaxNotes = 100;                      // in one answer; likewise warnings

}  // namespace

json bounded(const std::vector<std::string>& words) {
    json result = json::array();
    for (std::size_t i = 0; i < words.size() && i < kMaxNotes; ++i) result.push_back(words[i]);
    if (words.size() > kMaxNotes) result.push_back(fmt::format("... and {} more", words.size() - kMaxNotes));
    return result;
}

json bounded(const DocumentDiff& diff) {
    for (std::size_t most = 1000;; most /= 2) {
        const std::string text = to_json(diff, most).dump();
        if (text.size() <= kDiffBytes || most == 0) return json::parse(text);
    }
}

}  // namespace sekisho::control
