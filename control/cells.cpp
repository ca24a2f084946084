// Computing the matrices, one VRF at a time, and numbering the groups. Compiler thread only.
#include "control/cells.hpp"

#include <algorithm>
#include <limits>
#include <memory_resource>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>

#include <fmt/format.h>

#include "control/interner.hpp"

namespace sekisho::control {
namespace {

using dataplane::Matrix;
using dataplane::Permissions;

constexpr std::size_t kMaxNumbers = std::size_t{std::numeric_limits<std::uint16_t>::max()} + 1;
constexpr std::size_t kMaxPairs = std::size_t{1} << 26;  // about a second's work

// A grant as seen from one end: from its clients it leads forward to its services, from its services in reverse, unless
// it is tracked: then nothing but answers comes back, by sessions.
using Way = std::uint32_t;
Way forward_of(std::uint32_t grant) {
    return 2 * grant;
}
Way reverse_of(std::uint32_t grant) {
    return 2 * grant + 1;
}
constexpr std::uint32_t kFree = std::numeric_limits<std::uint32_t>::max();  // a row without content
bool is_reverse(Way way) {
    return (way & 1) != 0;
}

// What is made on the way to the cells comes from one piece of memory after the other, and all goes at the end: there
// are a hundred thousand short lists.
using Memory = std::pmr::monotonic_buffer_resource;
template <class Value>
using ListOf = std::pmr::vector<Value>;
using Lists = ListOf<ListOf<std::uint32_t>>;
template <class Value>
using InternerOf = Interner<Value, std::pmr::polymorphic_allocator<Value>>;

// Lists made in a walk and emptied after it, without freeing: a walk costs what it touches.
class Buckets {
  public:
    Buckets(std::size_t count, Memory& memory) : lists_(count, &memory), touched_(&memory) {}
    void add(std::uint32_t bucket, std::uint32_t value) {
        if (lists_[bucket].empty()) touched_.push_back(bucket);
        lists_[bucket].push_back(value);
    }
    ListOf<std::uint32_t>& operator[](std::uint32_t bucket) { return lists_[bucket]; }
    ListOf<std::uint32_t>& touched() { return touched_; }
    void clear() {
        for (const std::uint32_t bucket : touched_) lists_[bucket].clear();
        touched_.clear();
    }

  private:
    Lists lists_;
    ListOf<std::uint32_t> touched_;
};

class Builder {
  public:
    Builder(const Grants& grants, const PortClasses& classes, const Profiles& profiles, std::size_t limit_bytes,
            const CellNumbers* kept)
        : grants_(grants),
          classes_(classes),
          profiles_(profiles),
          limit_bytes_(limit_bytes),
          kept_(kept),
          clients_(grants.grants.size(), &memory_),
          services_(grants.grants.size(), &memory_),
          sources_of_(2 * grants.grants.size(), memory_),
          ways_to_(profiles.size(), memory_),
          rights_of_(profiles.size(), memory_) {
        cells_.permissions = Permissions(classes.count);
        bits_.intern(std::vector<std::uint64_t>(Permissions::kSets * cells_.permissions.words()));
        cells_.bytes = Permissions::kSets * cells_.permissions.words() * sizeof(std::uint64_t);
    }

    Expected<Cells> build(const std::vector<std::vector<std::uint32_t>>& profiles_of_vrf) {
        for (const std::vector<std::uint32_t>& profiles : profiles_of_vrf)
            live_.insert(live_.end(), profiles.begin(), profiles.end());
        std::sort(live_.begin(), live_.end());
        live_.erase(std::unique(live_.begin(), live_.end()), live_.end());
        if (auto listed = list_members(); !listed) return listed.error();
        for (const std::vector<std::uint32_t>& sources : profiles_of_vrf)
            if (auto added = add_vrf(sources); !added) return added.error();
        if (auto numbered = number_groups(profiles_of_vrf); !numbered) return numbered.error();
        return std::move(cells_);
    }

  private:
    Expected<void> list_members() {
        for (const std::uint32_t profile : live_) {
            pairs_ += profiles_.client(profile).size() + profiles_.service(profile).size();
            if (pairs_ > kMaxPairs) return too_many_pairs();
            for (const std::uint32_t grant : profiles_.client(profile)) clients_[grant].push_back(profile);
            for (const std::uint32_t grant : profiles_.service(profile)) services_[grant].push_back(profile);
        }
        return {};
    }

