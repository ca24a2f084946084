#include "agent/ledger_memory.hpp"

#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "agent/key.hpp"
#include "control/json.hpp"

namespace sekisho::agent {

using nlohmann::json;

namespace {

constexpr std::size_t kClaimsTogether = 100;  // etcd takes 128 operations
constexpr int kTries = 4;                     // when somebody else changes the same

Error store_error(const EtcdError& error) {
    return {error.fault == EtcdFault::refused ? ErrorCode::permission : ErrorCode::unavailable, error.words};
}

// Sooner than the daemon gives up, so that the next question goes to another member.
EtcdOptions quickly(EtcdOptions options) {
    options.answer_within = std::chrono::milliseconds(1500);
    return options;
}

}  // namespace

LedgerMemory::LedgerMemory(const EtcdOptions& etcd, const std::string& cluster, const std::string& node)
    : etcd_(quickly(etcd)), key_(ledger_key(cluster, node)), claims_(claims_prefix(cluster)) {}

Expected<LedgerMemory::Known> LedgerMemory::read() {
    const auto page = etcd_.range(key_, "", 0, 1);
    if (const auto* error = std::get_if<EtcdError>(&page)) return store_error(*error);
    const auto& items = std::get<Page>(page).items;
    if (items.empty()) return Known();
    const auto value = control::parse_json(items[0].value);
    const json ledger = value && value->is_object() ? value->value("ledger", json()) : json();
    const json epoch = value && value->is_object() ? value->value("epoch", json()) : json();
    const json mark = value && value->is_object() ? value->value("mark", json(std::string(32, '0'))) : json();
    if (!ledger.is_string() || !epoch.is_number_unsigned() || !mark.is_string())
        return Error{ErrorCode::invalid, key_ + ": is not {\"ledger\": ID, \"epoch\": NUMBER, \"mark\": DIGITS}"};
    return Known{
        ledger.get<std::string>(), {epoch.get<std::uint64_t>(), mark.get<std::string>()}, items[0].mod_revision};
}

Expected<std::optional<LedgerMemory::Epoch>> LedgerMemory::epoch_of(const std::string& ledger) {
    auto known = read();
    if (!known) return known.error();
    known_ = *known;
    if (known_->ledger != ledger) return std::optional<Epoch>();
    return std::optional(known_->epoch);
}

Expected<void> LedgerMemory::record(const std::string& ledger, const Epoch& epoch) {
    if (epoch.mark.empty()) return Error{ErrorCode::invalid, "an epoch without a mark"};
    for (int tries = 0; tries < kTries; ++tries) {
        if (!known_) {
            auto known = read();
            if (!known) return known.error();
            known_ = *known;
        }
        // 1. Epochs only rise, no two have one number, and only a new ledger takes another's place.
        const bool same = known_->ledger == ledger;
        if (same && known_->epoch == epoch) return {};
        if (same ? known_->epoch.number >= epoch.number : epoch.number != 1) {
            std::string words = "the store has another ledger for this node: " + known_->ledger;
            if (same && known_->epoch.number > epoch.number)
                words = fmt::format("the store has epoch {} of it, which is later", known_->epoch.number);
            else if (same)
                words = fmt::format("the store has epoch {} of a clone of it: one of the two must go", epoch.number);
            known_.reset();
            return Error{ErrorCode::invalid, words};
        }
        // 2. If nobody was quicker.
        const Known before = *known_;
        known_.reset();
        const auto done = etcd_.transact_if(
            {{key_, before.revision}},
            {{key_, json{{"ledger", ledger}, {"epoch", epoch.number}, {"mark", epoch.mark}}.dump(), 0}});
        if (const auto* error = std::get_if<EtcdError>(&done)) return store_error(*error);
        const auto& transacted = std::get<Transacted>(done);
        if (!transacted.done) continue;
        known_ = Known{ledger, epoch, transacted.revision};
        return {};
    }
    return Error{ErrorCode::unavailable, key_ + ": somebody else changes it all the time"};
}

Expected<void> LedgerMemory::claim(const std::string& ledger, const std::vector<std::string>& keys) {
    std::vector<std::string> made;
    for (std::size_t at = 0; at < keys.size(); at += kClaimsTogether) {
        const auto begin = keys.begin() + static_cast<std::ptrdiff_t>(at);
        const auto end = keys.begin() + static_cast<std::ptrdiff_t>(std::min(keys.size(), at + kClaimsTogether));
        auto done = claim_some(ledger, {begin, end}, made);
        if (done) continue;
        // None is claimed, then: what was made here is taken back. One that stays claims for us what nobody uses.
        for (std::size_t back = 0; back < made.size(); back += kClaimsTogether) {
            std::vector<Operation> operations;
            for (std::size_t i = back; i < std::min(made.size(), back + kClaimsTogether); ++i)
                operations.push_back({claims_ + made[i], std::nullopt, 0});
            (void)etcd_.transact(operations);
        }
        return done.error();
    }
    return {};
}

Expected<void> LedgerMemory::claim_some(const std::string& ledger, const std::vector<std::string>& keys,
                                        std::vector<std::string>& made) {
    std::vector<std::string> left = keys;
    for (int tries = 0; tries < kTries && !left.empty(); ++tries) {
        std::vector<Condition> absent;
        std::vector<Operation> puts;
        for (const std::string& key : left) {
            absent.push_back({claims_ + key, 0});
            puts.push_back({claims_ + key, ledger, 0});
        }
        const auto done = etcd_.transact_if(absent, puts);
        if (const auto* error = std::get_if<EtcdError>(&done)) return store_error(*error);
        const auto& transacted = std::get<Transacted>(done);
        if (transacted.done) {
            made.insert(made.end(), left.begin(), left.end());
            return {};
        }
        for (const KeyValue& there : transacted.there) {
            const std::string key = there.key.substr(claims_.size());
            if (there.value != ledger)
                return Error{ErrorCode::exists, fmt::format("key {} is that of another node's ledger, {}", key,
                                                            there.value.substr(0, 64))};
            std::erase(left, key);
        }
    }
    if (left.empty()) return {};
    return Error{ErrorCode::unavailable, "somebody else claims the same keys all the time"};
}

}  // namespace sekisho::agent
