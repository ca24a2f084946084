// The state directory: the last good generation, those before it, one that waits to be confirmed, and the gates closed
// by hand, kept over restarts.
//
//   generation             the last good one: what a restart begins with
//   journal                small generations that followed it, as what they changed; the last of them is the last good
//   generation.next        one of those, being written whole, to take the place of `generation`
//   unconfirmed            the one that runs and was not confirmed yet; a restart does not begin with it
//   kept/N, kept/N.journal good ones before it, newest first as many as are to be kept
//   kept/N.unconfirmed     one that ran and was rolled back
//   gates, scheduled/N     gates by hand; changes that are to come into force at a time
//
// Every change is one rename, or one entry of the journal, durable before the call returns; what is read is checked
// against its length and hash (or CRC-32), and a damaged file is refused instead of guessed at. One daemon a directory,
// held by a lock. The compiler thread changes generations and the recorder gates; the control thread loads before that.
// A journal that has grown long is shortened beside the commits: any thread writes a Compaction.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "control/document.hpp"
#include "control/generation_record.hpp"
#include "net/expected.hpp"
#include "net/file_descriptor.hpp"

namespace sekisho::control {

class StateStore {
  public:
    struct Saved {
        GenerationRecord record;
        std::string document;  // JSON text
        // What small generations changed of it since, up to this one; lines of JSON each.
        std::vector<std::string> changes = {};
    };
    // The document, checked against its hash. Errors name what is wrong with it.
    static Expected<Document> document_of(const Saved& saved);
    struct SavedText {  // of gates and schedules
        std::uint64_t number = 0;
        std::string time;  // Japan time
        std::string text;
    };

    // Makes the directory (its parent must be there), with mode 0700, which one that is there gets too, and takes its
    // lock. `keep`: how many good generations before the last are kept. Error exists: another daemon has it.
    // `journal_from`: bytes of a document from which on a small change of it goes into the journal.
    static Expected<std::unique_ptr<StateStore>> open(const std::string& directory, std::size_t keep = kKeep,
                                                      std::uint64_t journal_from = kJournalFrom);
    static constexpr std::size_t kKeep = 10;
    static constexpr std::uint64_t kJournalFrom = std::uint64_t{256} << 10;

    const std::string& directory() const noexcept { return directory_; }
    std::string file() const { return directory_ + "/generation"; }
    std::string unconfirmed_file() const { return directory_ + "/unconfirmed"; }
    std::string journal_file() const { return directory_ + "/journal"; }
    std::string kept_file(std::uint64_t number, bool confirmed) const;

    // nullopt: there is none. Error invalid: the file is damaged; the words say how and what to do.
    Expected<std::optional<Saved>> load() const;
    Expected<std::optional<Saved>> load_unconfirmed() const;
    // One that is kept, or the last good one; error not_found says which there are.
    Expected<Saved> load(std::uint64_t number) const;
    // What is known of all that are kept, ascending; files that tell nothing are left out.
    std::vector<GenerationRecord> kept() const;

    // What load() gave is this document: what follows it may be kept as a change of it.
    void loaded(const Document& document) { good_ = document; }
    // The document becomes the last good one; the one that was is kept, and an unconfirmed one kept as rolled back.
    Expected<void> save(const GenerationRecord& record, const Document& document);
    Expected<void> save_unconfirmed(const GenerationRecord& record, const Document& document);
    // The unconfirmed one becomes the last good one; the one that was is kept.
    Expected<void> confirm();

    // The last good document, to be written whole while more may follow in the journal.
    struct Compaction {
        std::uint64_t follows = 0;  // what the journal followed when it began
        GenerationRecord record;
        Document document;
        std::string path;
    };
    // Nothing, while the journal is short or one is under way.
    std::optional<Compaction> begin_compaction();
    // What takes its time: durable, and in force for nobody yet. Any thread.
    static Expected<void> write(const Compaction& compaction);
    // It takes its place, and the journal begins behind it; or, if `written` is an error or the journal is another by
    // now, it is dropped.
    Expected<void> finish(const Compaction& compaction, const Expected<void>& written);

    std::string gates_file() const { return directory_ + "/gates"; }
    Expected<std::optional<SavedText>> load_gates() const;
    Expected<void> save_gates(const SavedText& gates);

    Expected<std::vector<SavedText>> load_schedule() const;  // ascending
    Expected<void> save_scheduled(const SavedText& scheduled);
    Expected<void> remove_scheduled(std::uint64_t number);

  private:
    StateStore(std::string directory, std::size_t keep, std::uint64_t journal_from, FileDescriptor lock)
        : directory_(std::move(directory)), keep_(keep), journal_from_(journal_from), lock_(std::move(lock)) {}
    struct Known {  // of the journal
        std::uint64_t follows = 0;
        std::uint64_t bytes = 0;
        std::vector<GenerationRecord> records;  // behind what it follows
    };
    Expected<void> look_at_journal();
    Expected<void> shorten_journal();  // to what is behind the document that was written whole
    // False: it is no small change of the last good one, or the journal has had enough.
    Expected<bool> save_change(const GenerationRecord& record, const Document& document);
    std::string kept_journal(std::uint64_t number) const { return kept_file(number, true) + ".journal"; }
    std::vector<GenerationRecord> records_of_kept(std::uint64_t number) const;
    Expected<void> keep_last();  // another name for the last good one, so that it stays when it is replaced
    void end_journal(std::optional<Document> good);
    Expected<void> retire_unconfirmed();
    void forget_old();

    std::string directory_;
    std::size_t keep_;
    std::uint64_t journal_from_;
    FileDescriptor lock_;
    std::optional<Document> good_, unconfirmed_;   // as they are in the files, if that is known
    std::optional<Known> journal_;                 // of the last good one, if there is one
    std::optional<GenerationRecord> good_record_;  // of good_, where it stands in the journal
    bool compacting_ = false;
    mutable std::map<std::uint64_t, std::vector<GenerationRecord>> kept_journals_;  // as they were read
};

std::uint32_t crc32_of(const std::string& bytes) noexcept;  // IEEE 802.3, as zlib's

}  // namespace sekisho::control
