#include "control/translation_log.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <unistd.h>

#include "control/calendar.hpp"
#include "control/log.hpp"
#include "net/file_descriptor.hpp"

namespace sekisho::control {

using nlohmann::json;

namespace {

constexpr std::chrono::milliseconds kDrainEvery{100};
constexpr int kOfBlock = -1;  // in place of a protocol

Expected<void> append_lines(const std::string& path, const std::string& text) {
    const auto failed = [&path](const char* tried) {
        return Error{ErrorCode::unavailable, "translation log " + path + ": " + tried + ": " + std::strerror(errno)};
    };
    const FileDescriptor file(::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600));
    if (!file) return failed("opening");
    for (std::size_t written = 0; written < text.size();) {
        const ssize_t count = ::write(file.number(), text.data() + written, text.size() - written);
        if (count < 0 && errno != EINTR) return failed("writing");
        if (count > 0) written += static_cast<std::size_t>(count);
    }
    return {};
}

const char* port_protocol_name(nat::PortProtocol protocol) {
    return protocol == nat::PortProtocol::tcp ? "tcp" : "udp";
}

bool line_has_port(const json& line, std::uint16_t port) {
    return line.value("first_port", 0) <= port && port <= line.value("last_port", 0);
}

// What a day's file says of the port at that time.
Expected<json> read_day(const std::string& path, const std::string& address, std::uint16_t port, WallTime at) {
    std::ifstream stream(path);
    if (!stream) return Error{ErrorCode::not_found, "there is no translation log of that day, " + path};
    std::map<std::string, json> held;
    for (std::string text; std::getline(stream, text);) {
        const json line = json::parse(text, nullptr, false);
        if (!line.is_object()) continue;  // cut off by a crash
        const auto time = parse_time(line.value("time", ""));
        if (!time || *time > at) continue;
        const std::string what = line.value("what", "");
        if (what == "start") held.clear();
        if (line.value("address", "") != address || !line_has_port(line, port)) continue;
        const std::string key = line.value("protocol", "");
        if (what.ends_with(".open"))
            held[key] = line;
        else
            held.erase(key);
    }
    json items = json::array();
    for (auto& [key, line] : held) {
        line.erase("what");
        items.push_back(std::move(line));
    }
    return items;
}

}  // namespace

Expected<std::unique_ptr<TranslationLog>> TranslationLog::make(EventLoop& loop, const Node& node,
                                                               std::string directory) {
    std::unique_ptr<TranslationLog> log(new TranslationLog(loop, node, std::move(directory)));
    auto timer = Timer::make(loop, Timer::Clock::steady, [self = log.get()] { self->look(); });
    if (!timer) return timer.error();
    log->timer_ = std::move(*timer);
    return log;
}

std::string TranslationLog::file_of(WallTime day) const {
    return directory_ + "/translations-" + date_text(day) + ".jsonl";
}

void TranslationLog::publish(const dataplane::Tables& tables) {
    Pools pools;
    for (const dataplane::PortPoolRow& row : tables.port_pools)
        if (row.shares != nullptr) pools.push_back(row.shares);
    generation_ = tables.generation;
    const WallTime now = std::chrono::system_clock::now();
    if (day_.empty() && (!pools.empty() || ::access(file_of(now).c_str(), F_OK) == 0)) begin_day(now);
    if (day_.empty()) return;  // most nodes have no pool, and no log
    for (const auto& pool : pools_)
        if (std::find(pools.begin(), pools.end(), pool) == pools.end()) retired_.push_back(pool);
    std::erase_if(retired_,
                  [&](const auto& pool) { return std::find(pools.begin(), pools.end(), pool) != pools.end(); });
    pools_ = std::move(pools);
    publish_static_maps(tables);
    look();
}

void TranslationLog::publish_static_maps(const dataplane::Tables& tables) {
    std::map<Key, Held> now;
    for (const nat::StaticMap& map : tables.static_maps.all()) {
        const lpm::Row row = tables.ipv4.who.find(dataplane::vrf_of(map.space).value(), map.inside.address);
        if (row == lpm::kNoRow) continue;
        const auto pool = std::find_if(tables.port_pools.begin(), tables.port_pools.end(), [&](const auto& each) {
            return each.shares != nullptr && each.shares->addresses().contains(map.outside.address);
        });
        Held held;
        held.line = {{"translation", pool == tables.port_pools.end() ? "" : pool->shares->name()},
                     {"operator", node_.operator_name(dataplane::vrf_of(map.space))},
                     {"institution", node_.institution_name(tables.ipv4.who_rows[row].institution)},
                     {"host", map.inside.address.text()},
                     {"host_port", map.inside.port},
                     {"address", map.outside.address.text()},
                     {"first_port", map.outside.port},
                     {"last_port", map.outside.port},
                     {"protocol", port_protocol_name(map.protocol)}};
        held.last_port = map.outside.port;
        now.emplace(Key{map.outside.address, map.outside.port, static_cast<int>(map.protocol)}, std::move(held));
    }
    // Those that are gone, or lead elsewhere, first.
    std::vector<Key> gone;
    for (const auto& [key, held] : held_) {
        if (std::get<2>(key) == kOfBlock) continue;
        const auto same = now.find(key);
        const auto leads_there = [&, &line = held.line](const char* field) {
            return same->second.line[field] == line[field];
        };
        if (same == now.end() || !leads_there("host") || !leads_there("host_port") || !leads_there("institution"))
            gone.push_back(key);
        else
            now.erase(same);
    }
    for (const Key& key : gone) close(key, "static.close");
    for (auto& [key, held] : now) open(key, std::move(held), "static.open");
}

