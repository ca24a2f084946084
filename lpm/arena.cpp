// The arena's bookkeeping. Control side only: lookups know nothing but the base.
#include "lpm/arena.hpp"

#include <algorithm>
#include <new>
#include <sys/mman.h>
#include <utility>

namespace sekisho::lpm {

namespace {

constexpr std::size_t kHugePage = std::size_t{2} << 20;
constexpr std::size_t kLinesOfHugePage = kHugePage / kLineBytes;
// Small blocks are cut from free runs up to this long; longer ones are kept for roots, until nothing else is left.
constexpr std::size_t kShortRun = 64;

// The longest free run that a block of so many lines is cut from without need.
std::size_t about(std::size_t lines) {
    return std::max(lines + lines / 4, kShortRun);
}

std::uint32_t units_of(std::size_t bytes) {
    return static_cast<std::uint32_t>((bytes + kUnitBytes - 1) / kUnitBytes);
}

}  // namespace

Arena::Arena(std::size_t limit_bytes) {
    limit_bytes = std::min(limit_bytes, kMostBytes);
    limit_ = limit_bytes / kLineBytes;
    reserved_bytes_ = (limit_bytes + kHugePage - 1) / kHugePage * kHugePage + kHugePage;
    reserved_ = mmap(nullptr, reserved_bytes_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (reserved_ == MAP_FAILED) throw std::bad_alloc();
    void* aligned = reserved_;
    std::size_t room = reserved_bytes_;
    std::align(kHugePage, reserved_bytes_ - kHugePage, aligned, room);
    base_ = static_cast<std::byte*>(aligned);
    // Fewer TLB misses where the system grants huge pages; no harm where it does not.
    (void)madvise(base_, reserved_bytes_ - kHugePage, MADV_HUGEPAGE);
    if (!commit(1)) {
        munmap(reserved_, reserved_bytes_);
        throw std::bad_alloc();
    }
}

Arena::~Arena() {
    munmap(reserved_, reserved_bytes_);
}

bool Arena::commit(Lines upto) {
    if (upto <= committed_) return true;
    if (upto > limit_) return false;
    const Lines wanted = (upto + kLinesOfHugePage - 1) / kLinesOfHugePage * kLinesOfHugePage;
    try {
        used_.resize(wanted, 0);
        births_.resize(wanted * kUnitsOfLine, 0);
    } catch (const std::bad_alloc&) {  // as at the limit
        return false;
    }
    if (mprotect(base_ + committed_ * kLineBytes, (wanted - committed_) * kLineBytes, PROT_READ | PROT_WRITE) != 0)
        return false;
    committed_ = wanted;
    return true;
}

Block Arena::allocate(std::size_t bytes, std::uint32_t epoch) {
    if (any_returned_.load(std::memory_order_relaxed)) take_up_returned();
    const std::uint32_t units = units_of(bytes);
    Unit unit = 0;
    if (units <= kUnitsOfLine) {
        unit = allocate_small(units);
    } else {
        const Lines lines = (units + kUnitsOfLine - 1) / kUnitsOfLine;
        unit = allocate_lines(lines);
        // The rest of the last line serves small blocks.
        const auto rest = static_cast<std::uint32_t>(lines * kUnitsOfLine) - units;
        if (unit != 0 && rest != 0) offer(unit + units, rest);
    }
    if (unit == 0) return {};
    births_[unit] = epoch;
    return {unit, static_cast<std::uint32_t>(bytes)};
}

Unit Arena::allocate_small(std::uint32_t units) {
    for (std::uint32_t size = units; size <= kUnitsOfLine; ++size) {
        while (!parts_[size].empty()) {
            const Unit unit = parts_[size].back();
            parts_[size].pop_back();
            --hints_;
            if (!take(unit, size)) continue;
            if (size > units) offer(unit + units, size - units);
            return unit;
        }
    }
    const Unit unit = allocate_lines(1);
    if (unit != 0 && units < kUnitsOfLine) offer(unit + units, kUnitsOfLine - units);
    return unit;
}

Unit Arena::allocate_lines(Lines lines) {
    if (const Unit unit = cut_run(lines, about(lines)); unit != 0) return unit;
    if (next_ + lines <= std::min(committed_, limit_)) return first_given(lines);
    // While a quarter or more is free, the arena grows only when nothing else helps. Long runs are spared while a
    // gathering is likely to make short ones, which is when an eighth of the arena was freed since the last one.
    if (free_units_ > next_) {
        if (freed_since_gathering_ > next_ / 2) return gather_for(lines);
        if (const Unit unit = cut_run(lines, limit_); unit != 0) return unit;
        if (freed_since_gathering_ != 0) return gather_for(lines);
    }
    if (next_ + lines <= limit_ && commit(next_ + lines)) return first_given(lines);
    return freed_since_gathering_ == 0 ? cut_run(lines, limit_) : gather_for(lines);
}

// Neighbours that were freed one after the other become one run.
Unit Arena::gather_for(Lines lines) {
    hint_again();
    return allocate_lines(lines);
}

// Lines that nobody has; they are committed.
Unit Arena::first_given(Lines lines) {
    const auto unit = static_cast<Unit>(next_ * kUnitsOfLine);
    next_ += lines;
    free_units_ += lines * kUnitsOfLine;
    mark(unit, static_cast<std::uint32_t>(lines * kUnitsOfLine), true);
    return unit;
}

// Takes `lines` lines from a free run of at most `longest`; 0 if there is none.
Unit Arena::cut_run(Lines lines, Lines longest) {
    const auto units = static_cast<std::uint32_t>(lines * kUnitsOfLine);
    if (lines == 1) {
        while (!parts_[kUnitsOfLine].empty()) {
            const Unit unit = parts_[kUnitsOfLine].back();
            parts_[kUnitsOfLine].pop_back();
            --hints_;
            if (take(unit, units)) return unit;
        }
    }
    for (auto run = runs_.lower_bound(lines); run != runs_.end() && run->first <= longest;) {
        const auto [length, units_list] = std::pair(run->first, &run->second);
        if (units_list->empty()) {
            run = runs_.erase(run);
            continue;
        }
        const Unit unit = units_list->back();
        units_list->pop_back();
        --hints_;
        // No more than these are looked at: a run may be of many thousand lines. Its rest is free or, as any hint, not.
        if (!take(unit, units)) continue;
        if (length > lines) hint_run((unit + units) / kUnitsOfLine, length - lines);
        return unit;
    }
    return 0;
}

// Takes these units if all of them are free: what makes an outdated hint harmless.
bool Arena::take(Unit unit, std::uint32_t units) {
    for (Unit at = unit; at < unit + units; ++at)
        if ((used_[at / kUnitsOfLine] >> (at % kUnitsOfLine) & 1) != 0) return false;
    mark(unit, units, true);
    return true;
}

void Arena::mark(Unit unit, std::uint32_t units, bool used) {
    free_units_ = used ? free_units_ - units : free_units_ + units;
    for (Unit at = unit; at < unit + units; ++at) {
        const auto bit = static_cast<std::uint8_t>(1U << (at % kUnitsOfLine));
        std::uint8_t& line = used_[at / kUnitsOfLine];
        line = static_cast<std::uint8_t>(used ? line | bit : line & ~bit);
    }
}

// Frees these units and leaves hints to them: a part of a line, whole lines, a part of a line.
void Arena::offer(Unit unit, std::uint32_t units) {
    mark(unit, units, false);
    const Unit end = unit + units;
    if (unit % kUnitsOfLine != 0) {
        const Unit border = std::min(end, (unit / kUnitsOfLine + 1) * kUnitsOfLine);
        hint_part(unit, border);
        unit = border;
    }
    const Lines lines = (end - unit) / kUnitsOfLine;
    if (lines == 1) offer_line(unit / kUnitsOfLine);
    if (lines > 1) hint_run(unit / kUnitsOfLine, lines);
    if (const Unit rest = end - (end - unit) % kUnitsOfLine; rest != end) hint_part(rest, end);
    if (hints_ > 2 * committed_ + kLinesOfHugePage) hint_again();
}

void Arena::hint_part(Unit unit, Unit end) {
    if (used_[unit / kUnitsOfLine] == 0) {
        offer_line(unit / kUnitsOfLine);
    } else {
        parts_[end - unit].push_back(unit);
        ++hints_;
    }
}

// A line that became free whole, with a neighbour that is free too where there is one.
void Arena::offer_line(Lines line) {
    hint_run(line, 1);
    if (line > 1 && used_[line - 1] == 0) hint_run(line - 1, 2);
    if (line + 1 < next_ && used_[line + 1] == 0) hint_run(line, 2);
}

void Arena::hint_run(Lines line, Lines lines) {
    const auto unit = static_cast<Unit>(line * kUnitsOfLine);
    (lines == 1 ? parts_[kUnitsOfLine] : runs_[lines]).push_back(unit);
    ++hints_;
}

// Forgets all hints and looks for free space afresh: outdated hints go, neighbours become one run, and what is free at
// the end was never given.
void Arena::hint_again() {
    for (; next_ > 1 && used_[next_ - 1] == 0; --next_) free_units_ -= kUnitsOfLine;
    for (auto& units : parts_) units.clear();
    runs_.clear();
    hints_ = 0;
    freed_since_gathering_ = 0;
    for (Lines line = 1; line < next_;) {
        Lines after = line;
        while (after < next_ && used_[after] == 0) ++after;
        if (after > line) {
            hint_run(line, after - line);
            line = after;
            continue;
        }
        for (Unit unit = 0; unit < kUnitsOfLine;) {
            Unit end = unit;
            while (end < kUnitsOfLine && (used_[line] >> end & 1) == 0) ++end;
            const auto start = static_cast<Unit>(line * kUnitsOfLine);
            if (end > unit) hint_part(start + unit, start + end);
            unit = end + 1;
        }
        ++line;
    }
}

void Arena::free(Block block) {
    freed_since_gathering_ += units_of(block.bytes);
    offer(block.unit, units_of(block.bytes));
}

void Arena::give_back(std::vector<Block>&& blocks) {
    if (blocks.empty()) return;
    const std::lock_guard lock(returned_mutex_);
    if (returned_.empty()) {
        returned_ = std::move(blocks);
    } else {
        returned_.insert(returned_.end(), blocks.begin(), blocks.end());
    }
    any_returned_.store(true, std::memory_order_relaxed);
}

void Arena::take_up_returned() {
    std::vector<Block> blocks;
    {
        const std::lock_guard lock(returned_mutex_);
        blocks.swap(returned_);
        any_returned_.store(false, std::memory_order_relaxed);
    }
    for (const Block& block : blocks) free(block);
}

Limbo::~Limbo() {
    arena->give_back(std::move(blocks));
    // The chain is let go one by one and not by recursion: it may be as long as the number of views ever made. Whether
    // a Limbo is the last to hold the next is for the reference count to say, which also orders the threads.
    thread_local std::vector<std::shared_ptr<Limbo>>* waiting = nullptr;
    if (waiting != nullptr) {
        waiting->push_back(std::move(next));
        return;
    }
    std::vector<std::shared_ptr<Limbo>> mine;
    mine.push_back(std::move(next));
    waiting = &mine;
    while (!mine.empty()) {
        const std::shared_ptr<Limbo> following = std::move(mine.back());
        mine.pop_back();
    }
    waiting = nullptr;
}

}  // namespace sekisho::lpm
