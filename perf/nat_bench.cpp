// The session table of nat/ beside DPDK's rte_hash with a record, in one process: lookup, rewrite and counters.
//
//   nat_bench [--json FILE] [--runs N] [--without-peers] [--entries N]
// 1, 4 and 8 M, and CSIT's ladder of sessions (64,512; 1,032,192; 4,128,768; 16,515,072) where memory allows, counted
// as entries: one a direction. Established entries in random order; keys that are absent; new ones and deleted ones;
// what expiry costs; bytes.
#include <algorithm>
#include <cstring>
#include <memory>
#include <random>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_hash.h>
#include <rte_hash_crc.h>

#include "nat/sessions.hpp"
#include "net/checksum.hpp"
#include "net/simd.hpp"
#include "perf/report.hpp"
#include "perf/start_dpdk.hpp"

using namespace sekisho;
using namespace sekisho::nat;
using namespace sekisho::perf;

namespace {

using Table = SessionTable<Session4>;
using Key = SessionKey4;
constexpr std::size_t kStream = std::size_t{1} << 21;
constexpr std::size_t kMostBatch = 256;
constexpr std::uint32_t kTimeout = 300;  // seconds, UDP's: so often each entry is looked at

struct Options {
    int runs = 11;
    bool peers = true;
    std::size_t only = 0;
};

// Entry `number`: tuples as a hub has them, many from few networks; all different.
Key key_of(std::uint64_t number) {
    std::uint64_t mixed = number * 0x9e37'79b9'7f4a'7c15ULL;
    mixed ^= mixed >> 29;
    Key key;
    key.source = Ipv4Address(static_cast<std::uint32_t>(0x0a00'0000 | number % 0xff'ffff));
    key.destination = Ipv4Address(static_cast<std::uint32_t>(0x6440'0000 | (mixed & 0xffff)));
    key.source_port = static_cast<std::uint16_t>(1024 + number / 7 % 60'000);
    key.destination_port = (mixed >> 20 & 3) != 0 ? 443 : 80;
    key.protocol = (mixed >> 24 & 1) != 0 ? kProtocolTcp : kProtocolUdp;
    key.space = static_cast<std::uint16_t>(number / 0xff'ffff * 256 + (mixed >> 32 & 255));
    return key;
}

// What a packet has that a session changes.
struct Fields {
    Be32 source, destination, ports;
    Be16 header_checksum, l4_checksum;
    std::uint16_t length = 100;
};
std::array<Fields, kMostBatch> packets;
std::uint64_t missed = 0;
std::uint32_t second = 1;

[[gnu::always_inline]] inline void apply(Session4& session, Fields& packet) noexcept {
    const Rewrite<Ipv4Address>& rewrite = session.rewrite;
    const auto addresses =
        ChecksumDelta::replace(packet.source, rewrite.source.wire(), packet.destination, rewrite.destination.wire());
    const Be32 ports = Be32::from_host(std::uint32_t{rewrite.source_port} << 16 | rewrite.destination_port);
    packet.header_checksum = addresses.apply(packet.header_checksum);
    packet.l4_checksum = (addresses + ChecksumDelta::replace(packet.ports, ports)).apply(packet.l4_checksum);
    packet.source = rewrite.source.wire();
    packet.destination = rewrite.destination.wire();
    packet.ports = ports;
    ++session.core.packets;
    session.core.bytes += packet.length;
    session.core.seen = second;
}

void lookup(Table& table, const Key* keys, std::size_t count) noexcept {
    std::array<Slot, kMostBatch> slots;
    table.find(keys, slots.data(), count);
    for (std::size_t i = 0; i < count; ++i) {
        if (slots[i] == kNoSlot) [[unlikely]]
            ++missed;
        else
            apply(table[slots[i]], packets[i]);
    }
}

// rte_hash as a session table: the position of a key is its record's.
class Peer {
  public:
    explicit Peer(std::size_t entries) : records_(entries * 11 / 10 * sizeof(Session4), Pages::Size::huge) {
        rte_hash_parameters parameters{};
        parameters.name = "sessions";
        parameters.entries = static_cast<std::uint32_t>(entries * 11 / 10);
        parameters.key_len = sizeof(Key);
        parameters.hash_func = rte_hash_crc;
        hash_ = rte_hash_create(&parameters);
    }
    ~Peer() { rte_hash_free(hash_); }
    Peer(const Peer&) = delete;
    Peer& operator=(const Peer&) = delete;
    bool works() const { return hash_ != nullptr; }

    bool insert(const Key& key) {
        const int position = rte_hash_add_key(hash_, &key);
        if (position < 0) return false;
        record(position) = Session4{key, {}, {}};
        return true;
    }
    bool erase(const Key& key) { return rte_hash_del_key(hash_, &key) >= 0; }
    void lookup(const Key* keys, std::size_t count) noexcept {
        constexpr std::size_t kBulk = RTE_HASH_LOOKUP_BULK_MAX;
        for (std::size_t first = 0; first < count; first += kBulk) {
            const std::size_t many = std::min(kBulk, count - first);
            std::array<const void*, kBulk> wanted;
            std::array<std::int32_t, kBulk> positions;
            for (std::size_t i = 0; i < many; ++i) wanted[i] = &keys[first + i];
            rte_hash_lookup_bulk(hash_, wanted.data(), static_cast<std::uint32_t>(many), positions.data());
            for (std::size_t i = 0; i < many; ++i) prefetch_to_write(&record(std::max(positions[i], 0)));
            for (std::size_t i = 0; i < many; ++i) {
                if (positions[i] < 0) [[unlikely]]
                    ++missed;
                else
                    apply(record(positions[i]), packets[first + i]);
            }
        }
    }

  private:
    Session4& record(std::int32_t position) noexcept { return reinterpret_cast<Session4*>(records_.data())[position]; }
    Pages records_;
    rte_hash* hash_ = nullptr;
};

struct Keys {
    std::vector<Key> there, absent;
    std::vector<std::uint64_t> victims;  // numbers of some that are there, each once
};

Keys keys_for(std::size_t entries) {
    std::mt19937_64 random(entries);
    Keys keys;
    keys.there.reserve(kStream);
    for (std::size_t i = 0; i < kStream; ++i) keys.there.push_back(key_of(random() % entries));
    for (std::size_t i = 0; i < kStream; ++i) keys.absent.push_back(key_of(entries + 1'000'000 + random() % entries));
    keys.victims.resize(entries);
    for (std::size_t i = 0; i < entries; ++i) keys.victims[i] = i;
    std::shuffle(keys.victims.begin(), keys.victims.end(), random);
    keys.victims.resize(std::min<std::size_t>(entries / 2, 100'000));
    return keys;
}

// Cycles for each of `count` calls, by slices.
template <class Call>
Figure each(std::size_t count, Call&& call) {
    constexpr std::size_t kSlice = 1000;
    std::vector<double> slices;
    for (std::size_t first = 0; first + kSlice <= count; first += kSlice) {
        const std::uint64_t before = cycles();
        for (std::size_t i = first; i < first + kSlice; ++i) call(i);
        slices.push_back(static_cast<double>(cycles() - before) / kSlice);
    }
    Figure figure{median(slices), 0, static_cast<int>(slices.size())};
    std::sort(slices.begin(), slices.end());
    figure.spread = (slices[slices.size() * 3 / 4] - slices[slices.size() / 4]) / figure.median;  // of the middle half
    return figure;
}

bool enough_memory(std::size_t entries, bool peers) {
    const auto free =
        static_cast<std::size_t>(sysconf(_SC_AVPHYS_PAGES)) * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    return entries * (peers ? 240 : 120) < free;
}

// `goal`: of the peer's cycles, at most.
void measure(Report& report, const Options& options, std::size_t entries, std::optional<double> goal) {
    if (!enough_memory(entries, options.peers)) {
        fmt::print("{} entries: not enough free memory\n", entries);
        return;
    }
    const std::string size = fmt::format("{} entries", entries);
    Table table(entries);
    for (std::size_t i = 0; i < entries; ++i)
        if (table.insert(key_of(i), 1000 + static_cast<std::uint32_t>(i % kTimeout)) == kNoSlot)
            throw std::runtime_error("an insert failed while filling");
    std::unique_ptr<Peer> peer;
    if (options.peers) {
        peer = std::make_unique<Peer>(entries);
        if (peer->works()) {
            std::size_t failed = 0;
            for (std::size_t i = 0; i < entries; ++i) failed += peer->insert(key_of(i)) ? 0U : 1U;
            if (failed != 0) fmt::print("rte_hash took {} keys fewer\n", failed);
        } else {
            fmt::print("rte_hash: no memory for {} entries\n", entries);
            peer.reset();
        }
    }
    const Keys keys = keys_for(entries);
    for (const auto& [what, stream, bound] :
         {std::tuple{"established", &keys.there, goal}, std::tuple{"absent", &keys.absent, std::optional<double>{}}}) {
        for (const std::size_t batch : {std::size_t{64}, kMostBatch}) {
            std::vector<Subject> subjects;
            subjects.push_back({"ours", [&, stream = stream](std::size_t first, std::size_t count) {
                                    lookup(table, stream->data() + first, count);
                                }});
            if (peer)
                subjects.push_back({"rte_hash", [&, stream = stream](std::size_t first, std::size_t count) {
                                        peer->lookup(stream->data() + first, count);
                                    }});
            missed = 0;
            const std::vector<Figure> figures = race(subjects, kStream, batch, options.runs);
            if ((missed != 0) != (stream == &keys.absent)) throw std::runtime_error("lookups are wrong");
            Finding finding{fmt::format("{}: {}, batch {}", size, what, batch), figures[0], "cycles"};
            if (peer) finding.peer = "rte_hash", finding.peer_value = figures[1].median;
            if (batch == kMostBatch && peer && bound) finding.goal = *bound * figures[1].median;
            report.add(finding);
        }
    }
    const auto add = [&](const char* what, const Figure& ours, std::optional<Figure> theirs) {
        Finding finding{fmt::format("{}: {}", size, what), ours, "cycles"};
        if (theirs) finding.peer = "rte_hash", finding.peer_value = theirs->median;
        report.add(finding);
    };
    const std::size_t changes = keys.victims.size();
    const auto victim = [&](std::size_t i) { return key_of(keys.victims[i]); };
    const auto fresh = [&](std::size_t i) { return key_of(3 * entries + i); };
    std::optional<Figure> theirs;
    const Figure erased = each(changes, [&](std::size_t i) { table.erase(table.find(victim(i))); });
    if (peer) theirs = each(changes, [&](std::size_t i) { peer->erase(victim(i)); });
    add("find and delete", erased, theirs);
    const Figure inserted =
        each(changes, [&](std::size_t i) { table.insert(fresh(i), 1000 + static_cast<std::uint32_t>(i % kTimeout)); });
    if (peer) theirs = each(changes, [&](std::size_t i) { peer->insert(fresh(i)); });
    add("insert", inserted, theirs);

    // The clock hand passes every bucket once a second; a three hundredth of the entries is due, looked at and goes on.
    std::vector<double> sweeps;
    std::uint64_t looked = 0;
    for (int run = 0; run < options.runs; ++run) {
        const auto now = 1000 + static_cast<std::uint32_t>(run);
        const std::uint64_t before = cycles();
        table.sweep(now, table.buckets(), [&](Slot slot) noexcept {
            ++looked;
            if (table[slot].core.seen + kTimeout >= now) return;
            table.look_again(slot, now + kTimeout);
        });
        sweeps.push_back(static_cast<double>(cycles() - before));
    }
    if (looked < entries / kTimeout) throw std::runtime_error("expiry looked at too few entries");
    Figure sweep = figure_of(sweeps);
    sweep.median /= static_cast<double>(rte_get_tsc_hz()) / 100;
    report.add({size + ": expiry, a sweep a second", sweep, "% of a worker", "", 0, 3.0});
    report.add(
        {size + ": memory", {static_cast<double>(table.bytes()) / static_cast<double>(entries), 0, 1}, "bytes each"});
}

}  // namespace

int main(int count, char** words) {
    Options options;
    std::string json;
    for (int i = 1; i < count; ++i) {
        const bool has_value = i + 1 < count;
        if (std::strcmp(words[i], "--json") == 0 && has_value) {
            json = words[++i];
        } else if (std::strcmp(words[i], "--runs") == 0 && has_value) {
            options.runs = std::max(5, std::atoi(words[++i]));
        } else if (std::strcmp(words[i], "--entries") == 0 && has_value) {
            options.only = static_cast<std::size_t>(std::atoll(words[++i]));
        } else if (std::strcmp(words[i], "--without-peers") == 0) {
            options.peers = false;
        } else {
            std::fprintf(stderr, "usage: %s [--json FILE] [--runs N] [--without-peers] [--entries N]\n", words[0]);
            return 2;
        }
    }
    if (!start_dpdk(words[0])) return 1;  // the clock's rate is DPDK's to say too
    fmt::print("lookups by {}; medians of {} runs; TSC cycles\n\n", name_of(simd()), options.runs);
    Report report("nat");
    const std::pair<std::size_t, std::optional<double>> ladder[] = {
        {64'512, {}},    {1'000'000, 30.0 / 54}, {1'032'192, {}}, {4'000'000, 36.0 / 59},
        {4'128'768, {}}, {8'000'000, 40.0 / 61}, {16'515'072, {}}};
    for (const auto& [entries, goal] : ladder)
        if (options.only == 0 || options.only == entries) measure(report, options, entries, goal);
    if (!json.empty() && !report.write(json)) {
        std::fprintf(stderr, "%s cannot be written\n", json.c_str());
        return 1;
    }
    return 0;
}
