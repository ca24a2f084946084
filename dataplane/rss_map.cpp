#include "dataplane/rss_map.hpp"

#include <bit>
#include <cassert>
#include <cstring>
#include <utility>

#include <rte_thash.h>

namespace sekisho::dataplane {

RssMap::RssMap(std::span<const std::uint8_t, kKey> key, std::vector<WorkerId> workers) : workers_(std::move(workers)) {
    assert(std::has_single_bit(workers_.size()));
    std::array<std::uint32_t, kKey / 4> wire, converted;
    std::memcpy(wire.data(), key.data(), key.size());
    rte_convert_rss_key(wire.data(), converted.data(), static_cast<int>(key.size()));
    for (std::size_t place = 0; place < kTuple; ++place)
        for (std::uint32_t value = 0; value < 256; ++value) {
            std::array<std::uint32_t, kTuple / 4> tuple{};  // in host order
            tuple[place / 4] = value << (24 - 8 * (place % 4));
            parts_[place][value] = rte_softrss_be(tuple.data(), static_cast<std::uint32_t>(tuple.size()),
                                                  reinterpret_cast<const std::uint8_t*>(converted.data()));
        }
}

}  // namespace sekisho::dataplane
