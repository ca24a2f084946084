// Where the policy comes from: a store that tells all of it at one moment, and then what changes.
//
// Two there are: etcd, and a watched file. A position in a source has a label, which the agent gives to the generation
// that it makes of it, so that whoever asks the node which generation runs knows what it stands for. One thread calls;
// a source may have threads of its own.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "net/expected.hpp"

namespace sekisho::agent {

struct Item {
    std::string key;  // agent/key's
    std::string value;
    std::int64_t version = 0;  // two items of one key and version are the same; 0: it has none
};

struct Change {
    std::string key;
    std::optional<std::string> value;  // nullopt: deleted
    std::int64_t version = 0;
};

struct Position {
    std::string label;  // without spaces
    bool runs = false;  // it is the one that was asked for, and next() goes on from there
};

struct Event {
    enum class What : std::uint8_t {
        nothing,      // happened in the time given
        changes,      // since the last position; perhaps none
        replaced,     // there is another policy, whole: begin() and read()
        start_again,  // what happened since cannot be told: likewise
        failed,       // the source does not answer; it goes on trying
    };
    What what = What::nothing;
    std::vector<Change> changes;
    std::string label;  // of `changes`: the position after them
    std::string words;  // what happened, of the last three
};

// Where a file's signature stands among its items: "signatures/file".
inline constexpr std::string_view kOfFile = "file";

class Source {
  public:
    virtual ~Source() = default;

    // Chooses what read() reads and next() follows: the position of that label, if it still can, else the newest.
    virtual Expected<Position> begin(const std::string& label) = 0;
    // Every item of the position whose key begins with `below`, in the order of the keys, or of the file.
    virtual Expected<void> read(const std::string& below, const std::function<void(Item)>& take) = 0;
    // What happened after it. Waits for `longest` at most.
    virtual Event next(std::chrono::milliseconds longest) = 0;
};

}  // namespace sekisho::agent
