// Answers checksum questions on stdin, one a line, for checksum_oracle_test.py. All bytes are hexadecimal; "-" is none.
//
//   whole BYTES                                     the checksum of the bytes
//   pseudo SOURCE DESTINATION PROTOCOL BYTES        that of an L4 packet whose own checksum field is zero
//   delta CHECKSUM BEFORE AFTER [BEFORE AFTER …]    CHECKSUM after these words (2, 4 or 16 bytes) were replaced
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include "net/checksum.hpp"

using namespace sekisho;

namespace {

using Bytes = std::vector<std::uint8_t>;

Bytes bytes_of(const std::string& hex) {
    Bytes bytes;
    if (hex == "-") return bytes;
    for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
        bytes.push_back(static_cast<std::uint8_t>(std::stoul(hex.substr(i, 2), nullptr, 16)));
    return bytes;
}

template <class Word>
Word word_of(const Bytes& bytes) {
    Word word;
    std::memcpy(&word, bytes.data(), sizeof word);
    return word;
}

ChecksumDelta replaced(const Bytes& before, const Bytes& after) {
    if (before.size() == 2) return ChecksumDelta::replace(word_of<Be16>(before), word_of<Be16>(after));
    if (before.size() == 4) return ChecksumDelta::replace(word_of<Be32>(before), word_of<Be32>(after));
    return ChecksumDelta::replace(word_of<Ipv6Wire>(before), word_of<Ipv6Wire>(after));
}

Be16 answer(const std::string& question) {
    std::istringstream words(question);
    std::string kind, a, b, c, d;
    words >> kind >> a;
    if (kind == "whole") return checksum_of(bytes_of(a));
    if (kind == "delta") {
        ChecksumDelta delta;
        while (words >> b >> c) delta = delta + replaced(bytes_of(b), bytes_of(c));
        return delta.apply(word_of<Be16>(bytes_of(a)));
    }
    words >> b >> c >> d;
    const Bytes source = bytes_of(a), destination = bytes_of(b), packet = bytes_of(d);
    const auto protocol = static_cast<std::uint8_t>(std::stoul(c));
    const std::uint64_t pseudo =
        source.size() == 4
            ? pseudo_header_sum(word_of<Be32>(source), word_of<Be32>(destination), protocol, packet.size())
            : pseudo_header_sum(word_of<Ipv6Wire>(source), word_of<Ipv6Wire>(destination), protocol, packet.size());
    return checksum_of(pseudo + sum_of(packet));
}

}  // namespace

int main() {
    for (std::string question; std::getline(std::cin, question);)
        std::printf("%04x\n", static_cast<unsigned>(answer(question).to_host()));
    return EXIT_SUCCESS;
}
