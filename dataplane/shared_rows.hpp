// The rows behind a kind of table, shared from one generation to the next: what is published never changes, and more
// rows may follow behind it in the same memory.
//
// Control fills the rows before they are published. Later it appends, which no copy made before sees; so a small change
// costs its own rows and not a million others, and readers index an array as ever. One thread appends, to one copy
// only: the last one that was appended to. Readers of published copies need no lock.
#pragma once

#include <cstddef>
#include <memory>
#include <stdexcept>
#include <utility>

namespace sekisho::dataplane {

template <class Row>
class SharedRows {
  public:
    SharedRows() = default;
    // `size` rows to be filled, and room for as many more as are told.
    explicit SharedRows(std::size_t size, std::size_t room = 0)
        : memory_(std::make_shared<Row[]>(size + room)), size_(size), capacity_(size + room) {}

    std::size_t size() const noexcept { return size_; }
    const Row* data() const noexcept { return memory_.get(); }
    const Row& operator[](std::size_t index) const noexcept { return memory_.get()[index]; }
    const Row& at(std::size_t index) const {
        if (index >= size_) throw std::out_of_range("no such row");
        return memory_.get()[index];
    }

    // To be filled: only before it is published.
    Row& fresh(std::size_t index) noexcept { return memory_.get()[index]; }
    // Whether that many rows can still be appended.
    bool has_room(std::size_t rows) const noexcept { return rows <= capacity_ - size_; }
    // Gives its index; there must be room.
    std::size_t append(Row row) noexcept {
        memory_.get()[size_] = std::move(row);
        return size_++;
    }
    // The same with more memory where there is no room: not while somebody appends to a copy.
    void push_back(Row row) {
        if (!has_room(1)) {
            SharedRows more(size_, size_ + 1);
            for (std::size_t i = 0; i < size_; ++i) more.memory_.get()[i] = memory_.get()[i];
            *this = std::move(more);
        }
        append(std::move(row));
    }

  private:
    std::shared_ptr<Row[]> memory_;
    std::size_t size_ = 0;
    std::size_t capacity_ = 0;
};

}  // namespace sekisho::dataplane
