// The policy document: its objects by kind and id, as they were written and as they were understood.
//
// Every object that is in a Document has passed the published schema (docs/policy.schema.json) and was read into the
// values of control/policy.hpp; whether the objects agree with each other is control/validate's business. Copies are
// cheap (a few pointers for each thousand objects) and share what does not change, so that a transaction stages on a
// copy of the running document. A Document belongs to one thread; a copy may go to another.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "control/object_map.hpp"
#include "control/policy.hpp"
#include "net/expected.hpp"

namespace sekisho::control {

// The kinds, in the document's order; the names are the document's keys. `hub` is one object, the others are arrays.
enum class Kind : std::uint8_t {
    hub,
    operators,
    allocations,
    attachments,
    tunnels,
    institutions,
    translations,
    agreements,
    routes,
    gates
};
inline constexpr std::array<std::string_view, 10> kKindNames = {
    "hub",          "operators",    "allocations", "attachments", "tunnels",
    "institutions", "translations", "agreements",  "routes",      "gates"};
inline constexpr std::array<Kind, 10> kKinds = {
    Kind::hub,          Kind::operators,    Kind::allocations, Kind::attachments, Kind::tunnels,
    Kind::institutions, Kind::translations, Kind::agreements,  Kind::routes,      Kind::gates};

constexpr std::string_view name_of(Kind kind) noexcept {
    return kKindNames[static_cast<std::size_t>(kind)];
}
std::optional<Kind> kind_named(std::string_view name) noexcept;

class Document {
  public:
    static constexpr std::size_t kMaxText = std::size_t{512} << 20;      // bytes of a whole document
    static constexpr std::size_t kMaxObjectText = std::size_t{1} << 20;  // bytes of one object, canonical
    static constexpr std::size_t kMaxObjects = 1'048'576;                // of one kind
    static constexpr std::size_t kMaxErrors = 100;  // reported of one text; then how many more there were

    // A whole document: {"hub": {...}, "operators": [...], ...}. Every error is reported, with its place
    // ("institutions[3]
    // \"sato-clinic\" .prefixes[1]: ..."; line and column for what is not JSON); nullopt when there was any.
    static std::optional<Document> parse(std::string_view text, std::vector<Error>& errors);
    // The same, with the first error only.
    static Expected<Document> parse(std::string_view text);

    // Adds the object, or replaces the one of the same id; gives the bytes of its canonical text. On an error nothing
    // is changed. `kind` is one of kKindNames.
    Expected<std::size_t> put(std::string_view kind, const nlohmann::json& object);
    // Removes it: not_found when there is none. The hub's id is "".
    Expected<void> erase(std::string_view kind, std::string_view id);

    std::size_t size(Kind kind) const noexcept;
    std::size_t size() const noexcept;  // all kinds together
    // nullptr when there is none. The pointer lives as long as this document is not changed, or the object is kept.
    ObjectPtr find(Kind kind, std::string_view id) const;
    // All objects of the kind, by ascending id.
    void for_each(Kind kind, const std::function<void(const ObjectPtr&)>& call) const;

    // The canonical form: kinds in order, objects by id, defaults as they were written or left out. A kind without
    // objects is left out. parse() of the text gives an equal document.
    nlohmann::ordered_json to_json() const;
    std::string text() const;                                             // one object a line, ends with a newline
    void write(const std::function<void(std::string_view)>& take) const;  // the same text, in pieces of some 256 KiB

    friend bool operator==(const Document& a, const Document& b);

    const ObjectMap<Object>& objects(Kind kind) const noexcept { return kinds_[static_cast<std::size_t>(kind)]; }

  private:
    Expected<void> add(Kind kind, const nlohmann::json& object, bool replace, const std::string& place);

    std::array<ObjectMap<Object>, kKinds.size()> kinds_;
};

// The document as the compiler takes it: the same objects, shared. Nothing is parsed again, and nothing copied.
Policy policy_of(const Document& document);

}  // namespace sekisho::control