    Expected<void> add_vrf(const std::vector<std::uint32_t>& sources) {
        cells_.matrices.emplace_back();
        cells_.numbers.rows_of.emplace_back();
        column_of_.emplace_back();
        // 1. The ways that lead on from here, and whose they are.
        sources_of_.clear();
        for (const std::uint32_t source : sources) {
            for (const std::uint32_t grant : profiles_.client(source)) sources_of_.add(forward_of(grant), source);
            for (const std::uint32_t grant : profiles_.service(source))
                if (!terms_of(grant).tracked) sources_of_.add(reverse_of(grant), source);
        }
        std::sort(sources_of_.touched().begin(), sources_of_.touched().end());
        // 2. Destinations to which the same ways lead look the same from here.
        ways_to_.clear();
        for (const Way way : sources_of_.touched())
            for (const std::uint32_t destination : destinations_of(way)) {
                ways_to_.add(destination, way);
                if (++pairs_ > kMaxPairs) return too_many_pairs();
            }
        InternerOf<std::uint32_t> alike(&memory_);
        Lists destinations(&memory_);
        for (const std::uint32_t destination : ways_to_.touched()) {
            const std::uint32_t first = alike.intern(ListOf<std::uint32_t>(ways_to_[destination], &memory_));
            destinations.resize(alike.size());
            destinations[first].push_back(destination);
        }
        // 3. The cells of each such column: destinations with equal cells share it, whatever the ways.
        InternerOf<std::uint64_t> columns(&memory_);
        columns.intern(ListOf<std::uint64_t>(&memory_));
        for (std::uint32_t i = 0; i < alike.size(); ++i) {
            auto column = column_from(alike[i]);
            if (!column) return column.error();
            const std::uint32_t number = columns.intern(std::move(*column));
            for (const std::uint32_t destination : destinations[i])
                column_of_.back().emplace_back(destination, static_cast<std::uint16_t>(number));
        }
        if (columns.size() > kMaxNumbers) return too_large("more columns than 16 bits number");
        return fill(sources, columns);
    }

    const ListOf<std::uint32_t>& destinations_of(Way way) const {
        return is_reverse(way) ? clients_[way / 2] : services_[way / 2];
    }

    const Terms& terms_of(std::uint32_t grant) const { return grants_.terms[grants_.grants[grant].terms]; }

    // The cells (source << 16 | permission, by source) of a destination to which these ways lead.
    Expected<ListOf<std::uint64_t>> column_from(const ListOf<Way>& ways) {
        rights_of_.clear();
        for (const Way way : ways) {
            const std::uint32_t right = 2 * grants_.grants[way / 2].terms + (is_reverse(way) ? 1 : 0);
            for (const std::uint32_t source : sources_of_[way]) {
                rights_of_.add(source, right);
                if (++pairs_ > kMaxPairs) return too_many_pairs();
            }
        }
        std::sort(rights_of_.touched().begin(), rights_of_.touched().end());
        ListOf<std::uint64_t> column(&memory_);
        column.reserve(rights_of_.touched().size());
        for (const std::uint32_t source : rights_of_.touched()) {
            const auto& rights = rights_of_[source];
            const auto permission = permission_of(rights_.intern(std::vector(rights.begin(), rights.end())));
            if (!permission) return permission.error();
            column.push_back(std::uint64_t{source} << 16 | *permission);
        }
        return column;
    }

    // The permission of a set of rights: terms, each forward or in reverse.
    Expected<Permissions::Index> permission_of(Sets::Id rights) {
        if (rights < permission_of_rights_.size()) return permission_of_rights_[rights];
        const std::size_t words = cells_.permissions.words();
        std::vector<std::uint64_t> bits(Permissions::kSets * words);
        for (const std::uint32_t right : rights_[rights]) {
            const std::size_t set = grants_.terms[right / 2].tracked ? 2 : right & 1;
            for (std::size_t word = 0; word < words; ++word) bits[set * words + word] |= classes_.sets[right / 2][word];
        }
        const std::size_t before = bits_.size();
        const std::uint32_t number = bits_.intern(bits);
        if (bits_.size() != before) {
            cells_.bytes += bits.size() * sizeof(std::uint64_t);
            if (bits_.size() > kMaxNumbers || cells_.bytes > limit_bytes_)
                return too_large("more different permissions than it can hold");
            cells_.permissions.add(bits);
        }
        permission_of_rights_.push_back(static_cast<Permissions::Index>(number));
        return permission_of_rights_.back();
    }

