#include "control/state_store.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <fcntl.h>
#include <limits>
#include <sys/file.h>
#include <sys/stat.h>
#include <utility>

#include <fmt/format.h>

#include "control/document_hash.hpp"
#include "control/log.hpp"
#include "control/schedule.hpp"
#include "control/state_file.hpp"
#include "control/state_journal.hpp"
#include "control/state_parts.hpp"

namespace sekisho::control {

namespace {

using nlohmann::json;

// What a journal takes; beyond, the document is written whole.
constexpr std::size_t kMostChanges = 10'000;  // objects of one entry
constexpr std::size_t kMostEntries = 5'000;
constexpr std::uint64_t kJournalBytes = std::uint64_t{256} << 10;  // beside a quarter of the document's
constexpr std::uint64_t kHalf = 2;  // of that, and the document is written whole beside the commits

constexpr std::array<std::uint32_t, 256> crc32_table() {
    std::array<std::uint32_t, 256> table{};
    for (std::uint32_t i = 0; i < 256; ++i) {
        std::uint32_t value = i;
        for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1) != 0 ? 0xedb8'8320U : 0U);
        table[i] = value;
    }
    return table;
}

Expected<std::optional<StateStore::SavedText>> load_text(const std::string& path, const char* remedy) {
    auto parts = load_parts(path, remedy);
    if (!parts) return parts.error();
    if (!*parts) return std::optional<StateStore::SavedText>();
    if ((*parts)->line["format"] != kTextFormat)
        return damaged_file(
            path, fmt::format("its format is {}, this version reads {}", (*parts)->line["format"].dump(), kTextFormat),
            remedy);
    if (auto good = check_crc(**parts, path, remedy); !good) return good.error();
    return std::optional<StateStore::SavedText>(
        {(*parts)->line["generation"], (*parts)->line["committed"], std::move((*parts)->rest)});
}

Expected<void> save_text(const std::string& path, const StateStore::SavedText& saved) {
    const json line = {{"format", kTextFormat},
                       {"generation", saved.number},
                       {"committed", saved.time},
                       {"bytes", saved.text.size()},
                       {"crc32", crc32_of(saved.text)}};
    return write_file(path, line, [&saved](const TakeText& take) { take(saved.text); });
}

Expected<void> make_private(const std::string& directory) {
    if (::mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) return state_error(directory, "making");
    struct stat found {};
    if (::stat(directory.c_str(), &found) != 0) return state_error(directory, "looking at");
    if ((found.st_mode & 0777) != 0700 && ::chmod(directory.c_str(), 0700) != 0)
        return state_error(directory, "setting the mode of");
    return {};
}

}  // namespace

std::uint32_t crc32_of(const std::string& bytes) noexcept {
    static constexpr auto kTable = crc32_table();
    std::uint32_t crc = 0xffff'ffffU;
    for (const char c : bytes) crc = (crc >> 8) ^ kTable[(crc ^ static_cast<unsigned char>(c)) & 0xff];
    return ~crc;
}

