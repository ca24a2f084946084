// The batch lookups in their versions: the same answers, by the instructions that the processor has.
//
// Each version is a translation unit of its own, compiled for its instructions; the choice is made once, at run time.
// `scalar` runs everywhere and is the only one where the processor is not x86-64.
#pragma once

#include <cstddef>

#include "lpm/layout.hpp"
#include "lpm/types.hpp"

namespace sekisho::lpm {

// What a lookup needs of a FibView.
struct Lookup {
    const std::byte* base = nullptr;
    const TableHead* heads = nullptr;  // `tables` of them, and one more for tables that do not exist
    std::uint32_t tables = 0;
};

// The functions of one version.
struct Kernel {
    void (*many4)(const Lookup&, const TableId* tables, const Key4* keys, Row* rows, std::size_t count) noexcept;
    void (*one4)(const Lookup&, TableId table, const Key4* keys, Row* rows, std::size_t count) noexcept;
    void (*many6)(const Lookup&, const TableId* tables, const Key6* keys, Row* rows, std::size_t count) noexcept;
    void (*one6)(const Lookup&, TableId table, const Key6* keys, Row* rows, std::size_t count) noexcept;
};

extern const Kernel kScalarKernel;
#if defined(__x86_64__)
extern const Kernel kAvx2Kernel;
extern const Kernel kAvx512Kernel;
#endif

// The version in use; the widest that the processor has, until use_simd() says otherwise.
const Kernel& kernel() noexcept;

}  // namespace sekisho::lpm
