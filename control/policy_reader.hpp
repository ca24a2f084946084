// One object of the document, from JSON that fits the schema to the values of control/policy.hpp.
//
// Reads what a schema cannot say: addresses, prefixes, MAC addresses, days of the calendar, text safe to print. Looks
// at one object only; whether objects agree is control/validate's business. Pure; any thread.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "control/document.hpp"
#include "net/expected.hpp"

namespace sekisho::control {

// `object` must have passed check_schema() for the kind. Appends all that is wrong to `errors`, with `place` and the
// field before it; nullopt when anything was.
std::optional<Object::Value> read_object(Kind kind, const nlohmann::json& object, const std::string& place,
                                         std::vector<Error>& errors);

// The document's names for the values of the closed enums ("operator", not operator_): for reading and for words.
std::string_view name_of(ExpiryAction value) noexcept;
std::string_view name_of(AttachmentMethod value) noexcept;
std::string_view name_of(Protection value) noexcept;
std::string_view name_of(SessionManagement value) noexcept;
std::string_view name_of(FamilyChoice value) noexcept;
std::string_view name_of(InstitutionKind value) noexcept;
std::string_view name_of(LinkMethod value) noexcept;
std::string_view name_of(TranslationKind value) noexcept;
std::string_view name_of(Protocol value) noexcept;
std::string_view name_of(nat::Filtering value) noexcept;
std::string_view name_of(AgreementState value) noexcept;
std::string_view name_of(TunnelKeys value) noexcept;
std::string_view name_of(crypto::DfMode value) noexcept;
std::string_view name_of(crypto::EcnMode value) noexcept;
std::string_view name_of(GateTarget value) noexcept;
std::string_view name_of(GateReason value) noexcept;

}  // namespace sekisho::control
