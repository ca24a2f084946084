// The names of the closed enums, once, in the order of control/policy.hpp. Pure.
#include <array>
#include <cstddef>
#include <string_view>

#include "control/policy_reader.hpp"

namespace sekisho::control {

namespace {

template <class Enum, std::size_t N>
constexpr std::string_view pick(const std::array<std::string_view, N>& names, Enum value) noexcept {
    return names[static_cast<std::size_t>(value)];
}

using std::string_view_literals::operator""sv;

constexpr std::array kExpiryActions = {"warn"sv, "freeze"sv, "stop"sv};
constexpr std::array kAttachmentMethods = {"ip_vpn"sv, "leased_line"sv, "designated"sv};
constexpr std::array kProtections = {"none"sv, "esp"sv};
constexpr std::array kSessionManagements = {"hub"sv, "operator"sv, "none"sv};
constexpr std::array kFamilyChoices = {"ipv4"sv, "ipv6"sv, "dual"sv};
constexpr std::array kInstitutionKinds = {"hospital"sv, "pharmacy"sv, "regional_network"sv, "care_provider"sv,
                                          "service_provider"sv};
constexpr std::array kLinkMethods = {"ip_vpn"sv, "internet_vpn"sv, "leased_line"sv, "other"sv};
constexpr std::array kTranslationKinds = {"prefix_map"sv, "port_block"sv, "family"sv};
constexpr std::array kProtocols = {"tcp"sv, "udp"sv, "icmp_echo"sv, "any"sv};
constexpr std::array kAgreementStates = {"tracked"sv, "stateless"sv};
constexpr std::array kTunnelKeys = {"manual"sv, "ike"sv};
constexpr std::array kDfModes = {"copy"sv, "set"sv, "clear"sv};
constexpr std::array kEcnModes = {"normal"sv, "compatibility"sv};
constexpr std::array kGateTargets = {"node"sv, "operator"sv, "attachment"sv, "institution"sv, "agreement"sv};
constexpr std::array kGateReasons = {"maintenance"sv, "emergency"sv, "arrears"sv,
                                     "violation"sv,   "expiry"sv,    "revocation"sv};

static_assert(pick(kExpiryActions, ExpiryAction::stop) == "stop");
static_assert(pick(kAttachmentMethods, AttachmentMethod::designated) == "designated");
static_assert(pick(kProtections, Protection::esp) == "esp");
static_assert(pick(kSessionManagements, SessionManagement::none) == "none");
static_assert(pick(kFamilyChoices, FamilyChoice::dual) == "dual");
static_assert(pick(kInstitutionKinds, InstitutionKind::service_provider) == "service_provider");
static_assert(pick(kLinkMethods, LinkMethod::other) == "other");
static_assert(pick(kTranslationKinds, TranslationKind::family) == "family");
static_assert(pick(nat::kFilteringNames, nat::Filtering::address_and_port_dependent) == "address_and_port_dependent");
static_assert(pick(kProtocols, Protocol::any) == "any");
static_assert(pick(kAgreementStates, AgreementState::stateless) == "stateless");
static_assert(pick(kTunnelKeys, TunnelKeys::ike) == "ike");
static_assert(pick(kDfModes, crypto::DfMode::clear) == "clear");
static_assert(pick(kEcnModes, crypto::EcnMode::compatibility) == "compatibility");
static_assert(pick(kGateTargets, GateTarget::agreement) == "agreement");
static_assert(pick(kGateReasons, GateReason::revocation) == "revocation");

}  // namespace

std::string_view name_of(ExpiryAction value) noexcept {
    return pick(kExpiryActions, value);
}
std::string_view name_of(AttachmentMethod value) noexcept {
    return pick(kAttachmentMethods, value);
}
std::string_view name_of(Protection value) noexcept {
    return pick(kProtections, value);
}
std::string_view name_of(SessionManagement value) noexcept {
    return pick(kSessionManagements, value);
}
std::string_view name_of(FamilyChoice value) noexcept {
    return pick(kFamilyChoices, value);
}
std::string_view name_of(InstitutionKind value) noexcept {
    return pick(kInstitutionKinds, value);
}
std::string_view name_of(LinkMethod value) noexcept {
    return pick(kLinkMethods, value);
}
std::string_view name_of(TranslationKind value) noexcept {
    return pick(kTranslationKinds, value);
}
std::string_view name_of(nat::Filtering value) noexcept {
    return pick(nat::kFilteringNames, value);
}
std::string_view name_of(Protocol value) noexcept {
    return pick(kProtocols, value);
}
std::string_view name_of(AgreementState value) noexcept {
    return pick(kAgreementStates, value);
}
std::string_view name_of(TunnelKeys value) noexcept {
    return pick(kTunnelKeys, value);
}
std::string_view name_of(crypto::DfMode value) noexcept {
    return pick(kDfModes, value);
}
std::string_view name_of(crypto::EcnMode value) noexcept {
    return pick(kEcnModes, value);
}
std::string_view name_of(GateTarget value) noexcept {
    return pick(kGateTargets, value);
}
std::string_view name_of(GateReason value) noexcept {
    return pick(kGateReasons, value);
}

}  // namespace sekisho::control