void TranslationLog::look() {
    const WallTime now = std::chrono::system_clock::now();
    if (!day_.empty() && date_text(now) != day_) begin_day(now);
    for (const auto& pool : pools_) drain(*pool);
    for (const auto& pool : retired_) drain(*pool);
    retire();
    flush();
    if (!pools_.empty() || !retired_.empty()) timer_->set(kDrainEvery);
}

// Pools that no tables hold any more: nobody lends of them, and what they had lent is over.
void TranslationLog::retire() {
    std::erase_if(retired_, [this](const std::shared_ptr<dataplane::PortShares>& pool) {
        if (pool.use_count() != 1) return false;
        drain(*pool);
        std::vector<Key> open;
        for (const auto& [key, held] : held_)
            if (held.pool == pool.get()) open.push_back(key);
        for (const Key& key : open) close(key, "block.close");
        return true;
    });
}

void TranslationLog::drain(dataplane::PortShares& pool) {
    for (std::size_t worker = 0; worker < pool.workers(); ++worker) {
        nat::BlockLog& log = pool.of(WorkerId(static_cast<std::uint16_t>(worker))).log();
        for (nat::BlockRecord record; log.pop(record);) take(pool, record);
    }
}

void TranslationLog::take(dataplane::PortShares& pool, const nat::BlockRecord& record) {
    const Key key{record.address, record.first_port, kOfBlock};
    if (!record.opened) {
        const auto known = held_.find(key);  // another pool's by now, of the same addresses: that one's is open
        if (known != held_.end() && known->second.pool == &pool) close(key, "block.close");
        return;
    }
    if (held_.contains(key)) close(key, "block.close");
    Held held;
    const std::string institution = node_.institution_name(record.institution);
    held.line = {{"translation", pool.name()},
                 {"operator", node_.operator_name(dataplane::vrf_of(record.subscriber.space))},
                 {"institution", institution},
                 {"host", nullptr},
                 {"address", record.address.text()},
                 {"first_port", record.first_port},
                 {"last_port", record.last_port}};
    if (!pool.by_institution()) held.line["host"] = Ipv4Address(record.subscriber.id).text();
    held.last_port = record.last_port;
    held.pool = &pool;
    open(key, std::move(held), "block.open");
}

void TranslationLog::open(const Key& key, Held held, const char* what) {
    held.line["opened"] = time_text(std::chrono::system_clock::now());
    held.line["generation"] = generation_;
    write(what, held.line);
    if (held.pool != nullptr) ++blocks_[held.line["translation"].get<std::string>()];
    held_[key] = std::move(held);
}

void TranslationLog::close(const Key& key, const char* what) {
    const auto at = held_.find(key);
    json line = at->second.line;
    line["generation"] = generation_;
    if (at->second.pool != nullptr) --blocks_[line["translation"].get<std::string>()];
    held_.erase(at);
    write(what, line);
}

// What stood in the file before is over, or stands in it again.
void TranslationLog::begin_day(WallTime now) {
    flush();
    day_ = date_text(now);
    write("start", {{"generation", generation_}});
    for (const auto& [key, held] : held_) write(held.pool != nullptr ? "block.open" : "static.open", held.line);
}

void TranslationLog::write(const char* what, const json& line) {
    nlohmann::ordered_json ordered = {{"time", time_text(std::chrono::system_clock::now())}, {"what", what}};
    for (const auto& [name, value] : line.items()) ordered[name] = value;
    lines_ += ordered.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

void TranslationLog::flush() {
    if (lines_.empty()) return;
    thread_.submit([path = directory_ + "/translations-" + day_ + ".jsonl",
                    text = std::exchange(lines_, {})]() -> CompilerThread::After {
        if (auto written = append_lines(path, text); !written) log(LogLevel::error, written.error().words);
        return {};
    });
}

std::vector<json> TranslationLog::who(Ipv4Address address, std::uint16_t port) const {
    std::vector<json> found;
    const auto first = static_cast<std::uint16_t>(port / nat::kBlockPorts * nat::kBlockPorts);
    for (auto at = held_.lower_bound({address, first, kOfBlock}); at != held_.end(); ++at) {
        if (std::get<0>(at->first) != address || std::get<1>(at->first) > port) break;
        if (at->second.last_port >= port) found.push_back(at->second.line);
    }
    return found;
}

std::size_t TranslationLog::blocks_of(const std::string& translation) const {
    const auto at = blocks_.find(translation);
    return at == blocks_.end() ? 0 : at->second;
}

TranslationLog::Page TranslationLog::blocks(const std::string& after, std::size_t limit) const {
    Page page;
    Key from{};
    if (const std::size_t space = after.find(' '); space != std::string::npos)
        if (const auto address = Ipv4Address::parse(after.substr(0, space)))
            from = {*address, static_cast<std::uint16_t>(std::strtoul(after.c_str() + space, nullptr, 10)), INT32_MAX};
    for (auto at = held_.upper_bound(from); at != held_.end(); ++at) {
        if (page.items.size() == limit) {
            const json& last = page.items.back();
            page.next = last["address"].get<std::string>() + " " + std::to_string(last["first_port"].get<int>());
            break;
        }
        page.items.push_back(at->second.line);
    }
    return page;
}

void TranslationLog::who(Ipv4Address address, std::uint16_t port, WallTime at, Answer<json> answer) {
    flush();
    thread_.submit([path = file_of(at), address = address.text(), port, at,
                    answer = std::move(answer)]() -> CompilerThread::After {
        auto found = read_day(path, address, port, at);
        return [found = std::move(found), answer] {
            if (found)
                answer(*found);
            else
                answer(Refused{found.error(), {}, {}});
        };
    });
}

}  // namespace sekisho::control
