// Who may reach whom with what: port classes, permissions, and one matrix of permissions per source VRF.
//
// Agreements compile to cells. A `who` row carries its matrix row, a `hub` row its node-wide group; one map per source
// VRF turns the group into a column. A cell is the index of an interned permission: which port classes pass in the
// agreement's direction (forward, by destination port) and against it (reverse, by source port; TCP with ACK or RST,
// ICMP replies only), and which may open a session in its direction (tracked, by destination port), whose answers then
// come back by the session alone. Filled by control/, read by workers, immutable once published.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "net/ids.hpp"

namespace sekisho::dataplane {

// A class of (protocol, port) pairs that no agreement on the node tells apart. 0: what no agreement by protocol names,
// which only "any" lets through.
using PortClass = std::uint16_t;
inline constexpr PortClass kOtherClass = 0;
inline constexpr PortClass kEchoClass = 1;  // ICMP and ICMPv6 echo

// Port to class for one L4 protocol: 256 pages of 256 ports, equal pages shared, so that it stays in the L1 cache.
class PortClassMap {
  public:
    PortClassMap() : pages_(1) {}

    // `port` below 65,536; not of 16 bits, which a compiler would cut off anew after each shift.
    PortClass of(std::size_t port) const noexcept { return pages_[page_of_[port >> 8]][port & 255]; }
    // Takes 65,536 classes, the index the port. Control thread only, before publishing.
    void assign(const std::vector<PortClass>& class_of_port);

  private:
    using Page = std::array<PortClass, 256>;
    std::array<std::uint16_t, 256> page_of_{};
    std::vector<Page> pages_;
};

// Interned sets of port classes, three (forward, reverse, tracked) for each permission. Permission 0 lets nothing pass.
class Permissions {
  public:
    using Index = std::uint16_t;
    static constexpr Index kNothing = 0;
    static constexpr std::size_t kSets = 3;

    explicit Permissions(std::size_t classes = 2) : words_((classes + 63) / 64), bits_(kSets * words_, 0) {}

    // The three sets of one permission.
    class Sets {
      public:
        bool forward(PortClass port_class) const noexcept { return test(0, port_class); }
        bool reverse(PortClass port_class) const noexcept { return test(1, port_class); }
        bool tracked(PortClass port_class) const noexcept { return test(2, port_class); }

      private:
        friend class Permissions;
        Sets(const std::uint64_t* bits, std::size_t words) noexcept : bits_(bits), words_(words) {}
        bool test(std::size_t set, std::size_t port_class) const noexcept {
            return (bits_[set * words_ + port_class / 64] >> (port_class % 64) & 1) != 0;
        }
        const std::uint64_t* bits_;
        std::size_t words_;
    };
    Sets operator[](Index permission) const noexcept { return {bits_.data() + permission * kSets * words_, words_}; }

    bool forward(Index permission, PortClass port_class) const noexcept {
        return (*this)[permission].forward(port_class);
    }
    bool reverse(Index permission, PortClass port_class) const noexcept {
        return (*this)[permission].reverse(port_class);
    }
    bool tracked(Index permission, PortClass port_class) const noexcept {
        return (*this)[permission].tracked(port_class);
    }

    std::size_t count() const noexcept { return bits_.size() / (kSets * words_); }
    std::size_t words() const noexcept { return words_; }
    // Adds a permission of three sets of words() words each (forward, reverse, tracked); returns its index. No
    // interning here.
    Index add(const std::vector<std::uint64_t>& sets);

  private:
    std::size_t words_;
    std::vector<std::uint64_t> bits_;
};

// Group to column for one source VRF: pages of 32 groups, a cache line each. A VRF reaches few of a node's groups, so
// those that it reaches nothing of are one page, the first.
class ColumnMap {
  public:
    ColumnMap() : columns_(kPage) {}

    class Finder {
      public:
        std::uint16_t operator()(std::uint16_t group) const noexcept {
            const std::size_t page = group / kPage < pages_ ? page_of_[group / kPage] : 0;
            return columns_[page * kPage + group % kPage];
        }

      private:
        friend class ColumnMap;
        explicit Finder(const ColumnMap& map) noexcept
            : page_of_(map.page_of_.data()), pages_(map.page_of_.size()), columns_(map.columns_.data()) {}
        const std::uint16_t* page_of_;
        std::size_t pages_;
        const std::uint16_t* columns_;
    };
    Finder finder() const noexcept { return Finder(*this); }
    // Takes columns, the index the group; groups beyond the end have column 0. Control thread only, before publishing.
    void assign(const std::vector<std::uint16_t>& column_of_group);
    std::size_t bytes() const noexcept { return (page_of_.size() + columns_.size()) * sizeof(std::uint16_t); }

  private:
    static constexpr std::size_t kPage = 32;
    std::vector<std::uint16_t> page_of_;
    std::vector<std::uint16_t> columns_;
};

// The cells of one source VRF. Column 0 is for groups that nothing in this VRF may reach; its cells are kNothing.
struct Matrix {
    ColumnMap column_of_group;
    std::vector<Permissions::Index> cells;  // row by row
    std::uint32_t columns = 1;

    // For many cells: what they all need is a copy, which no store of the caller's can change, to the compiler.
    class Finder {
      public:
        explicit Finder(const Matrix& matrix) noexcept
            : column_of_(matrix.column_of_group.finder()), cells_(matrix.cells.data()), columns_(matrix.columns) {}
        Permissions::Index cell(std::uint32_t row, std::uint16_t group) const noexcept {
            return cells_[row * columns_ + column_of_(group)];
        }

      private:
        ColumnMap::Finder column_of_;
        const Permissions::Index* cells_;
        std::size_t columns_;
    };
    Permissions::Index cell(std::uint32_t row, std::uint16_t group) const noexcept {
        return Finder(*this).cell(row, group);
    }
};

}  // namespace sekisho::dataplane
