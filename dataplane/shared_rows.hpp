// The rows behind a kind of table, shared from one generation to the next: what is published never changes, and more
// rows may follow behind it in the same memory.
//
// Control fills the rows before they are published. Later it appends, which no copy made before sees; so a small change
// costs its own rows and not a million others, and readers index an array as ever. One thread appends, to one copy
// only: the last one that was appended to. Readers of published copies need no lock. Many rows lie in large pages where
// the system grants them, for packets come to them in any order.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include "nat/pages.hpp"

namespace sekisho::dataplane {

template <class Row>
class SharedRows {
  public:
    SharedRows() = default;
    // `size` rows to be filled, and room for as many more as are told.
    explicit SharedRows(std::size_t size, std::size_t room = 0)
        : memory_(std::make_shared<Memory>(std::max<std::size_t>(1, size + room))),
          rows_(memory_->rows()),
          size_(size),
          capacity_(size + room) {}

    std::size_t size() const noexcept { return size_; }
    const Row* data() const noexcept { return rows_; }
    const Row& operator[](std::size_t index) const noexcept { return rows_[index]; }
    const Row& at(std::size_t index) const {
        if (index >= size_) throw std::out_of_range("no such row");
        return rows_[index];
    }

    // To be filled: only before it is published.
    Row& fresh(std::size_t index) noexcept { return rows_[index]; }
    // Whether that many rows can still be appended.
    bool has_room(std::size_t rows) const noexcept { return rows <= capacity_ - size_; }
    // Gives its index; there must be room.
    std::size_t append(Row row) noexcept {
        rows_[size_] = std::move(row);
        return size_++;
    }
    // The same with more memory where there is no room: not while somebody appends to a copy.
    void push_back(Row row) {
        if (!has_room(1)) {
            SharedRows more(size_, size_ + 1);
            for (std::size_t i = 0; i < size_; ++i) more.rows_[i] = rows_[i];
            *this = std::move(more);
        }
        append(std::move(row));
    }

  private:
    static_assert(std::is_trivially_destructible_v<Row>);

    class Memory {
      public:
        explicit Memory(std::size_t rows)
            : pages_(rows * sizeof(Row),
                     rows * sizeof(Row) < kLargePage ? nat::Pages::Size::small : nat::Pages::Size::huge) {
            std::uninitialized_value_construct_n(this->rows(), rows);
        }
        Row* rows() const noexcept { return reinterpret_cast<Row*>(pages_.data()); }

      private:
        static constexpr std::size_t kLargePage = std::size_t{2} << 20;
        nat::Pages pages_;
    };

    std::shared_ptr<Memory> memory_;
    Row* rows_ = nullptr;
    std::size_t size_ = 0;
    std::size_t capacity_ = 0;
};

}  // namespace sekisho::dataplane
