// Taking and giving back memory. Cold.
#include "nat/pages.hpp"

#include <memory>
#include <new>
#include <sys/mman.h>

namespace sekisho::nat {

namespace {
constexpr std::size_t kHugePage = std::size_t{2} << 20;
}

Pages::Pages(std::size_t bytes, Size size) : reserved_bytes_(bytes), bytes_(bytes) {
    if (size == Size::huge) reserved_bytes_ = (bytes + kHugePage - 1) / kHugePage * kHugePage + kHugePage;
    reserved_ =
        mmap(nullptr, reserved_bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (reserved_ == MAP_FAILED) throw std::bad_alloc();
    data_ = static_cast<std::byte*>(reserved_);
    if (size == Size::small) return;
    void* aligned = reserved_;
    std::size_t room = reserved_bytes_;
    std::align(kHugePage, reserved_bytes_ - kHugePage, aligned, room);
    data_ = static_cast<std::byte*>(aligned);
    // Fewer TLB misses where the system grants huge pages; no harm where it does not.
    (void)madvise(data_, reserved_bytes_ - kHugePage, MADV_HUGEPAGE);
}

Pages::~Pages() {
    munmap(reserved_, reserved_bytes_);
}

}  // namespace sekisho::nat
