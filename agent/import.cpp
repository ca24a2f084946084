#include "agent/import.hpp"

#include <functional>
#include <unistd.h>
#include <unordered_map>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "agent/etcd_source.hpp"
#include "agent/file_source.hpp"
#include "agent/key.hpp"
#include "control/calendar.hpp"

namespace sekisho::agent {

namespace {

// etcd's defaults are 128 operations, and 1.5 MiB a request.
constexpr std::size_t kMostOperations = 120, kTransactionBytes = 1'000'000;

std::size_t hash_of(const std::string& value) {
    return std::hash<std::string>()(value);
}

// Each node's is of its own share: no matter of a whole file's.
bool is_signature(const std::string& key) {
    return key.rfind("signatures/", 0) == 0;
}

// Operations gathered into transactions; the first of several is preceded by a hold, and the last one takes it away.
class Writer {
  public:
    Writer(EtcdClient& etcd, std::string prefix, bool held) : etcd_(etcd), prefix_(std::move(prefix)), held_(held) {}

    Expected<void> add(const std::string& key, std::optional<std::string> value) {
        const std::size_t bytes = key.size() + prefix_.size() + (value ? value->size() : 0);
        if (operations_.size() == kMostOperations || (bytes_ + bytes > kTransactionBytes && !operations_.empty())) {
            if (!held_) {
                const std::string words =
                    nlohmann::json{{"who", fmt::format("import, pid {}", ::getpid())},
                                   {"since", control::time_text(std::chrono::system_clock::now())}}
                        .dump();
                if (auto done = send({{prefix_ + "hold", words, 0}}); !done) return done;
                held_ = true;
            }
            if (auto done = send(std::exchange(operations_, {})); !done) return done;
            bytes_ = 0;
        }
        operations_.push_back({prefix_ + key, std::move(value), 0});
        bytes_ += bytes;
        return {};
    }
    Expected<void> finish() {
        if (held_) operations_.push_back({prefix_ + "hold", std::nullopt, 0});
        if (operations_.empty()) return {};
        return send(std::exchange(operations_, {}));
    }
    std::int64_t revision() const noexcept { return revision_; }

  private:
    Expected<void> send(const std::vector<Operation>& operations) {
        const auto done = etcd_.transact(operations);
        if (const auto* error = std::get_if<EtcdError>(&done))
            return Error{error->fault == EtcdFault::refused ? ErrorCode::permission : ErrorCode::unavailable,
                         error->words};
        revision_ = std::get<std::int64_t>(done);
        return {};
    }

    EtcdClient& etcd_;
    std::string prefix_;
    bool held_;
    std::vector<Operation> operations_;
    std::size_t bytes_ = 0;
    std::int64_t revision_ = 0;
};

}  // namespace

Expected<Imported> import_policy(const std::string& file, const EtcdOptions& options, const std::string& cluster,
                                 const std::string& node) {
    FileSource source(file);
    if (auto begun = source.begin(""); !begun) return begun.error();
    // All of it is read once before anything is written: a file that is not whole changes nothing.
    std::optional<Error> wrong;
    const auto checked = source.read("", [&](const Item& item) {
        const auto key = parse_key(item.key);
        const auto object = key ? object_at(*key, item.value) : Expected<nlohmann::json>(key.error());
        if (!object && !wrong) wrong = object.error().at(item.key);
    });
    if (!checked) return checked.error();
    if (wrong) return *wrong;

    const std::string prefix = policy_prefix(cluster);
    EtcdSource::Options store_options;
    store_options.etcd = options;
    store_options.prefix = prefix;
    EtcdSource store(store_options);
    if (auto begun = store.begin(""); !begun) return begun.error();
    std::unordered_map<std::string, std::size_t> there;  // key to the value's hash
    bool held = false, has_node = false;
    auto read = store.read("", [&](const Item& item) {
        const bool is_node = item.key.rfind("nodes/", 0) == 0;
        held = held || item.key == "hold";
        has_node = has_node || is_node;
        if (!is_node && !is_signature(item.key) && item.key != "hold") there[item.key] = hash_of(item.value);
    });
    if (!read) return read.error();

    EtcdClient etcd(options);
    Writer writer(etcd, prefix, held);
    Imported imported;
    std::optional<Error> failed;
    const auto written = source.read("", [&](Item item) {
        if (failed || is_signature(item.key)) return;
        const auto known = there.find(item.key);
        const bool same = known != there.end() && known->second == hash_of(item.value);
        if (known != there.end()) there.erase(known);
        if (same) {
            ++imported.same;
            return;
        }
        ++imported.written;
        if (auto done = writer.add(item.key, std::move(item.value)); !done) failed = done.error();
    });
    if (!written) return written.error();
    if (failed) return *failed;
    for (const auto& [key, hash] : there) {
        ++imported.deleted;
        if (auto done = writer.add(key, std::nullopt); !done) return done.error();
    }
    if (!has_node && !node.empty()) {
        const std::string object = nlohmann::json{{"id", node}}.dump();
        if (auto done = writer.add("nodes/" + node, object); !done) return done.error();
    }
    if (auto done = writer.finish(); !done) return done.error();
    imported.revision = writer.revision();
    return imported;
}

}  // namespace sekisho::agent
