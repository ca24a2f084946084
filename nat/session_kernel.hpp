// What a line of signatures is compared by, in its versions: the same answers, by the instructions that the processor
// has. `scalar` runs everywhere.
#pragma once

#include <cstddef>

#include "nat/session_layout.hpp"

namespace sekisho::nat {

// What a lookup needs of a table.
struct SessionView {
    const SignatureLine* lines = nullptr;
    const std::byte* records = nullptr;  // each begins with its key
    std::size_t record_bytes = 0;
    std::uint32_t buckets = 0;
    HashSeed seed;
};

inline constexpr std::size_t kRecordBytes4 = 64;
inline constexpr std::size_t kRecordBytes6 = 128;
template <class Key>
inline constexpr std::size_t kRecordBytes = sizeof(Key) == 16 ? kRecordBytes4 : kRecordBytes6;

struct SessionKernel {
    // For each place the first record of its first bucket that has its signature, whose first line is on its way, or
    // kNoSlot.
    void (*match)(const SessionView&, const Place* places, Slot* slots, std::size_t count) noexcept;
    // The places of a bucket that have this signature, one bit each; 0: those that are free.
    std::uint32_t (*matches)(const SignatureLine& line, std::uint16_t signature) noexcept;
    // The places of a bucket that are to be looked at at `now`, one bit each.
    std::uint32_t (*due)(const DueLine& line, std::uint16_t now) noexcept;
};

extern const SessionKernel kScalarSessions;
#if defined(__x86_64__)
extern const SessionKernel kAvx2Sessions;
extern const SessionKernel kAvx512Sessions;
#endif

// The version in use, by net/simd.hpp.
const SessionKernel& session_kernel() noexcept;

}  // namespace sekisho::nat
