// The middle one of a lookup's three steps (session_table.hpp), once for all versions. Included by the session_*.cpp
// versions only.
#pragma once

#include <bit>

#include "nat/session_kernel.hpp"
#include "net/prefetch.hpp"

namespace sekisho::nat {

template <class Isa>
void match_places(const SessionView& view, const Place* places, Slot* slots, std::size_t count) noexcept {
    for (std::size_t i = 0; i < count; ++i) {
        const Place& place = places[i];
        const SignatureLine& line = view.lines[place.first];
        const std::uint32_t found = Isa::match(line, place.signature());
        if (found != 0) [[likely]] {
            slots[i] = slot_at(place.first, static_cast<unsigned>(std::countr_zero(found)));
            prefetch_to_l2(view.records + record_of(slots[i]) * view.record_bytes);
        } else {
            slots[i] = kNoSlot;
            if (line.overflow != 0) [[unlikely]]
                prefetch(&view.lines[place.second(view.buckets)]);
        }
    }
}

template <class Isa>
constexpr SessionKernel session_kernel_for() noexcept {
    return {&match_places<Isa>, &Isa::match, &Isa::due};
}

}  // namespace sekisho::nat
