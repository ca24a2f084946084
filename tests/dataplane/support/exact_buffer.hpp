// Received frames as AddressSanitizer wants them: each in a heap buffer of exactly its length.
//
// DPDK's own buffers lie in one large mapping, where a read past the end of a frame goes unseen. Here nothing lies
// behind the last byte, unless a test wants room there, and before the first one only the headroom that a port leaves.
#pragma once

#include <memory>
#include <span>

#include <rte_mbuf.h>

namespace sekisho::test {

inline constexpr std::size_t kHeadroom = RTE_PKTMBUF_HEADROOM;

// A packet buffer of `pool` that holds `frame`; the heap memory goes when the last reference does. Null: none is free.
inline rte_mbuf* exact_buffer(rte_mempool* pool, std::span<const std::uint8_t> frame, std::size_t headroom = kHeadroom,
                              std::size_t tailroom = 0) {
    struct Buffer {
        rte_mbuf_ext_shared_info shared{};
        std::unique_ptr<std::uint8_t[]> bytes;
    };
    rte_mbuf* const mbuf = rte_pktmbuf_alloc(pool);
    if (mbuf == nullptr) return nullptr;
    auto* const buffer = new Buffer;
    buffer->bytes = std::make_unique<std::uint8_t[]>(headroom + frame.size() + tailroom);
    std::copy(frame.begin(), frame.end(), buffer->bytes.get() + headroom);
    buffer->shared.free_cb = [](void*, void* opaque) { delete static_cast<Buffer*>(opaque); };
    buffer->shared.fcb_opaque = buffer;
    rte_mbuf_ext_refcnt_set(&buffer->shared, 1);
    rte_pktmbuf_attach_extbuf(mbuf, buffer->bytes.get(), RTE_BAD_IOVA,
                              static_cast<std::uint16_t>(headroom + frame.size() + tailroom), &buffer->shared);
    mbuf->data_off = static_cast<std::uint16_t>(headroom);
    mbuf->data_len = static_cast<std::uint16_t>(frame.size());
    mbuf->pkt_len = mbuf->data_len;
    return mbuf;
}

}  // namespace sekisho::test
