// What `explain` says of packets by a tunnel and into one: the SA, its selectors, the way around the packet.
#include <fmt/format.h>

#include "tests/dataplane/support/explained.hpp"
#include "tests/dataplane/support/pieces.hpp"
#include "tests/dataplane/support/protected.hpp"

namespace sekisho::test {
namespace {

using Catch::Matchers::Contains;
using dataplane::ImaginedPacket;

ImaginedPacket question(const ProtectedHub& hub, std::string_view line, std::string_view source,
                        std::string_view destination) {
    ImaginedPacket packet;
    packet.attachment = AttachmentId(static_cast<std::uint16_t>(hub.policy().line_index(line)));
    packet.source = *IpAddress::parse(source);
    packet.destination = *IpAddress::parse(destination);
    packet.protocol = kProtocolUdp;
    packet.destination_port = 53;
    return packet;
}

std::string spi_of(const EspKey& key) {
    return fmt::format("SPI 0x{:08x}", key.spi.value());
}

}  // namespace

TEST_CASE("explain: by a tunnel, the SA and its selectors, and whether they take the packet", "[esp]") {
    ProtectedOptions options;
    options.selectors = {{*Prefix4::parse("100.64.2.0/24"), *Prefix4::parse("10.0.0.0/24")}};
    ProtectedHub hub(options);
    const std::string selectors = "selectors 10.0.0.0/24 -> 100.64.2.0/24: ";
    const std::string taken = explained(hub, question(hub, "higashi", "10.0.0.7", "100.64.2.9"));
    CHECK_THAT(taken, Contains("open: SA with " + spi_of(hub.in) + ", aes_gcm_128, ESN"));
    CHECK_THAT(taken, Contains(selectors + "may carry it"));
    CHECK_THAT(taken, !Contains("dropped"));
    const std::string refused = explained(hub, question(hub, "higashi", "10.0.1.7", "100.64.2.9"));
    CHECK_THAT(refused, Contains(selectors + "may not carry it"));
    CHECK_THAT(refused, Contains("dropped: selector_mismatch"));
}

TEST_CASE("explain: by a tunnel that has no SA, and into one", "[esp]") {
    ProtectedHub hub;
    const auto into = [&] { return explained(hub, question(hub, "kita", "10.0.0.7", kHigashiHub4)); };
    const std::string sealed = into();
    CHECK_THAT(sealed, Contains(fmt::format("seal: ESP from {} to {}", hub.ends().hub, hub.ends().peer)));
    CHECK_THAT(sealed, Contains("SA with " + spi_of(hub.out)));
    CHECK_THAT(sealed, !Contains("dropped"));
    REQUIRE(hub.associations()->remove_outbound(kHigashiTunnel, hub.out.spi));
    REQUIRE(hub.associations()->remove_inbound(hub.in.spi));
    CHECK_THAT(into(), Contains("dropped: sa_missing"));
    CHECK_THAT(explained(hub, question(hub, "higashi", "10.0.0.7", "100.64.2.9")), Contains("dropped: sa_unknown"));
}

}  // namespace sekisho::test
