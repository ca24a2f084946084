// A hub with protected_policy.hpp's policy, and the peer of its tunnel.
#pragma once

#include "tests/dataplane/support/ends.hpp"
#include "tests/dataplane/support/esp_peer.hpp"
#include "tests/dataplane/support/protected_policy.hpp"
#include "tests/dataplane/support/test_hub.hpp"

namespace sekisho::test {

struct ProtectedOptions {
    Family outer = Family::ipv4;
    crypto::Suite suite = crypto::Suite::aes_gcm_128;
    bool esn = true;
    std::vector<crypto::Selector> selectors = any_selectors();
    crypto::LifetimeLimits lifetime = {};
    crypto::OuterMarks marks = {};
    bool in_udp = false;
};

// A hub with that policy, its neighbours known, and an SA each way.
class ProtectedHub : public StandardHub {
  public:
    explicit ProtectedHub(const ProtectedOptions& options = {}, bool with_associations = true)
        : ProtectedHub(options.in_udp ? in_udp_policy(options.outer) : protected_policy(options.outer), options,
                       with_associations) {}
    ProtectedHub(const Policy& policy, const ProtectedOptions& options, bool with_associations = true);

    const EspKey in, out;  // what the peer seals with, and what it opens with

    void install_inbound(const EspKey& key, TunnelId tunnel = kHigashiTunnel);
    // With all the numbers that there are from `start` on.
    void install_outbound(const EspKey& key, TunnelId tunnel = kHigashiTunnel, std::uint64_t start = 1);

    // The peer's packet around `inner`, as a frame that comes by the underlay.
    Frame from_peer(const Bytes& inner, const EspOptions& options = {}) {
        return carried(esp(in, next_++, inner, options));
    }
    Frame numbered(std::uint64_t sequence, const Bytes& inner, const EspOptions& options = {}) const {
        return carried(esp(in, sequence, inner, options));
    }
    Frame carried(const Bytes& esp) const;
    // In UDP: from where the peer sends, and where it is expected to be reached, from now on.
    void peer_moves(std::string_view address, unsigned port) { peer_address_ = address, peer_port_ = port; }
    void peer_sends(const Frame& frame) { send("higashi-line", frame); }
    void peer_sends(const std::vector<Frame>& frames) { send("higashi-line", frames); }

    // What goes to the peer, as a frame that leaves by the underlay: ESP, in UDP if the tunnel is.
    Frame to_peer(const Bytes& esp) const;
    // What the peer finds in the frames that left; fails where one is not what a peer would take: outer addresses,
    // link, number, ICV, padding.
    std::vector<Bytes> opened();
    OuterEnds ends() const { return {policy().line("higashi").local, policy().line("higashi").peer}; }

  private:
    ProtectedOptions options_;
    std::uint64_t next_ = 1;
    std::uint32_t expected_ = 1;
    std::string peer_address_;
    unsigned peer_port_ = 4500;
};

// What kita's client asks the portal: an inner packet.
inline Bytes inner_question(unsigned size = 40) {
    return udp("10.0.0.7:4000", "100.64.2.9:53").payload(size).ip();
}

}  // namespace sekisho::test
