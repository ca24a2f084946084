// Mutating in place, in the plainest way; where a header lies is guessed as its sender would have meant it.
#include "tests/dataplane/support/mutation.hpp"

#include <algorithm>
#include <cstring>

namespace sekisho::test {
namespace {

using Span = std::span<std::uint8_t>;

void put_word(Span bytes, std::size_t at, std::size_t value) {
    bytes[at] = static_cast<std::uint8_t>(value >> 8);
    bytes[at + 1] = static_cast<std::uint8_t>(value);
}

// Where the IP header begins, behind at most two tags; 0: the frame is too short to say.
std::size_t ip_of(Span frame) {
    std::size_t at = 14;
    for (int tags = 0; tags < 2 && frame.size() >= at + 4; ++tags) {
        const unsigned type = get16(frame, at - 2);
        if (type != 0x8100 && type != 0x88a8) break;
        at += 4;
    }
    return frame.size() >= at + 20 ? at : 0;
}

struct L4 {
    std::size_t at = 0;  // 0: there is none
    unsigned protocol = 0;
};

L4 l4_of(Span frame, std::size_t ip) {
    if (frame[ip] >> 4 == 4) {
        const bool later = (get16(frame, ip + 6) & 0x1fffU) != 0;
        const std::size_t at = ip + 4 * (frame[ip] & std::size_t{15});
        return later || at > frame.size() ? L4{} : L4{at, frame[ip + 9]};
    }
    if (frame[ip] >> 4 != 6 || frame.size() < ip + 40) return {};
    L4 l4{ip + 40, frame[ip + 6]};
    while ((l4.protocol == 0 || l4.protocol == 43 || l4.protocol == 44 || l4.protocol == 60) &&
           frame.size() >= l4.at + 8) {
        const bool fragment = l4.protocol == 44;
        if (fragment && (get16(frame, l4.at + 2) & 0xfff8U) != 0) return {};
        l4.protocol = frame[l4.at];
        l4.at += fragment ? 8 : 8 * (frame[l4.at + 1] + std::size_t{1});
    }
    return l4.at > frame.size() ? L4{} : l4;
}

}  // namespace

void mend_checksums(Span frame) {
    const std::size_t ip = ip_of(frame);
    if (ip == 0) return;
    const bool ipv4 = frame[ip] >> 4 == 4;
    if (ipv4) {
        const std::size_t length = 4 * (frame[ip] & std::size_t{15});
        if (length < 20 || frame.size() < ip + length) return;
        put_word(frame, ip + 10, 0);
        put_word(frame, ip + 10, 0xffffU & ~unsigned{sum_of_words({frame.subspan(ip, length)})});
    }
    const L4 l4 = l4_of(frame, ip);
    if (l4.at == 0) return;
    const std::size_t told = ipv4 ? get16(frame, ip + 2) : 40U + get16(frame, ip + 4);
    const std::size_t end = std::min(frame.size(), ip + told);
    if (end <= l4.at) return;
    const Span segment = frame.subspan(l4.at, end - l4.at);
    const bool icmp = l4.protocol == 1;
    const std::size_t field = l4.protocol == 6 ? 16 : l4.protocol == 17 ? 6 : icmp || l4.protocol == 58 ? 2 : 0;
    if (field == 0 || segment.size() < field + 2) return;
    put_word(segment, field, 0);
    const std::uint8_t rest[4] = {0, static_cast<std::uint8_t>(l4.protocol),
                                  static_cast<std::uint8_t>(segment.size() >> 8),
                                  static_cast<std::uint8_t>(segment.size())};
    const Span addresses = ipv4 ? frame.subspan(ip + 12, 8) : frame.subspan(ip + 8, 32);
    unsigned sum = icmp ? sum_of_words({segment}) : sum_of_words({addresses, rest}) + sum_of_words({segment});
    sum = (sum & 0xffff) + (sum >> 16);
    sum = ~sum & 0xffff;
    put_word(segment, field, l4.protocol == 17 && sum == 0 ? 0xffff : sum);
}

std::size_t FrameMutator::insert(Span room, std::size_t length, std::size_t at, std::size_t bytes) {
    if (at > length || length + bytes > room.size()) return length;
    std::memmove(&room[0] + at + bytes, &room[0] + at, length - at);
    return length + bytes;
}

// A field that decides how the rest is read: lengths, chains, offsets, tags.
void FrameMutator::change_header(Span frame) {
    const std::size_t ip = ip_of(frame);
    if (ip == 0) return;
    const bool ipv4 = frame[ip] >> 4 == 4;
    const L4 l4 = l4_of(frame, ip);
    const auto near = [&](std::size_t at) {
        if (at + 2 > frame.size()) return;
        const std::size_t value = get16(frame, at);
        const std::size_t values[] = {0, 1, value - 1, value + 1, value - 8, value + 8, 0xffff, frame.size()};
        put_word(frame, at, values[random_.below(std::size(values))]);
    };
    static constexpr std::uint8_t kNext[] = {0, 1, 4, 6, 17, 41, 43, 44, 50, 51, 58, 59, 60, 135, 255};
    switch (random_.below(8)) {
        case 0: near(ipv4 ? ip + 2 : ip + 4); break;
        case 1: near(ipv4 ? ip + 6 : l4.at + 2); break;  // the fragment's offset
        case 2: frame[ip + (ipv4 ? 9 : 6)] = kNext[random_.below(std::size(kNext))]; break;
        case 3: frame[ip] = static_cast<std::uint8_t>((frame[ip] & 0xf0U) | random_.below(16)); break;
        case 4: frame[ip + (ipv4 ? 8 : 7)] = static_cast<std::uint8_t>(random_.below(3)); break;  // TTL
        case 5:
            if (l4.at != 0 && l4.protocol == 17) near(l4.at + 4);
            if (l4.at != 0 && l4.protocol == 6 && l4.at + 13 < frame.size())
                frame[l4.at + 12] = static_cast<std::uint8_t>(random_.word());
            break;
        case 6: frame[13] = static_cast<std::uint8_t>(random_.one_in(2) ? 0 : 0xdd); break;  // half of an ether type
        default:                                                                             // an address of another
            if (const std::size_t at = ip + (ipv4 ? 12 : 8) + random_.below(ipv4 ? 8 : 32); at < frame.size())
                frame[at] = static_cast<std::uint8_t>(frame[at] ^ 1U << random_.below(8));
    }
}

std::size_t FrameMutator::once(Span room, std::size_t length) {
    if (length == 0) return 0;
    static constexpr std::uint8_t kBytes[] = {0, 1, 2, 4, 5, 0x0f, 0x40, 0x7f, 0x80, 0xfe, 0xff, 6, 17, 58};
    const Span frame = room.first(length);
    const std::size_t at = random_.below(random_.one_in(4) ? length : std::min<std::size_t>(length, 80));
    switch (random_.below(12)) {
        case 0: frame[at] = static_cast<std::uint8_t>(frame[at] ^ 1U << random_.below(8)); return length;
        case 1: frame[at] = static_cast<std::uint8_t>(random_.word()); return length;
        case 2: frame[at] = kBytes[random_.below(std::size(kBytes))]; return length;
        case 3: return random_.below(length + 1);
        case 4: {
            const std::size_t more = std::min(random_.below(64), room.size() - length);
            std::memset(&room[0] + length, static_cast<int>(random_.below(256)), more);
            return length + more;
        }
        case 5: {  // a stretch of another packet
            const Bytes& other = specimens_[random_.below(specimens_.size())].frame;
            if (at < other.size())
                std::memcpy(&frame[at], &other[at], std::min({random_.below(48), length - at, other.size() - at}));
            return length;
        }
        case 6: {  // bytes taken out
            const std::size_t out = std::min(random_.below(16), length - at);
            std::memmove(&room[0] + at, &room[0] + at + out, length - at - out);
            return length - out;
        }
        case 7: {  // a tag more
            const std::size_t longer = insert(room, length, std::min<std::size_t>(12, length), 4);
            if (longer == length || longer < 16) return longer;
            put_word(room, 12, random_.one_in(4) ? 0x88a8 : 0x8100);
            put_word(room, 14, random_.one_in(2) ? 20 : random_.below(4096));
            return longer;
        }
        case 8: {  // an IPv6 extension header more
            const std::size_t ip = ip_of(frame);
            if (ip == 0 || frame[ip] >> 4 != 6 || length < ip + 40) return length;
            const std::size_t longer = insert(room, length, ip + 40, 8);
            if (longer == length) return length;
            static constexpr std::uint8_t kTypes[] = {0, 43, 44, 60};
            const std::uint8_t header[8] = {room[ip + 6], 0, 1, 4, 0, 0, 0, 0};
            std::memcpy(&room[ip + 40], header, sizeof header);
            room[ip + 6] = kTypes[random_.below(std::size(kTypes))];
            put_word(room, ip + 4, get16(room, ip + 4) + std::size_t{8});
            return longer;
        }
        default: change_header(frame); return length;
    }
}

std::size_t FrameMutator::mutate(Span room, std::size_t length) {
    for (std::size_t times = random_.below(4); times > 0; --times) length = once(room, length);
    if (random_.one_in(2)) mend_checksums(room.first(length));
    return length;
}

}  // namespace sekisho::test
