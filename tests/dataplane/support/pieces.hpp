// Datagrams in pieces: cut and put together byte by byte, without the path's code (RFC 791, RFC 815, RFC 8200 §4.5).
//
// Pieces and datagrams are whole IP packets. The body of a datagram is what follows its IP header; cutting gives its
// pieces the identification that is asked for, IPv6's in a fragment header.
#pragma once

#include <optional>

#include "tests/dataplane/support/frame.hpp"

namespace sekisho::test {

std::size_t body_size(const Bytes& datagram);
// The piece with bytes [begin, end) of the body; `more`: it says that others follow.
Bytes piece(const Bytes& datagram, std::size_t begin, std::size_t end, bool more, std::uint32_t id = 0x1234);
// All of it, cut at these places of the body.
std::vector<Bytes> pieces(const Bytes& datagram, const std::vector<std::size_t>& cuts, std::uint32_t id = 0x1234);

// What a receiver makes of the pieces of one datagram, in any order. Nothing if any is missing, overlaps, is not of the
// same datagram, or has a wrong header checksum.
std::optional<Bytes> reassembled(const std::vector<Bytes>& pieces);

// The frame that carries an IP packet.
Frame carrying(const Bytes& ip);

}  // namespace sekisho::test
