// Ports cut into classes: ports that no agreement in force tells apart share one.
//
// The terms of an agreement are its protocol and the ports of its service, written in the one way that equal terms
// share. classify() cuts the TCP and the UDP ports of all terms into atoms, numbers those as port classes, and says of
// each terms which classes it lets through. Who may use the terms is not its business. Compiler thread only.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "control/policy.hpp"
#include "dataplane/matrix.hpp"
#include "net/expected.hpp"

namespace sekisho::control {

struct Terms {
    Protocol protocol = Protocol::any;
    std::vector<PortRange> ports;  // ascending, apart from each other; empty for icmp_echo and any
    bool tracked = false;          // answers come back by sessions

    friend auto operator<=>(const Terms&, const Terms&) = default;
};

// Error: a protocol with ports that names none, a range that ends before it begins.
Expected<Terms> terms_of(const Agreement& agreement);

struct PortClasses {
    dataplane::PortClassMap tcp;
    dataplane::PortClassMap udp;
    std::size_t count = 2;  // classes, kOtherClass and kEchoClass among them
    // For each of the terms: bit c of word c / 64 is class c; (count + 63) / 64 words.
    std::vector<std::vector<std::uint64_t>> sets;
};

// Error limit: more classes than a PortClass can number.
Expected<PortClasses> classify(std::span<const Terms> terms);

}  // namespace sekisho::control