    // 4. Sources with equal cells share a row; then the rows are written out.
    Expected<void> fill(const std::vector<std::uint32_t>& sources, const InternerOf<std::uint64_t>& columns) {
        std::pmr::unordered_map<std::uint32_t, ListOf<std::uint64_t>> cells_of_source(&memory_);
        for (std::uint64_t column = 1; column < columns.size(); ++column)
            for (const std::uint64_t cell : columns[static_cast<std::uint32_t>(column)])
                cells_of_source[static_cast<std::uint32_t>(cell >> 16)].push_back(column << 16 | (cell & 0xffff));
        InternerOf<std::uint64_t> contents(&memory_);
        contents.intern(ListOf<std::uint64_t>(&memory_));
        std::vector<std::uint32_t> content_of(sources.size());
        for (std::size_t i = 0; i < sources.size(); ++i)
            content_of[i] = contents.intern(ListOf<std::uint64_t>(std::move(cells_of_source[sources[i]])));
        const auto rows = number_rows(sources, content_of);
        if (!rows) return rows.error();
        if (rows->size() > kMaxNumbers) return too_large("more rows than 16 bits number");

        const std::size_t bytes = rows->size() * columns.size() * sizeof(Permissions::Index);
        cells_.bytes += bytes;
        if (cells_.bytes > limit_bytes_) return too_large(fmt::format("more than {} bytes", limit_bytes_));
        Matrix& matrix = cells_.matrices.back();
        matrix.columns = static_cast<std::uint32_t>(columns.size());
        matrix.cells.assign(rows->size() * columns.size(), Permissions::kNothing);
        for (std::size_t row = 0; row < rows->size(); ++row)
            if ((*rows)[row] != kFree)
                for (const std::uint64_t cell : contents[(*rows)[row]])
                    matrix.cells[row * columns.size() + (cell >> 16)] = static_cast<Permissions::Index>(cell);
        return {};
    }

    // The content of each row, by row; content 0, which is none, is row 0's. First the rows that are kept.
    Expected<std::vector<std::uint32_t>> number_rows(const std::vector<std::uint32_t>& sources,
                                                     const std::vector<std::uint32_t>& content_of) {
        auto& rows_of = cells_.numbers.rows_of.back();
        std::vector<std::uint32_t> rows{0};
        std::unordered_map<std::uint32_t, std::uint16_t> row_of_content{{0, 0}};
        std::vector<std::size_t> fresh;
        for (std::size_t i = 0; i < sources.size(); ++i) {
            const auto row = kept_row(sources[i]);
            if (!row) {
                fresh.push_back(i);
                continue;
            }
            if (rows.size() <= *row) rows.resize(*row + std::size_t{1}, kFree);
            if (rows[*row] != kFree && rows[*row] != content_of[i])
                return Error{ErrorCode::unavailable, "what shared a row of the matrix would differ now"};
            rows[*row] = content_of[i];
            rows_of[sources[i]] = *row;
            if (!is_home(sources[i])) row_of_content.emplace(content_of[i], *row);
        }
        std::size_t next = 1;
        for (const std::size_t i : fresh) {
            const auto known = row_of_content.find(content_of[i]);
            if (known != row_of_content.end() && !is_home(sources[i])) {
                rows_of[sources[i]] = known->second;
                continue;
            }
            while (next < rows.size() && rows[next] != kFree) ++next;
            if (next == rows.size()) rows.push_back(kFree);
            rows[next] = content_of[i];
            const auto row = static_cast<std::uint16_t>(next);
            rows_of[sources[i]] = row;
            if (!is_home(sources[i])) row_of_content.emplace(content_of[i], row);
        }
        return rows;
    }
    std::optional<std::uint16_t> kept_row(std::uint32_t source) const {
        const std::size_t vrf = cells_.matrices.size() - 1;
        if (kept_ == nullptr || vrf >= kept_->rows_of.size()) return std::nullopt;
        const auto row = kept_->rows_of[vrf].find(source);
        return row == kept_->rows_of[vrf].end() ? std::nullopt : std::optional(row->second);
    }
    bool is_home(std::uint32_t profile) const { return profiles_[profile].home != 0; }

