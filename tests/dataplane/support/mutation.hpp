// Mutations of frames where they lie, made by the hundred million: of lengths, of chains of headers, of fragments, tags
// and addresses, of any byte. Half of the results have their checksums made right again, so that they get deep.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "tests/dataplane/support/specimens.hpp"
#include "tests/support/random.hpp"

namespace sekisho::test {

class FrameMutator {
  public:
    FrameMutator(const std::vector<Specimen>& specimens, Random& random) : specimens_(specimens), random_(random) {}

    // Changes the frame of `length` bytes at the front of `room`; returns its new length, no more than the room's.
    std::size_t mutate(std::span<std::uint8_t> room, std::size_t length);

  private:
    std::size_t once(std::span<std::uint8_t> room, std::size_t length);
    void change_header(std::span<std::uint8_t> frame);
    std::size_t insert(std::span<std::uint8_t> room, std::size_t length, std::size_t at, std::size_t bytes);

    const std::vector<Specimen>& specimens_;
    Random& random_;
};

// Makes the IPv4 header's checksum and that of TCP, UDP or ICMP right over what the frame has, where it has them.
void mend_checksums(std::span<std::uint8_t> frame);

}  // namespace sekisho::test
