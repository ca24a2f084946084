#include "agent/wrapped_sa.hpp"

#include <algorithm>
#include <array>
#include <openssl/evp.h>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "control/calendar.hpp"
#include "control/json.hpp"
#include "control/key_text.hpp"
#include "control/place.hpp"

namespace sekisho::agent {

using control::in_quotes;
using nlohmann::json;

namespace {

constexpr std::string_view kInfo = "sekisho: keys of SAs, 1";
constexpr std::size_t kShortKey = 20, kLongKey = 36;  // AES-128 or AES-256 and salt, bytes
constexpr std::size_t kLongestObject = 8192;          // of an object: it has some 500
constexpr std::array<const char*, 2> kSides = {"inbound", "outbound"};
// Of an order, beside tunnel and halves: passed on as they are.
constexpr std::array<const char*, 4> kPassed = {"created", "suite", "origin", "lifetimes"};

Error wrong(const std::string& field, const std::string& words) {
    return {ErrorCode::invalid, fmt::format(".{}: {}", field, words)};
}

Expected<std::string> member_text(const json& object, const char* field) {
    const auto found = object.find(field);
    if (found == object.end()) return wrong(field, "is missing");
    if (!found->is_string()) return wrong(field, "text is expected");
    return found->get<std::string>();
}

std::string base64(std::string_view bytes) {
    std::string text(4 * ((bytes.size() + 2) / 3) + 1, '\0');
    const int length =
        ::EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()),
                          reinterpret_cast<const unsigned char*>(bytes.data()), static_cast<int>(bytes.size()));
    text.resize(static_cast<std::size_t>(length));
    return text;
}

std::optional<std::string> from_base64(std::string_view text) {
    if (text.empty() || text.size() % 4 != 0) return std::nullopt;
    std::string bytes(3 * (text.size() / 4), '\0');
    const int length =
        ::EVP_DecodeBlock(reinterpret_cast<unsigned char*>(bytes.data()),
                          reinterpret_cast<const unsigned char*>(text.data()), static_cast<int>(text.size()));
    const auto padding = static_cast<std::size_t>(std::count(text.end() - 2, text.end(), '='));
    if (length < 0) return std::nullopt;
    bytes.resize(bytes.size() - padding);
    return bytes;
}

// Enough of a SHA-256 to tell one content from another.
std::string digest_of(std::string_view text) {
    std::array<unsigned char, 32> digest{};
    ::EVP_Digest(text.data(), text.size(), digest.data(), nullptr, EVP_sha256(), nullptr);
    std::string shown;
    for (std::size_t i = 0; i < 8; ++i) shown += fmt::format("{:02x}", digest[i]);
    return shown;
}

Expected<std::uint32_t> spi_of(const json& half, const char* side) {
    if (!half.is_object()) return wrong(side, "an object is expected: {\"spi\": NUMBER}");
    for (const auto& [name, value] : half.items())
        if (name != "spi") return wrong(side, in_quotes(name) + " is not a field here");
    const auto spi = half.find("spi");
    if (spi == half.end()) return wrong(fmt::format("{}.spi", side), "is missing");
    if (!spi->is_number_unsigned() || spi->get<std::uint64_t>() > 0xffff'ffff || spi->get<std::uint64_t>() < 256)
        return wrong(fmt::format("{}.spi", side), "256 to 4294967295 is expected");
    return spi->get<std::uint32_t>();
}

// What `wrapped` is bound to: all the other members, in the order of their names.
std::string bound_of(json object) {
    object.erase("wrapped");
    return object.dump();
}

void append_hexadecimal(std::span<const std::uint8_t> bytes, control::WipedText& into) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    for (const std::uint8_t byte : bytes) {
        into += kDigits[byte >> 4];
        into += kDigits[byte & 15];
    }
}

}  // namespace