Expected<std::unique_ptr<StateStore>> StateStore::open(const std::string& directory, std::size_t keep,
                                                       std::uint64_t journal_from) {
    for (const std::string& each : {directory, directory + "/kept", directory + "/scheduled"})
        if (auto made = make_private(each); !made) return made.error();
    const std::string path = directory + "/lock";
    FileDescriptor lock(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (!lock) return state_error(path, "opening");
    if (::flock(lock.number(), LOCK_EX | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK)
            return Error{ErrorCode::exists, "state directory " + directory + ": another daemon is using it"};
        return state_error(path, "locking");
    }
    std::unique_ptr<StateStore> store(new StateStore(directory, keep, journal_from, std::move(lock)));
    if (auto removed = remove_file(directory + "/generation.next"); !removed) return removed.error();
    // A damaged one is told by load(), which says what to do.
    if (auto looked = store->look_at_journal(); !looked) log(LogLevel::error, looked.error().words);
    return store;
}

std::string StateStore::kept_file(std::uint64_t number, bool confirmed) const {
    return fmt::format("{}/kept/{}{}", directory_, number, confirmed ? "" : kUnconfirmed);
}

Expected<std::optional<StateStore::Saved>> StateStore::load() const {
    return with_journal(load_generation(file()), journal_file(), std::nullopt);
}

Expected<std::optional<StateStore::Saved>> StateStore::load_unconfirmed() const {
    return load_generation(unconfirmed_file());
}

Expected<StateStore::Saved> StateStore::load(std::uint64_t number) const {
    for (const bool confirmed : {true, false}) {
        auto saved = load_generation(kept_file(number, confirmed));
        if (!saved) return saved.error();
        if (*saved) return std::move(**saved);
    }
    // One of a journal, of the last good one's or of that of the newest kept one before it.
    std::optional<std::uint64_t> before;
    for (const std::uint64_t kept : numbered(directory_ + "/kept", ""))
        if (kept < number) before = kept;
    if (before) {
        auto saved = with_journal(load_generation(kept_file(*before, true)), kept_journal(*before), number);
        if (!saved) return saved.error();
        if (*saved && (*saved)->record.number == number) return std::move(**saved);
    }
    if (auto last = with_journal(load_generation(file()), journal_file(), number);
        last && *last && (*last)->record.number == number)
        return std::move(**last);
    std::string numbers;
    for (const GenerationRecord& record : kept())
        numbers += fmt::format("{}{}", numbers.empty() ? "" : ", ", record.number);
    return Error{ErrorCode::not_found, fmt::format("generation {} is not kept; {}", number,
                                                   numbers.empty() ? "none is" : "there are " + numbers)};
}

Expected<Document> StateStore::document_of(const Saved& saved) {
    auto document = Document::parse(saved.document);
    if (!document) return document;
    for (const std::string& lines : saved.changes) {
        Scheduled change;
        auto changes = changes_in(lines);
        if (!changes) return changes.error().at("its journal");
        change.changes = std::move(*changes);
        auto next = change.applied_to(*document);
        if (!next) return next.error().at("its journal");
        document = std::move(next);
    }
    if (hash_of(*document).text != saved.record.hash)
        return Error{ErrorCode::invalid, "the document is not the one that was committed"};
    return document;
}

std::vector<GenerationRecord> StateStore::records_of_kept(std::uint64_t number) const {
    const auto known = kept_journals_.find(number);
    if (known != kept_journals_.end()) return known->second;
    std::vector<GenerationRecord> records;
    if (auto journal = read_journal(kept_journal(number), kRestore); journal && *journal)
        for (const JournalEntry& entry : (*journal)->entries) records.push_back(entry.record);
    return kept_journals_[number] = std::move(records);
}

std::vector<GenerationRecord> StateStore::kept() const {
    std::vector<GenerationRecord> records, rolled_back;
    for (const bool confirmed : {true, false})
        for (const std::uint64_t number : numbered(directory_ + "/kept", confirmed ? "" : kUnconfirmed)) {
            auto record = first_record(kept_file(number, confirmed));
            if (!record) continue;
            record->confirmed = confirmed;
            (confirmed ? records : rolled_back).push_back(std::move(*record));
            if (!confirmed) continue;
            const auto followed = records_of_kept(number);
            records.insert(records.end(), followed.begin(), followed.end());
        }
    // Of the last good one and its journal, all but the last. A crash leaves some of them second names, and what was
    // written whole beside its journal stands in both.
    std::uint64_t good = std::numeric_limits<std::uint64_t>::max();
    if (auto record = first_record(file())) {
        good = record->number;
        records.push_back(std::move(*record));
    }
    if (journal_ && !journal_->records.empty()) {
        good = journal_->records.back().number;
        records.insert(records.end(), journal_->records.begin(), journal_->records.end());
    }
    std::erase_if(records, [&](const auto& each) { return each.number >= good; });
    const auto by_number = [](const auto& a, const auto& b) { return a.number < b.number; };
    std::sort(records.begin(), records.end(), by_number);
    const auto same_number = [](const auto& a, const auto& b) { return a.number == b.number; };
    records.erase(std::unique(records.begin(), records.end(), same_number), records.end());
    if (records.size() > keep_) records.erase(records.begin(), records.end() - static_cast<std::ptrdiff_t>(keep_));
    records.insert(records.end(), rolled_back.begin(), rolled_back.end());
    std::sort(records.begin(), records.end(), by_number);
    return records;
}

Expected<void> StateStore::look_at_journal() {
    journal_.reset();
    auto journal = read_journal(journal_file(), kRestore);
    if (!journal) return journal.error();
    const auto record = first_record(file());
    if (!*journal || !record || !(*journal)->goes_on_from(record->number)) return {};  // of one that was replaced
    journal_ = Known{record->number, (*journal)->bytes, {}};
    for (JournalEntry& entry : (*journal)->entries)
        if (entry.record.number > record->number) journal_->records.push_back(std::move(entry.record));
    if ((*journal)->follows != record->number) return shorten_journal();  // a crash came before that
    return {};
}

// Second names for the same bytes: nothing is copied, and a crash leaves at most a name too many.
Expected<void> StateStore::keep_last() {
    const auto line = read_first_line(file());
    if (!line) return line.error().code == ErrorCode::not_found ? Expected<void>() : line.error();
    const json object = json::parse(*line, nullptr, false);
    if (!has(object, "generation", json::value_t::number_unsigned)) return {};  // damaged, and about to be replaced
    const std::uint64_t number = object["generation"];
    const auto link = [](const std::string& from, const std::string& to) -> Expected<void> {
        if (::link(from.c_str(), to.c_str()) != 0 && errno != EEXIST) return state_error(to, "linking");
        return {};
    };
    kept_journals_.erase(number);
    // The journal first: what it follows must not seem to be all.
    if (journal_)
        if (auto linked = link(journal_file(), kept_journal(number)); !linked) return linked;
    if (auto linked = link(file(), kept_file(number, true)); !linked) return linked;
    return sync_directory_of(kept_file(number, true));
}

// Another document is the last good one: the journal belongs to the one before.
void StateStore::end_journal(std::optional<Document> good) {
    good_ = std::move(good);
    good_record_.reset();
    journal_.reset();
    if (auto removed = remove_file(journal_file()); !removed) log(LogLevel::warning, removed.error().words);
}

Expected<void> StateStore::retire_unconfirmed() {
    const auto line = read_first_line(unconfirmed_file());
    if (!line) return line.error().code == ErrorCode::not_found ? Expected<void>() : line.error();
    const json object = json::parse(*line, nullptr, false);
    if (!has(object, "generation", json::value_t::number_unsigned)) return remove_file(unconfirmed_file());
    return move_file(unconfirmed_file(), kept_file(object["generation"], false));
}

void StateStore::forget_old() {
    const auto remove = [](const std::string& path) {
        if (auto removed = remove_file(path); !removed) log(LogLevel::warning, removed.error().words);
    };
    const auto rolled_back = numbered(directory_ + "/kept", kUnconfirmed);
    for (std::size_t i = 0; i + keep_ < rolled_back.size(); ++i) remove(kept_file(rolled_back[i], false));
    // Of the good ones a file with a journal holds many: it goes when newer ones are enough.
    const auto good = numbered(directory_ + "/kept", "");
    std::size_t newer = 0;
    for (auto number = good.rbegin(); number != good.rend(); ++number) {
        if (newer < keep_) {
            newer += 1 + records_of_kept(*number).size();
            continue;
        }
        remove(kept_file(*number, true));
        remove(kept_journal(*number));
        kept_journals_.erase(*number);
    }
}

Expected<bool> StateStore::save_change(const GenerationRecord& record, const Document& document) {
    if (!good_ || record.bytes < journal_from_) return false;
    const auto changes = changes_between(*good_, document);
    if (changes.size() > kMostChanges) return false;
    JournalEntry entry{record, lines_of(changes)};
    const std::uint64_t had = journal_ ? journal_->bytes : 0;
    if (had + entry.changes.size() > record.bytes / 4 + kJournalBytes ||
        (journal_ && journal_->records.size() >= kMostEntries))
        return false;
    if (!journal_) {
        const auto first = first_record(file());
        if (!first) return false;
        const auto bytes = begin_journal(journal_file(), first->number, {entry});
        if (!bytes) return bytes.error();
        journal_ = Known{first->number, *bytes, {record}};
    } else {
        const auto bytes = append_journal(journal_file(), journal_->bytes, entry);
        if (!bytes) return bytes.error();
        journal_->bytes = *bytes;
        journal_->records.push_back(record);
    }
    good_ = document;
    good_record_ = record;
    return true;
}

std::optional<StateStore::Compaction> StateStore::begin_compaction() {
    if (compacting_ || !journal_ || !good_ || !good_record_) return std::nullopt;
    const std::uint64_t most = good_record_->bytes / 4 + kJournalBytes;
    if (journal_->bytes * kHalf < most && journal_->records.size() * kHalf < kMostEntries) return std::nullopt;
    compacting_ = true;
    return Compaction{journal_->follows, *good_record_, *good_, directory_ + "/generation.next"};
}

Expected<void> StateStore::write(const Compaction& compaction) {
    return save_generation(compaction.path, compaction.record, compaction.document);
}

// A crash between any two steps leaves what means the same: the journal says what it says behind either document.
Expected<void> StateStore::finish(const Compaction& compaction, const Expected<void>& written) {
    compacting_ = false;
    const std::uint64_t number = compaction.record.number;
    const bool is_current = journal_ && journal_->follows == compaction.follows &&
                            std::any_of(journal_->records.begin(), journal_->records.end(),
                                        [&](const auto& each) { return each.number == number; });
    if (!written || !is_current) {
        auto removed = remove_file(compaction.path);
        return written ? removed : written;
    }
    if (auto kept = keep_last(); !kept) return kept;
    if (auto moved = move_file(compaction.path, file()); !moved) return moved;
    journal_->follows = number;
    std::erase_if(journal_->records, [&](const auto& each) { return each.number <= number; });
    forget_old();
    return shorten_journal();
}

Expected<void> StateStore::shorten_journal() {
    auto journal = read_journal(journal_file(), kRestore);
    if (!journal) return journal.error();
    if (!*journal) return {};
    std::erase_if((*journal)->entries,
                  [&](const JournalEntry& entry) { return entry.record.number <= journal_->follows; });
    if ((*journal)->entries.empty()) {
        journal_.reset();
        return remove_file(journal_file());
    }
    const auto bytes = begin_journal(journal_file(), journal_->follows, (*journal)->entries);
    if (!bytes) return bytes.error();
    journal_->bytes = *bytes;
    return {};
}

Expected<void> StateStore::save(const GenerationRecord& record, const Document& document) {
    const auto saved = save_change(record, document);
    if (!saved) return saved.error();
    if (!*saved) {
        if (auto kept = keep_last(); !kept) return kept;
        if (auto written = save_generation(file(), record, document); !written) return written;
        end_journal(document);
    }
    // From here on the new one is the last good one; an unconfirmed one of a lower number is nobody's any more.
    if (auto retired = retire_unconfirmed(); !retired) log(LogLevel::warning, retired.error().words);
    if (!*saved) forget_old();
    return {};
}

Expected<void> StateStore::save_unconfirmed(const GenerationRecord& record, const Document& document) {
    auto saved = save_generation(unconfirmed_file(), record, document);
    if (saved) unconfirmed_ = document;
    return saved;
}

Expected<void> StateStore::confirm() {
    if (auto kept = keep_last(); !kept) return kept;
    if (auto moved = move_file(unconfirmed_file(), file()); !moved) return moved;
    end_journal(std::exchange(unconfirmed_, std::nullopt));
    forget_old();
    return {};
}

Expected<std::optional<StateStore::SavedText>> StateStore::load_gates() const {
    return load_text(gates_file(), "restore it, or remove it and close by hand again what has to be closed");
}

Expected<void> StateStore::save_gates(const SavedText& gates) {
    return save_text(gates_file(), gates);
}

Expected<std::vector<StateStore::SavedText>> StateStore::load_schedule() const {
    std::vector<SavedText> schedule;
    for (const std::uint64_t number : numbered(directory_ + "/scheduled", "")) {
        auto saved = load_text(fmt::format("{}/scheduled/{}", directory_, number),
                               "restore it, or remove it and schedule the change again");
        if (!saved) return saved.error();
        if (*saved) schedule.push_back(std::move(**saved));
    }
    return schedule;
}

Expected<void> StateStore::save_scheduled(const SavedText& scheduled) {
    return save_text(fmt::format("{}/scheduled/{}", directory_, scheduled.number), scheduled);
}

Expected<void> StateStore::remove_scheduled(std::uint64_t number) {
    return remove_file(fmt::format("{}/scheduled/{}", directory_, number));
}

}  // namespace sekisho::control
