// What the tests of SAs over the control socket share: a hub with a tunnel, keys, and requests in a few words.
#pragma once

#include <chrono>

#include <fmt/format.h>

#include "control/calendar.hpp"
#include "crypto/digest.hpp"
#include "crypto/ledger.hpp"
#include "tests/control/hub_support.hpp"
#include "tests/control/policy_draft.hpp"

namespace sekisho::control::test {

inline crypto::WallTime seconds_from_now(int seconds) {
    return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now()) + std::chrono::seconds(seconds);
}

// Makes a ledger as of a while ago in a hub's state directory, as `sekishoctl ledger new` would have.
inline void make_ledger(const std::string& state_directory, int age = 1000) {
    std::filesystem::create_directories(state_directory);
    crypto::LedgerOptions options;
    options.path = state_directory + "/nonce-ledger";
    options.local_ledger = true;
    REQUIRE(crypto::Ledger::make(options, seconds_from_now(-age)));
}

// Key and salt for aes_gcm_256, another one for each number.
inline std::string key_text(std::uint32_t number, std::size_t bytes = 36) {
    std::string text;
    std::uint64_t state = number * std::uint64_t{0x9e37'79b9'7f4a'7c15} + 1;
    for (std::size_t i = 0; i < bytes; ++i) {
        state = state * 6364136223846793005ULL + 1442695040888963407ULL;
        text += fmt::format("{:02x}", state >> 56);
    }
    return text;
}

// docs/examples/protected.json with `tunnels` tunnels, kita-esp, kita-esp-1, ...
inline Draft protected_draft(int tunnels = 1) {
    Draft draft("protected.json");
    for (int i = 1; i < tunnels; ++i) {
        nlohmann::json tunnel = draft.at("/tunnels/0");
        tunnel["id"] = fmt::format("kita-esp-{}", i);
        nlohmann::json attachment = draft.at("/attachments/1");
        attachment["id"] = fmt::format("kita-1-{}", i);
        attachment["tunnel"] = tunnel["id"];
        attachment["ipv4"] = fmt::format("198.51.{}.{}/32", 101 + i / 250, i % 250);
        attachment["ipv6"] = fmt::format("2001:db8:0:1ff::{:x}/128", i + 1);
        draft.set("/tunnels/-", tunnel).set("/attachments/-", attachment);
    }
    return draft;
}

inline std::unique_ptr<Compiler> real_compiler() {
    static const std::vector<std::string> kPorts = {"kita0", "minami0", "chuo0"};
    return std::make_unique<Compiler>(NodePorts{[](std::string_view name) -> std::optional<PortId> {
                                                    for (std::size_t i = 0; i < kPorts.size(); ++i)
                                                        if (kPorts[i] == name)
                                                            return PortId(static_cast<std::uint16_t>(i));
                                                    return std::nullopt;
                                                },
                                                kPorts.size()});
}

class SaHub {
  public:
    explicit SaHub(const Draft& draft = protected_draft(), ManualKeys manual_keys = ManualKeys::local_ledger,
                   bool with_ledger = true)
        : prepared(with_ledger ? with_a_ledger() : directory / "state"),
          hub(prepared, draft.document(), false, {}, real_compiler(), {}, {}, manual_keys),
          asker(hub) {
        REQUIRE(hub.started);
        // The ledger opens beside.
        comes_true([&] { return asker.result("show.ledger")["stands"] == with_ledger && settled(); });
    }

    nlohmann::json pair(std::uint32_t spi, const std::string& tunnel = "kita-esp") const {
        return {{"tunnel", tunnel},
                {"created", time_text(seconds_from_now(-10))},
                {"inbound", {{"spi", spi}, {"key", key_text(2 * spi)}}},
                {"outbound", {{"spi", spi + 1}, {"key", key_text(2 * spi + 1)}}}};
    }
    nlohmann::json all() { return asker.result("show.sa")["items"]; }
    // "inbound 4096 open, outbound 4097 current".
    std::string states() {
        std::string text;
        for (const auto& sa : all())
            text += fmt::format("{}{} {} {}", text.empty() ? "" : ", ", sa["direction"].get<std::string>(),
                                sa["spi"].get<std::uint64_t>(), sa["state"].get<std::string>());
        return text;
    }
    // Of one or of several.
    std::string refused(const nlohmann::json& sas, const std::string& method = "sa.install") {
        return asker.error(method, {{"sas", sas.is_array() ? sas : nlohmann::json::array({sas})}})["message"];
    }
    // Commits the draft in place of what runs.
    void commit(const Draft& draft) {
        Asker other(hub);
        const auto transaction = other.result("begin", {{"replace", true}})["transaction"];
        other.result("batch", {{"transaction", transaction}, {"put", draft.json()}});
        other.result("commit", {{"transaction", transaction}});
    }

    TemporaryDirectory directory;
    std::string prepared;
    TestHub hub;
    Asker asker;

  private:
    std::string with_a_ledger() {
        make_ledger(directory / "state");
        return directory / "state";
    }
    bool settled() { return asker.result("show.ledger")["refused"] != "the ledger is being opened"; }
};

}  // namespace sekisho::control::test