Expected<WrappedSa> read_wrapped(const std::string& node, const std::string& name, std::int64_t revision,
                                 std::string value) {
    if (value.size() > kLongestObject)
        return Error{ErrorCode::limit, fmt::format("has {} bytes; at most {} are taken", value.size(), kLongestObject)};
    const std::size_t slash = name.find('/');
    if (slash == std::string::npos || slash == 0 || slash + 1 == name.size())
        return Error{ErrorCode::invalid, "keys are under keys/NODE/TUNNEL/NAME"};
    const auto object = control::parse_json(value);
    if (!object) return object.error();
    if (!object->is_object()) return Error{ErrorCode::invalid, "a JSON object is expected"};
    WrappedSa sa;
    sa.name = name;
    sa.revision = revision;
    sa.tunnel = name.substr(0, slash);
    for (const auto& [member, unused] : object->items())
        if (member != "node" && member != "tunnel" && member != "from" && member != "inbound" && member != "outbound" &&
            member != "wrapped" && std::find(kPassed.begin(), kPassed.end(), member) == kPassed.end())
            return wrong(member.substr(0, 80), "is not a field of SAs");
    for (const auto& [field, expected] : {std::pair("node", node), std::pair("tunnel", sa.tunnel)}) {
        const auto told = member_text(*object, field);
        if (!told) return told.error();
        if (*told != expected)
            return wrong(field, fmt::format("{} is not what the key says, {}", in_quotes(*told), in_quotes(expected)));
    }
    const auto created = member_text(*object, "created");
    if (!created) return created.error();
    if (const auto time = control::parse_time(*created); !time) return wrong("created", time.error().words);
    if (object->contains("from")) {
        const auto from = member_text(*object, "from");
        if (!from) return from.error();
        const auto time = control::parse_time(*from);
        if (!time) return wrong("from", time.error().words);
        sa.from = *time;
    }
    for (const char* side : kSides) {
        const auto half = object->find(side);
        if (half == object->end()) continue;
        const auto spi = spi_of(*half, side);
        if (!spi) return spi.error();
        (side == kSides[0] ? sa.inbound : sa.outbound) = *spi;
    }
    if (!sa.inbound && !sa.outbound) return wrong("inbound", "and .outbound: one or both are expected");
    const auto wrapped = member_text(*object, "wrapped");
    if (!wrapped) return wrapped.error();
    const auto bytes = from_base64(*wrapped);
    const std::size_t halves = sa.inbound && sa.outbound ? 2 : 1;
    if (!bytes ||
        (bytes->size() != kHpkeOverhead + halves * kShortKey && bytes->size() != kHpkeOverhead + halves * kLongKey))
        return wrong("wrapped", fmt::format("is not {} wrapped, in base64", halves == 2 ? "two keys" : "a key"));
    sa.value = std::move(value);
    sa.label = fmt::format("keys/{}#{}", name, digest_of(sa.value));
    return sa;
}

Expected<void> unwrap(const WrappedSa& sa, const UnwrapKeys& keys, Halves halves, control::WipedText& into) {
    const json object = json::parse(sa.value);
    const std::string sealed = from_base64(object["wrapped"].get_ref<const std::string&>()).value();
    const std::string bound = bound_of(object);
    Secret plain;
    for (const HpkeKey& from : keys.from) {
        auto opened = hpke_open(from, keys.own, kInfo, bound, sealed);
        if (!opened) continue;
        plain = std::move(*opened);
        break;
    }
    if (plain.size() == 0)
        return Error{ErrorCode::permission,
                     ".wrapped: is not for this node's key, not by one of --keys-from, or something here was changed"};
    const std::size_t length = sa.inbound && sa.outbound ? plain.size() / 2 : plain.size();
    json order = {{"tunnel", sa.tunnel}, {"label", sa.label}};
    for (const char* member : kPassed)
        if (object.contains(member)) order[member] = object[member];
    const std::string head = order.dump();
    into += std::string_view(head).substr(0, head.size() - 1);
    std::size_t at = 0;
    for (const bool outbound : {false, true}) {
        const auto& spi = outbound ? sa.outbound : sa.inbound;
        if (!spi) continue;
        if (outbound ? halves.outbound : halves.inbound) {
            into += std::string_view(fmt::format(R"(,"{}":{{"spi":{},"key":")", kSides[outbound ? 1 : 0], *spi));
            append_hexadecimal(plain.reveal().subspan(at, length), into);
            into += "\"}";
        }
        at += length;
    }
    into += '}';
    return {};
}

Expected<StoreObject> wrap(const std::string& node, const std::string& order_text, const std::vector<Secret>& keys,
                           const HpkeKey& own, const HpkeKey& to) {
    json object = json::parse(order_text);
    if (!object.is_object()) return Error{ErrorCode::invalid, "an object is expected"};
    std::vector<const Secret*> own_keys;
    std::uint64_t spi = 0;
    for (const char* side : kSides) {
        const auto half = object.find(side);
        if (half == object.end() || !half->is_object()) continue;  // read_wrapped() says what is wrong with it
        const json mark = half->value("key", json());
        const Secret* const key =
            mark.is_string() ? control::key_of(mark.get_ref<const std::string&>(), keys) : nullptr;
        if (key == nullptr || (key->size() != kShortKey && key->size() != kLongKey) ||
            (!own_keys.empty() && own_keys[0]->size() != key->size()))
            return wrong(fmt::format("{}.key", side),
                         fmt::format("{} or {} bytes as hexadecimal digits are expected, as many for both", kShortKey,
                                     kLongKey));
        own_keys.push_back(key);
        half->erase("key");
        if (const json told = half->value("spi", json()); spi == 0 && told.is_number_unsigned())
            spi = told.get<std::uint64_t>();
    }
    const auto tunnel = member_text(object, "tunnel");
    if (!tunnel) return tunnel.error();
    object["node"] = node;
    std::vector<std::uint8_t> plain;
    plain.reserve(2 * kLongKey);
    for (const Secret* key : own_keys) plain.insert(plain.end(), key->reveal().begin(), key->reveal().end());
    auto sealed = hpke_seal(own, to, kInfo, bound_of(object), plain);
    wipe(plain);
    if (!sealed) return sealed.error();
    object["wrapped"] = base64(*sealed);
    StoreObject made{fmt::format("{}/{}", *tunnel, spi), object.dump()};
    // What no node would take is not made.
    if (const auto read = read_wrapped(node, made.name, 0, made.value); !read) return read.error();
    return made;
}

}  // namespace sekisho::agent
