// The order that safety hangs on: write, make durable, have it witnessed, and only then let workers use it.
#include "crypto/ledger.hpp"

#include <algorithm>
#include <vector>

#include "crypto/digest.hpp"

namespace sekisho::crypto {

namespace {

Error about(const Fingerprint& key, ErrorCode code, const std::string& words) {
    return {code, "key " + key.text() + ": " + words};
}

}  // namespace

Expected<void> Ledger::make(const LedgerOptions& options, WallTime now) {
    auto file = LedgerFile::lock(options.path);
    if (!file) return file.error();
    LedgerContents contents;
    if (!fill_random(contents.id.bytes)) return Error{ErrorCode::unavailable, "no random numbers for a new ledger"};
    contents.birth = now;
    auto first = LedgerEpoch().next();
    if (!first) return first.error();
    contents.epoch = *first;
    // The witness first: a ledger that nobody witnesses must not be found in place.
    if (options.witness != nullptr)
        if (auto recorded = options.witness->record(contents.id, contents.epoch); !recorded)
            return recorded.error().at("witness");
    return file->replace(contents);
}

std::unique_ptr<Ledger> Ledger::open(const LedgerOptions& options) {
    std::unique_ptr<Ledger> ledger(new Ledger(options));
    ledger->standing_ = Error{ErrorCode::unavailable, "not opened"};
    ledger->try_again();
    return ledger;
}

void Ledger::try_again() {
    if (standing_) return;
    contents_ = {};
    witnessed_ = true;
    standing_ = start();
    if (!standing_) file_.reset();  // and with it the lock: an engineer may make a new one
}

Expected<void> Ledger::start() {
    auto file = LedgerFile::lock(options_.path);
    if (!file) return file.error();
    auto contents = file->read();
    if (!contents) return contents.error();
    file_ = std::make_unique<LedgerFile>(std::move(*file));
    contents_ = std::move(*contents);
    if (auto fine = check_witness(); !fine) return fine;
    // A crash may have come between the file and the witness; the next epoch waits until that one is witnessed, or a
    // second crash would leave the file two ahead.
    witnessed_ = options_.witness == nullptr;
    if (auto settled = settle(); !settled) return settled;
    // From here on every older copy of the file is behind: in its own place by inode, elsewhere by the witness.
    auto next = contents_.epoch.next();
    if (!next) return next.error();
    LedgerContents fresh = contents_;
    fresh.epoch = *next;
    if (auto replaced = file_->replace(fresh); !replaced) return replaced;
    contents_ = std::move(fresh);
    witnessed_ = options_.witness == nullptr;
    return settle();
}

Expected<void> Ledger::check_witness() {
    if (options_.witness == nullptr) {
        if (options_.local_ledger) return {};
        return Error{ErrorCode::permission,
                     "no witness for the ledger: a machine put back to an earlier day would not be noticed"};
    }
    const auto witnessed = options_.witness->epoch_of(contents_.id);
    if (!witnessed) return witnessed.error().at("witness");
    const auto refused = [this](const std::string& words) {
        return Error{ErrorCode::permission, options_.path + ": " + words};
    };
    if (!*witnessed) return refused("the witness has never heard of ledger " + contents_.id.text());
    const std::uint64_t ours = contents_.epoch.number, theirs = (*witnessed)->number;
    const std::string both =
        "the ledger is at epoch " + std::to_string(ours) + ", the witness at " + std::to_string(theirs);
    if (ours < theirs) return refused("an old copy: " + both);
    // One ahead is a crash between the file and the witness. More cannot come about: settle() comes before a commit.
    if (ours > theirs + 1) return refused("not what the witness saw: " + both);
    if (ours == theirs && contents_.epoch != **witnessed)
        return refused("a clone of it went on: its epoch " + std::to_string(ours) +
                       " is not the one that the witness saw");
    return {};
}

// The witness has what the file has.
Expected<void> Ledger::settle() {
    if (witnessed_) return {};
    if (auto recorded = options_.witness->record(contents_.id, contents_.epoch); !recorded)
        return recorded.error().at("witness");
    witnessed_ = true;
    return {};
}

Expected<void> Ledger::commit(std::span<const Reservation> reservations) {
    // 1. Never two epochs ahead of the witness.
    if (auto settled = settle(); !settled) return settled;
    auto next = contents_.epoch.next();
    if (!next) return next.error();
    // 2. Durable.
    if (file_->is_broken() || file_->length() > kCompactAt + 128 * contents_.ends.size()) {
        LedgerContents fresh = contents_;
        fresh.epoch = *next;
        for (const Reservation& reservation : reservations) fresh.ends[reservation.key] = reservation.end;
        if (auto replaced = file_->replace(fresh); !replaced) return replaced;
        contents_ = std::move(fresh);
    } else {
        if (auto appended = file_->append(contents_.id, *next, reservations); !appended) return appended;
        contents_.epoch = *next;
        for (const Reservation& reservation : reservations) contents_.ends[reservation.key] = reservation.end;
    }
    // 3. Witnessed. Without it nothing is given out, though the file has it: that only skips numbers.
    witnessed_ = options_.witness == nullptr;
    return settle();
}

Expected<void> Ledger::check(const NumberRequest& request, WallTime now) const {
    if (live_.contains(request.key) || ike_.contains(request.key))
        return about(request.key, ErrorCode::exists, "another SA uses it");
    if (remembered_.contains(request.key)) return about(request.key, ErrorCode::exists, "it was used since this start");
    if (request.origin == KeyOrigin::ike) {
        if (contents_.ends.contains(request.key))
            return about(request.key, ErrorCode::exists, "it was a manual key: IKE never makes one twice");
        return {};
    }
    if (!standing_) return about(request.key, ErrorCode::permission, standing_.error().words);
    if (request.created <= contents_.birth)
        return about(request.key, ErrorCode::permission,
                     "it is older than the ledger: nobody knows what was used of it");
    if (request.created > now) return about(request.key, ErrorCode::permission, "it was made in the future");
    const auto known = contents_.ends.find(request.key);
    if (known != contents_.ends.end() && known->second > request.last)
        return about(request.key, ErrorCode::limit, "all its sequence numbers are used or reserved");
    return {};
}

Expected<void> Ledger::admit(std::span<const NumberRequest> requests, WallTime now, Instant instant) {
    // 1. All of them may.
    std::set<Fingerprint> asked;
    std::vector<Fingerprint> manual;
    for (const NumberRequest& request : requests) {
        if (auto fine = check(request, now); !fine) return fine;
        if (!asked.insert(request.key).second)
            return about(request.key, ErrorCode::exists, "two SAs ask for it at once");
        if (request.origin == KeyOrigin::manual) manual.push_back(request.key);
    }
    // 2. No other node has them (two nodes given one key would use the same numbers).
    if (!manual.empty() && options_.witness != nullptr)
        if (auto claimed = options_.witness->claim(contents_.id, manual); !claimed)
            return claimed.error().at("witness");
    // 3. What was reserved before is skipped, used or not.
    std::vector<std::uint64_t> starts;
    std::vector<Reservation> reservations;
    for (const NumberRequest& request : requests) {
        const auto known = contents_.ends.find(request.key);
        const std::uint64_t start = known == contents_.ends.end() ? 1 : known->second;
        starts.push_back(start);
        if (request.origin == KeyOrigin::manual)
            reservations.push_back({request.key, std::min(start + options_.smallest_reserve, request.last + 1)});
    }
    // 4. On record, and only then in the workers' hands.
    if (!reservations.empty())
        if (auto committed = commit(reservations); !committed) return committed;
    for (std::size_t i = 0; i < requests.size(); ++i) {
        const NumberRequest& request = requests[i];
        request.word->begin(starts[i], request.last);
        request.word->extend(request.origin == KeyOrigin::ike ? request.last + 1 : contents_.ends.at(request.key));
        if (request.origin == KeyOrigin::ike)
            ike_.insert(request.key);
        else
            live_.emplace(request.key, Live{request.word, request.last, starts[i], instant});
    }
    return {};
}

void Ledger::release(const Fingerprint& key) {
    live_.erase(key);  // a manual key that comes back starts behind its reserve, as after a restart
    if (ike_.erase(key) == 0) return;
    remembered_.insert(key);  // one of IKE's must not come back
    oldest_.push_back(key);
    if (oldest_.size() <= kRemembered) return;
    remembered_.erase(oldest_.front());
    oldest_.pop_front();
}

std::uint64_t Ledger::wanted_reserve(const Live& live, Instant instant) const {
    const std::chrono::duration<double> since = instant - live.seen_at;
    const auto used = static_cast<double>(live.word->next() - live.seen_next);
    const std::chrono::duration<double> horizon = options_.horizon;
    const double wanted = since.count() > 0 ? used / since.count() * horizon.count() : 0;
    if (wanted >= static_cast<double>(options_.largest_reserve)) return options_.largest_reserve;
    return std::max(options_.smallest_reserve, static_cast<std::uint64_t>(wanted));
}

Expected<void> Ledger::renew(Instant instant) {
    std::vector<Reservation> reservations;
    for (auto& [key, live] : live_) {
        const std::uint64_t next = live.word->next();
        const std::uint64_t wanted = wanted_reserve(live, instant);
        const std::uint64_t on_record = contents_.ends.at(key);
        if (on_record - std::min(on_record, next) < wanted / 2 && on_record <= live.last)
            reservations.push_back({key, std::max(on_record, std::min(next + wanted, live.last + 1))});
        if (instant - live.seen_at > options_.horizon) {
            live.seen_at = instant;
            live.seen_next = next;
        }
    }
    if (!reservations.empty())
        if (auto committed = commit(reservations); !committed) return committed;
    if (auto settled = settle(); !settled) return settled;
    // On record and witnessed, now or by a commit whose witness answered late.
    for (auto& [key, live] : live_) live.word->extend(contents_.ends.at(key));
    return {};
}

}  // namespace sekisho::crypto