    // Whether anybody may ever reach it. Never so, whatever it is called, of what is the client of tracked grants only.
    bool is_destination(std::uint32_t profile) const {
        const auto& client = profiles_.client(profile);
        return is_home(profile) || !profiles_.service(profile).empty() ||
               std::any_of(client.begin(), client.end(), [&](std::uint32_t grant) { return !terms_of(grant).tracked; });
    }

    // Groups: 0 for what nobody may reach, then those of one VRF after the other: who may reach one of an operator's
    // often may reach many, and what lies together takes few pages of a column map.
    Expected<void> number_groups(const std::vector<std::vector<std::uint32_t>>& profiles_of_vrf) {
        auto& group_of = cells_.numbers.group_of;
        std::vector<bool> taken{true};
        for (const std::uint32_t destination : live_) {
            if (kept_ == nullptr) break;
            const auto kept = kept_->group_of.find(destination);
            if (kept == kept_->group_of.end()) continue;
            group_of[destination] = kept->second;
            if (taken.size() <= kept->second) taken.resize(kept->second + std::size_t{1});
            taken[kept->second] = true;
        }
        std::size_t next = 1;
        for (const std::vector<std::uint32_t>& destinations : profiles_of_vrf)
            for (const std::uint32_t destination : destinations) {
                if (group_of.contains(destination)) continue;
                if (!is_destination(destination)) {
                    group_of[destination] = 0;
                    continue;
                }
                while (next < taken.size() && taken[next]) ++next;
                if (next == kMaxNumbers) return too_large("more groups of destinations than 16 bits number");
                group_of[destination] = static_cast<std::uint16_t>(next++);
            }
        for (std::size_t vrf = 0; vrf < column_of_.size(); ++vrf) {
            std::vector<std::uint16_t> map;
            for (const auto& [destination, column] : column_of_[vrf]) {
                const std::size_t group = group_of.at(destination);
                map.resize(std::max(map.size(), group + 1));
                map[group] = column;
            }
            cells_.matrices[vrf].column_of_group.assign(map);
            cells_.bytes += cells_.matrices[vrf].column_of_group.bytes();
            if (cells_.bytes > limit_bytes_) return too_large(fmt::format("more than {} bytes", limit_bytes_));
        }
        return {};
    }

    Error too_many_pairs() const { return too_large("more pairs of clients and services than can be computed"); }
    Error too_large(const std::string& how) const {
        std::vector<std::uint64_t> weights;
        for (std::size_t grant = 0; grant < grants_.grants.size(); ++grant)
            weights.push_back(clients_[grant].size() * services_[grant].size());
        return {ErrorCode::limit,
                "the matrix would have " + how + "; most is due to agreements " + heaviest(grants_, weights)};
    }

    const Grants& grants_;
    const PortClasses& classes_;
    const Profiles& profiles_;
    const std::size_t limit_bytes_;
    const CellNumbers* const kept_;
    std::vector<std::uint32_t> live_;  // the profiles that VRFs have, ascending
    Memory memory_;
    Lists clients_;       // by grant: profiles
    Lists services_;      // likewise
    Buckets sources_of_;  // by way: this VRF's profiles
    Buckets ways_to_;     // by profile, as destination
    Buckets rights_of_;   // by profile, as source
    Sets rights_;
    std::vector<Permissions::Index> permission_of_rights_{Permissions::kNothing};  // by set of rights
    Interner<std::uint64_t> bits_;                                                 // the permissions, by number
    std::vector<std::vector<std::pair<std::uint32_t, std::uint16_t>>> column_of_;  // by VRF: (profile, column)
    std::size_t pairs_ = 0;
    Cells cells_;
};

}  // namespace

Expected<Cells> cells_of(const Grants& grants, const PortClasses& classes, const Profiles& profiles,
                         const std::vector<std::vector<std::uint32_t>>& profiles_of_vrf, std::size_t limit_bytes,
                         const CellNumbers* kept) {
    return Builder(grants, classes, profiles, limit_bytes, kept).build(profiles_of_vrf);
}

}  // namespace sekisho::control
