// The lookups for any processor: no instruction beyond the base, chunks searched key by key.
#include "lpm/kernel.hpp"

namespace sekisho::lpm {

namespace {

struct Scalar {
    // Bit k: bit kFromTop, counted from the topmost, of value k of 32.
    template <unsigned kFromTop>
    static std::uint32_t bits_among(const Value* values) noexcept {
        std::uint32_t bits = 0;
        for (unsigned k = 0; k < 32; ++k) bits |= (values[k] << kFromTop) >> 31 << k;
        return bits;
    }

    // From the chunk's start to the value of the last range that starts at or below `key`, a chunk_key().
    static std::size_t value_offset(const std::byte* chunk, std::uint16_t key) noexcept {
        std::uint16_t ranges;
        std::memcpy(&ranges, chunk, sizeof ranges);
        std::size_t range = 0;
        for (std::size_t i = 1; i < ranges; ++i) {
            std::uint16_t start;
            std::memcpy(&start, chunk + 2 * i, sizeof start);
            range += static_cast<std::int16_t>(start) <= static_cast<std::int16_t>(key);
        }
        return chunk_values_offset(ranges) + sizeof(Value) * range;
    }

    static Row row_in_leaf(const std::byte* leaf, std::uint64_t key) noexcept { return find_in_leaf(leaf, key); }
};

}  // namespace

constinit const Kernel kScalarKernel = kernel_for<Scalar>();

}  // namespace sekisho::lpm
