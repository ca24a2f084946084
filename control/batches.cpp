#include "control/batches.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace sekisho::control {

using nlohmann::json;

namespace {

constexpr std::size_t kBatchBytes = std::size_t{256} << 10;  // of objects in one line
constexpr std::size_t kAhead = 4;                            // batches that are not answered yet

// The hub is one object, not an array of them.
bool is_array(Kind kind, bool is_put) {
    return !is_put || kind != Kind::hub;
}

}  // namespace

void Batches::Half::add(Kind next, std::string_view element, bool is_put) {
    if (!text.empty() && kind == next) {
        text += ',';
    } else {
        if (!text.empty()) text += is_array(kind, is_put) ? "]," : ",";
        kind = next;
        text += fmt::format("\"{}\":{}", name_of(kind), is_array(kind, is_put) ? "[" : "");
    }
    text += element;
}

std::string Batches::Half::closed(bool is_put) const {
    return text.empty() ? "{}" : fmt::format("{{{}{}}}", text, is_array(kind, is_put) ? "]" : "");
}

Batches::Batches(Client& client, const json& transaction) : client_(client), transaction_(transaction.dump()) {}

void Batches::make_room(std::size_t bytes) {
    if (bytes_ != 0 && bytes_ + bytes > kBatchBytes) send();
    bytes_ += bytes;
}

void Batches::put(Kind kind, std::string_view object) {
    make_room(object.size());
    puts_.add(kind, object, true);
    ++count_;
}

void Batches::erase(Kind kind, std::string_view id) {
    const std::string text = json(id).dump(-1, ' ', false, json::error_handler_t::replace);
    make_room(text.size());
    erases_.add(kind, text, false);
}

bool Batches::finish() {
    send();
    while (!failure_ && !unanswered_.empty()) take_answer();
    return !failure_;
}

void Batches::send() {
    if (bytes_ == 0 || failure_) return;
    if (unanswered_.size() == kAhead) take_answer();
    unanswered_.push_back(client_.ask("batch", fmt::format(R"({{"transaction":{},"delete":{},"put":{}}})", transaction_,
                                                           erases_.closed(false), puts_.closed(true))));
    erases_ = {};
    puts_ = {};
    bytes_ = 0;
}

void Batches::take_answer() {
    auto answer = client_.answer_to(unanswered_.front());
    unanswered_.pop_front();
    if (const auto* result = std::get_if<json>(&answer))
        staged_ = result->value("objects", std::size_t{0});
    else
        failure_ = std::move(answer);
}

}  // namespace sekisho::control
