// Numbers that name things, each a type of its own: an OperatorId never stands where a VrfId is wanted.
//
// An id is an index that control/ gave out; it is stable for as long as the thing keeps its name in the policy, so that
// counters and neighbours survive a new generation. L4Port and Spi are numbers in a header, here in host order.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>

namespace sekisho {

template <class Tag, class Rep>
class StrongId {
  public:
    using Value = Rep;

    constexpr StrongId() noexcept = default;
    constexpr explicit StrongId(Rep value) noexcept : value_(value) {}

    constexpr Rep value() const noexcept { return value_; }
    constexpr std::size_t index() const noexcept { return value_; }

    friend constexpr auto operator<=>(StrongId, StrongId) noexcept = default;

  private:
    Rep value_ = 0;
};

using OperatorId = StrongId<struct OperatorTag, std::uint16_t>;
using VrfId = StrongId<struct VrfTag, std::uint16_t>;
using AttachmentId = StrongId<struct AttachmentTag, std::uint32_t>;
using InstitutionId = StrongId<struct InstitutionTag, std::uint32_t>;
using PortId = StrongId<struct PortTag, std::uint16_t>;
using QueueId = StrongId<struct QueueTag, std::uint16_t>;
using WorkerId = StrongId<struct WorkerTag, std::uint16_t>;
using NexthopId = StrongId<struct NexthopTag, std::uint32_t>;
using NeighbourId = StrongId<struct NeighbourTag, std::uint32_t>;
using SaIndex = StrongId<struct SaTag, std::uint32_t>;
using Spi = StrongId<struct SpiTag, std::uint32_t>;
using TunnelId = StrongId<struct TunnelTag, std::uint32_t>;  // 0: none
using TapId = StrongId<struct TapTag, std::uint32_t>;        // 0: none
using VlanId = StrongId<struct VlanIdTag, std::uint16_t>;
using L4Port = StrongId<struct L4PortTag, std::uint16_t>;

}  // namespace sekisho

template <class Tag, class Rep>
struct std::hash<sekisho::StrongId<Tag, Rep>> {
    std::size_t operator()(sekisho::StrongId<Tag, Rep> id) const noexcept { return std::hash<Rep>{}(id.value()); }
};
