// The batch lookup of sessions in its versions: the same answers, by the instructions that the processor has.
//
// What differs is how a line of signatures is compared. `scalar` runs everywhere.
#pragma once

#include <cstddef>

#include "nat/session_layout.hpp"

namespace sekisho::nat {

// What a lookup needs of a table.
struct SessionView {
    const SignatureLine* lines = nullptr;
    const std::byte* records = nullptr;  // each begins with its key
    std::uint32_t buckets = 0;
    HashSeed seed;
};

inline constexpr std::size_t kRecordBytes4 = 64;
inline constexpr std::size_t kRecordBytes6 = 128;
template <class Key>
inline constexpr std::size_t kRecordBytes = sizeof(Key) == 16 ? kRecordBytes4 : kRecordBytes6;

struct SessionKernel {
    void (*find4)(const SessionView&, const SessionKey4* keys, Slot* slots, std::size_t count) noexcept;
    void (*find6)(const SessionView&, const SessionKey6* keys, Slot* slots, std::size_t count) noexcept;
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
