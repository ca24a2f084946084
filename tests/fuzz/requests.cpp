// Fuzzed: what a client of the control socket sends, cut into lines and read as requests. Every line is a request or is
// refused with an answer that is JSON again.
#include <cstdlib>
#include <string_view>

#include "control/explain_params.hpp"
#include "control/json_rpc.hpp"
#include "control/key_text.hpp"
#include "control/line_cutter.hpp"
#include "control/sa_orders.hpp"
#include "tests/fuzz/target.hpp"

using namespace sekisho;
using namespace sekisho::control;

namespace {

constexpr std::size_t kLongest = 512;  // short, so that inputs of libFuzzer's length run over it

void read_request(WipedText& line) {
    // What is no key stays what it was, and no mark is longer than what it stands for.
    const std::size_t before = line.size();
    auto keys = take_keys(line);
    if (line.size() != before || (!keys.empty() && line.find("\"key\"") == WipedText::npos)) std::abort();
    const auto read = parse_request(line);
    if (const auto* const refusal = std::get_if<Refusal>(&read)) {
        const std::string answer = error_line(refusal->id, refusal->error);
        if (answer.empty() || answer.back() != '\n' || !nlohmann::json::accept(answer)) std::abort();
        return;
    }
    const auto& request = std::get<Request>(read);
    if (!request.params.is_object()) std::abort();
    if (const auto sas = request.params.find("sas"); sas != request.params.end()) {
        const auto orders = read_orders(*sas, keys);
        if (!orders && orders.error().words.empty()) std::abort();
        (void)read_names(*sas);
    }
    Params params(request.params);
    (void)imagined_packet(params, [](const std::string& name) -> std::optional<AttachmentId> {
        return name.size() < 4 ? std::optional(AttachmentId(0)) : std::nullopt;
    });
    (void)params.error();
}

}  // namespace

int fuzz_one(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    // The first byte says in how many pieces the rest arrives.
    const std::size_t piece = std::size_t{data[0]} + 1;
    std::string_view text(reinterpret_cast<const char*>(data + 1), size - 1);
    LineCutter cutter(kLongest);
    while (!text.empty()) {
        cutter.feed(text.substr(0, piece));
        text.remove_prefix(std::min(piece, text.size()));
        while (auto line = cutter.next()) {
            if (line->text.size() > kLongest || line->text.find('\n') != std::string::npos) std::abort();
            if (!line->oversize) read_request(line->text);
        }
    }
    return 0;
}
