// A builder behind nlohmann's SAX reader that refuses what its DOM reader lets pass. Control plane only.
#include "control/json.hpp"

#include <iterator>
#include <optional>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "control/place.hpp"

namespace sekisho::control {

namespace {

using nlohmann::json;

class Builder {
  public:
    Builder(std::size_t max_depth, const TakeElement* take) : max_depth_(max_depth), take_(take) {}

    // What nlohmann::json::sax_parse calls; false stops the reading.
    bool null() { return value(nullptr); }
    bool boolean(bool what) { return value(what); }
    bool number_integer(json::number_integer_t number) { return value(number); }
    bool number_unsigned(json::number_unsigned_t number) { return value(number); }
    bool number_float(json::number_float_t number, const std::string&) { return value(number); }
    bool string(std::string& text) { return value(std::move(text)); }
    bool binary(json::binary_t&) { return false; }  // JSON has none
    bool start_object(std::size_t) { return open(json::object()); }
    bool start_array(std::size_t) { return open(json::array()); }
    bool end_object() { return close(); }
    bool end_array() { return close(); }

    bool key(std::string& name) {
        Frame& frame = frames_.back();
        const auto [member, is_new] = frame.value->get_ref<json::object_t&>().try_emplace(std::move(name));
        if (!is_new) return refuse(ErrorCode::invalid, "the key " + in_quotes(member->first) + " is given twice");
        frame.member = &*member;
        return true;
    }

    bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception& exception) {
        error_ = Error{ErrorCode::invalid, words_of(exception.what())};
        return false;
    }

    Expected<json> result() {
        if (error_) return *error_;
        return std::move(root_);
    }

  private:
    // An array or object that is being read, where it will stay.
    struct Frame {
        json* value;
        json::object_t::value_type* member = nullptr;  // of an object: the one that is being read
        std::size_t count = 0;                         // of an array: elements that were read
    };

    bool open(json empty) {
        if (frames_.size() == max_depth_)
            return refuse(ErrorCode::limit, "nested deeper than " + std::to_string(max_depth_) + " levels");
        frames_.push_back({&put(std::move(empty))});
        return true;
    }

    bool close() {
        frames_.pop_back();
        return done();
    }

    bool value(json what) {
        put(std::move(what));
        return done();
    }

    json& put(json&& what) {
        if (frames_.empty()) return root_ = std::move(what);
        Frame& frame = frames_.back();
        if (frame.value->is_object()) return frame.member->second = std::move(what);
        if (goes_to_taker()) return element_ = std::move(what);
        return frame.value->emplace_back(std::move(what));
    }

    // The value that was put last is whole.
    bool done() {
        if (frames_.empty() || frames_.back().value->is_object()) return true;
        if (goes_to_taker()) (*take_)(frames_[0].member->first, frames_[1].count, std::move(element_));
        ++frames_.back().count;
        return true;
    }

    // Whether what comes next in the array on top of the stack is an element of one of the root's members.
    bool goes_to_taker() const { return take_ != nullptr && frames_.size() == 2 && frames_[0].value->is_object(); }

    bool refuse(ErrorCode code, const std::string& words) {
        error_ = Error{code, words};
        const std::string place = path();
        if (!place.empty()) error_ = error_->at(place);
        return false;
    }

    // `institutions[3] "sato-clinic" .links[0]`, or `.params.objects[3]` when the root is not a document.
    std::string path() const {
        std::string path;
        for (std::size_t i = 0; i + 1 < frames_.size(); ++i) {
            const Frame& frame = frames_[i];
            if (frame.value->is_array()) {
                path += "[" + std::to_string(frame.count) + "]";
                if (take_ != nullptr && i == 1) path += name_of(*frames_[2].value);
            } else {
                path += (path.empty() && take_ != nullptr ? "" : ".") + quoted_unless_plain(frame.member->first);
            }
        }
        return path;
    }

    static std::string name_of(const json& object) {
        const auto id = object.is_object() ? object.find("id") : object.end();
        const bool named = object.is_object() && id != object.end() && id->is_string();
        return named ? " " + in_quotes(id->get_ref<const std::string&>()) + " " : " ";
    }

    static std::string quoted_unless_plain(const std::string& key) {
        const std::string text = in_quotes(key);
        return text.size() == key.size() + 2 && key.find_first_of(" .[]\"") == std::string::npos ? key : text;
    }

    // "[json.exception.parse_error.101] parse error at line 1, column 2: what" without the library's own prefix, and
    // without bytes of the text that a terminal or a JSON writer could not take.
    static std::string words_of(std::string_view what) {
        constexpr std::string_view kAt = "parse error at ";
        if (const std::size_t at = what.find(kAt); at != std::string_view::npos)
            what.remove_prefix(at + kAt.size());
        else if (const std::size_t bracket = what.find("] "); bracket != std::string_view::npos)
            what.remove_prefix(bracket + 2);
        constexpr std::size_t kShown = 400;
        std::string words(what.substr(0, kShown));
        for (char& letter : words)
            if (letter < 0x20 || letter == 0x7f) letter = '?';  // char is signed here: bytes from 0x80 on as well
        return words;
    }

    std::size_t max_depth_;
    const TakeElement* take_;
    std::vector<Frame> frames_;
    json root_;
    json element_;  // that the taker is to get
    std::optional<Error> error_;
};

Expected<json> build(std::string_view text, std::size_t max_depth, const TakeElement* take) {
    Builder builder(max_depth, take);
    json::sax_parse(text.begin(), text.end(), &builder);
    return builder.result();
}

// The pieces as one run of characters. Copies share where they are, as those of a stream's iterator do.
class PieceIterator {
  public:
    using iterator_category = std::input_iterator_tag;
    using value_type = char;
    using difference_type = std::ptrdiff_t;
    using pointer = const char*;
    using reference = const char&;

    struct Source {
        const NextPiece& next;
        std::string_view piece;
    };

    PieceIterator() = default;  // the end
    explicit PieceIterator(Source& source) : source_(&source) {
        if (source.piece.empty()) fetch();
    }
    reference operator*() const { return source_->piece.front(); }
    PieceIterator& operator++() {
        source_->piece.remove_prefix(1);
        if (source_->piece.empty()) fetch();
        return *this;
    }
    bool operator==(const PieceIterator& other) const { return source_ == other.source_; }

  private:
    void fetch() {
        source_->piece = source_->next();
        if (source_->piece.empty()) source_ = nullptr;
    }
    Source* source_ = nullptr;
};

}  // namespace

Expected<json> parse_json_elements(const NextPiece& next, const TakeElement& take, std::size_t max_depth) {
    Builder builder(max_depth, &take);
    PieceIterator::Source source{next, {}};
    json::sax_parse(PieceIterator(source), PieceIterator(), &builder);
    return builder.result();
}

Expected<json> parse_json(std::string_view text, std::size_t max_depth) {
    return build(text, max_depth, nullptr);
}

Expected<json> parse_json_elements(std::string_view text, const TakeElement& take, std::size_t max_depth) {
    return build(text, max_depth, &take);
}

}  // namespace sekisho::control
