// Cutting and putting together, the plainest way.
#include "tests/dataplane/support/pieces.hpp"

#include <algorithm>

namespace sekisho::test {
namespace {

bool is_ipv4(std::span<const std::uint8_t> ip) {
    return ip[0] >> 4 == 4;
}
std::size_t header_size(std::span<const std::uint8_t> ip) {
    return is_ipv4(ip) ? std::size_t{4} * (ip[0] & 15) : 40;
}
void finish_ipv4(Bytes& ip) {
    const std::size_t header = header_size(ip);
    set16(ip, 2, ip.size());
    set16(ip, 10, 0);
    set16(ip, 10, 0xffffU & ~unsigned{sum_of_words({std::span(ip).first(header)})});
}

// A piece as its receiver reads it.
struct Arrived {
    std::size_t begin = 0;
    bool more = false;
    std::uint32_t id = 0;
    Bytes header, body;
};

std::optional<Arrived> arrived(const Bytes& ip) {
    Arrived piece;
    const std::size_t header = header_size(ip);
    piece.header = first(ip, header);
    if (is_ipv4(ip)) {
        if (sum_of_words({piece.header}) != 0xffff || get16(ip, 2) != ip.size()) return std::nullopt;
        piece.begin = std::size_t{8} * (get16(ip, 6) & 0x1fffU);
        piece.more = (get16(ip, 6) & 0x2000) != 0;
        piece.id = get16(ip, 4);
        piece.body.assign(ip.begin() + static_cast<std::ptrdiff_t>(header), ip.end());
        return piece;
    }
    if (get16(ip, 4) + 40U != ip.size() || ip[6] != 44 || ip.size() < 48) return std::nullopt;
    piece.begin = get16(ip, 42) & 0xfff8U;
    piece.more = (get16(ip, 42) & 1) != 0;
    piece.id = static_cast<std::uint32_t>(get16(ip, 44)) << 16 | get16(ip, 46);
    piece.header[6] = ip[40];
    piece.body.assign(ip.begin() + 48, ip.end());
    return piece;
}

}  // namespace

std::size_t body_size(const Bytes& datagram) {
    return datagram.size() - header_size(datagram);
}

Bytes piece(const Bytes& datagram, std::size_t begin, std::size_t end, bool more, std::uint32_t id) {
    const std::size_t header = header_size(datagram);
    Bytes result = first(datagram, header);
    if (is_ipv4(datagram)) {
        set16(result, 4, id);
        set16(result, 6, begin / 8 | (more ? 0x2000U : 0));
    } else {
        put8(result, result[6]);
        put8(result, 0);
        put16(result, begin | (more ? 1U : 0));
        put32(result, id);
        result[6] = 44;
    }
    put(result, std::span(datagram).subspan(header + begin, end - begin));
    if (is_ipv4(datagram))
        finish_ipv4(result);
    else
        set16(result, 4, result.size() - 40);
    return result;
}

std::vector<Bytes> pieces(const Bytes& datagram, const std::vector<std::size_t>& cuts, std::uint32_t id) {
    std::vector<Bytes> result;
    std::size_t begin = 0;
    for (const std::size_t cut : cuts) {
        result.push_back(piece(datagram, begin, cut, true, id));
        begin = cut;
    }
    result.push_back(piece(datagram, begin, body_size(datagram), false, id));
    return result;
}

std::optional<Bytes> reassembled(const std::vector<Bytes>& received) {
    std::vector<Arrived> sorted;
    for (const Bytes& ip : received) {
        auto piece = arrived(ip);
        if (!piece) return std::nullopt;
        sorted.push_back(std::move(*piece));
    }
    std::sort(sorted.begin(), sorted.end(), [](const Arrived& a, const Arrived& b) { return a.begin < b.begin; });
    if (sorted.empty() || sorted.front().begin != 0) return std::nullopt;
    Bytes datagram = sorted.front().header;
    const std::size_t header = datagram.size();
    for (std::size_t i = 0; i < sorted.size(); ++i) {
        const Arrived& piece = sorted[i];
        const bool last = i + 1 == sorted.size();
        if (piece.id != sorted.front().id || piece.begin != datagram.size() - header) return std::nullopt;
        if (piece.more == last || (!last && piece.body.size() % 8 != 0)) return std::nullopt;
        const std::size_t addresses = is_ipv4(datagram) ? 12 : 8;
        if (!std::equal(datagram.begin() + static_cast<std::ptrdiff_t>(addresses),
                        datagram.begin() + (is_ipv4(datagram) ? 20 : 40),
                        piece.header.begin() + static_cast<std::ptrdiff_t>(addresses)))
            return std::nullopt;
        put(datagram, piece.body);
    }
    if (is_ipv4(datagram)) {
        set16(datagram, 6, 0);
        finish_ipv4(datagram);
    } else {
        set16(datagram, 4, datagram.size() - 40);
    }
    return datagram;
}

Frame carrying(const Bytes& ip) {
    return on_link(is_ipv4(ip) ? 0x0800 : 0x86dd, ip);
}

}  // namespace sekisho::test
