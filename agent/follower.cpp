#include "agent/follower.hpp"

#include <algorithm>
#include <thread>

#include <fmt/format.h>

#include "control/hash_tree.hpp"
#include "control/log.hpp"

namespace sekisho::agent {

using control::log;
using control::LogLevel;

namespace {

// Where the words already say which object it is, its key still leads: it is what one gives to etcdctl.
std::string words_of(const Complaint& complaint) {
    return complaint.key.empty() ? complaint.words : fmt::format("{}: {}", complaint.key, complaint.words);
}

}  // namespace

Follower::Follower(FollowerOptions options, Source& source, StandingBoard& board)
    : options_(std::move(options)), source_(source), board_(board), node_(options_.socket) {}

void Follower::round(std::chrono::milliseconds longest) {
    const auto until = Clock::now() + longest;
    const auto left = [&] {
        return std::max(std::chrono::milliseconds(0),
                        std::chrono::duration_cast<std::chrono::milliseconds>(until - Clock::now()));
    };
    if (Clock::now() >= next_look_) look_at_node();
    if (!loaded_ && known_node_ && Clock::now() >= next_try_) {
        if (auto done = load(); !done) {
            board_.change([&](Standing& standing) { standing.source_trouble = done.error().words; });
            log(LogLevel::warning, done.error().words);
            later();
        }
    }
    // While it is not known what became of a commit, nothing may change that would be thought to be part of it.
    if (loaded_ && attempted_.empty()) {
        take_events(left());
        if (loaded_ && Clock::now() >= next_try_) push();
    } else {
        std::this_thread::sleep_for(std::min(left(), std::chrono::milliseconds(50)));
    }
}

void Follower::later() {
    next_try_ = Clock::now() + try_back_off_.next();
}

// --- the node

void Follower::look_at_node() {
    const auto running = node_.running();
    if (!running) {
        const auto wait = node_back_off_.next();
        next_look_ = Clock::now() + wait;
        board_.change([&](Standing& standing) {
            if (standing.node_trouble != running.error().words) log(LogLevel::warning, running.error().words);
            standing.node_trouble = running.error().words;
        });
        return;
    }
    node_back_off_.reset();
    next_look_ = Clock::now() + options_.look;
    judge(*running);
}

void Follower::judge(const Running& running) {
    const std::string suffix = " " + options_.node;
    const bool ours = running.label.size() > suffix.size() && running.label.ends_with(suffix);
    board_.change([](Standing& standing) { standing.node_trouble.clear(); });
    if (!attempted_.empty()) {
        // A commit whose answer was lost: the label says whether it was done.
        const std::string attempted = std::exchange(attempted_, {});
        if (running.label == attempted) {
            log(LogLevel::info, fmt::format("generation {} is the one whose answer was lost", running.generation));
            return pushed(running.generation, attempted);
        }
        touched_ = true;
    }
    if (known_node_ && running.generation == generation_ && (ours || running.label == judged_)) return;

    known_node_ = true;
    generation_ = running.generation;
    judged_ = running.label;
    hash_ = running.hash;
    whole_ = true;
    next_try_ = {};
    // One of ours that we did not make is no drift: a commit of an agent before us, which ended after we first looked.
    // We go on from there, as one that starts does.
    found_ = ours ? running.label.substr(0, running.label.size() - suffix.size()) : "";
    if (ours) loaded_ = false;
    const bool drifted = running.generation != 0 && !ours;
    drifted_ = drifted && !options_.restore_drift;
    touched_ = !drifted_;
    const std::string words =
        drifted ? fmt::format("the node runs generation {}, which did not come from this store", running.generation)
                : "";
    if (drifted)
        log(LogLevel::warning, words + (drifted_ ? ": the store's next change replaces it" : ": it is replaced"));
    board_.change([&](Standing& standing) {
        standing.generation = ours ? running.generation : 0;
        standing.drift = words;
    });
}

// --- the source

void Follower::take_events(std::chrono::milliseconds longest) {
    // While something waits for its next try, or for a look at the node, no longer than until then.
    const auto now = Clock::now();
    const auto no_longer_than = [&](Clock::time_point then) {
        longest = std::clamp(std::chrono::duration_cast<std::chrono::milliseconds>(then - now),
                             std::chrono::milliseconds(0), longest);
    };
    no_longer_than(next_look_);
    if (touched_) no_longer_than(next_try_);
    Event event = source_.next(longest);
    const auto gathered = Clock::now() + options_.gather;
    while (event.what != Event::What::nothing) {
        const bool more = event.what == Event::What::changes;
        absorb(std::move(event));
        if (!more || !loaded_) return;
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(gathered - Clock::now());
        event = source_.next(touched_ ? std::max(left, std::chrono::milliseconds(0)) : std::chrono::milliseconds(0));
    }
}

void Follower::absorb(Event event) {
    switch (event.what) {
        case Event::What::nothing: return;
        case Event::What::failed:
            board_.change([&](Standing& standing) {
                if (standing.source_trouble != event.words) log(LogLevel::warning, event.words);
                standing.source_trouble = event.words;
            });
            return;
        case Event::What::replaced:
            whole_ = true;
            found_.clear();
            drifted_ = false;
            [[fallthrough]];
        case Event::What::start_again:
            log(LogLevel::info, event.words + ": reading all of it again");
            loaded_ = false;
            next_try_ = {};
            return;
        case Event::What::changes: break;
    }
    if (!event.changes.empty()) {
        touched_ = true;
        drifted_ = false;  // what the store says now is newer than what somebody did by hand
        next_try_ = {};
    }
    for (Change& change : event.changes) view_.change(std::move(change), !overflowed_);
    position_ = std::move(event.label);
    if (view_.pending_bytes() > options_.most_pending_bytes) {
        view_.drop_pending();
        overflowed_ = true;
    }
    board_.change([&](Standing& standing) {
        if (!standing.source_trouble.empty()) log(LogLevel::info, "the store answers again");
        standing.source_trouble.clear();
        standing.seen = position_;
        standing.pending = view_.pending();
        standing.hold = view_.hold().value_or("");
    });
}

Expected<void> Follower::load() {
    const bool can_compare = !whole_;
    overflowed_ = false;
    const auto position = source_.begin(whole_ && generation_ != 0 ? found_ : "");
    if (!position) return position.error();
    const auto begun = Clock::now();
    position_ = position->label;
    if (position->runs) {
        const auto is_so = know_all();
        if (!is_so) return is_so.error();
        if (!*is_so) {
            log(LogLevel::warning,
                fmt::format("the node's generation {} is not what the store had at {}: all of it goes over",
                            generation_, position_));
            found_.clear();
            return load();
        }
        whole_ = false;
        touched_ = drifted_ = false;
        pushed(generation_, node_label(position_));
    } else if (can_compare) {
        view_.begin_comparing();
        if (auto done = source_.read("", [&](Item item) { view_.compare(std::move(item)); }); !done) return done;
        view_.finish_comparing();
        touched_ = true;
    } else {
        if (auto done = push_all(position_); !done) return done;
    }
    loaded_ = true;
    try_back_off_.reset();
    log(LogLevel::info, fmt::format("{}: {} objects read in {} ms{}", position_, view_.objects(),
                                    std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - begun).count(),
                                    position->runs ? ", the node runs them" : ""));
    board_.change([&](Standing& standing) {
        standing.source_trouble.clear();
        standing.seen = position_;
        standing.pending = view_.pending();
        standing.hold = view_.hold().value_or("");
    });
    return {};
}

// A store that was put back to an earlier state and written to since has another policy at the revision that the node's
// label names: so the label alone does not tell.
Expected<bool> Follower::know_all() {
    view_.forget();
    if (auto done = read_shares(); !done) return done.error();
    share_ = options_.shared ? Share(view_.shares(), options_.node) : Share();
    std::vector<control::HashTree::Hash> leaves;
    const auto read = source_.read("", [&](Item item) {
        const auto todo = view_.prepare(item, share_, PolicyView::Form::canonical);
        if (todo) leaves.push_back(control::HashTree::leaf_of(todo->kind, *todo->text));
        if (parse_key(item.key)) view_.know(item, todo.has_value());
    });
    if (!read) return read.error();
    return control::text_of(control::HashTree(leaves).root()) == hash_;
}

// What decides about the other items comes first: the nodes' shares, and whether to wait.
Expected<void> Follower::read_shares() {
    if (!options_.shared) return {};
    const auto take = [&](const Item& item) { view_.prepare(item, share_); };
    if (auto done = source_.read("nodes/", take); !done) return done;
    return source_.read("hold", take);
}

// --- pushing

bool Follower::may_push() {
    if (drifted_ || view_.hold()) return false;
    auto complaints = view_.complaints(options_.node, options_.shared);
    if (complaints.empty()) return true;
    tell_refused(std::move(complaints), position_);
    return false;
}

std::string Follower::signature() const {
    return view_.signature(options_.shared ? options_.node : std::string(kOfFile));
}

// Everything, in a transaction that starts from nothing; or, while nothing may be pushed, only into the view.
Expected<void> Follower::push_all(const std::string& label) {
    view_.forget();
    if (auto done = read_shares(); !done) return done;
    share_ = options_.shared ? Share(view_.shares(), options_.node) : Share();
    bool pushing = !drifted_ && !view_.hold();
    if (pushing) {
        const auto base = node_.begin(true);
        if (!base) {
            look_at_node();
            return base.error();
        }
        if (*base != generation_) {  // somebody was quicker
            node_.abort();
            next_look_ = {};
            return Error{ErrorCode::unavailable, "the node's policy changed meanwhile"};
        }
    }
    const auto read = source_.read("", [&](Item item) {
        auto todo = view_.prepare(item, share_);
        if (parse_key(item.key)) view_.know(item, todo.has_value());
        if (todo && pushing) node_.batches().put(todo->kind, *todo->text);
    });
    if (!read) {
        if (pushing) node_.abort();
        // A document that is wrong is the source's word, and stands until it changes.
        if (read.error().code != ErrorCode::invalid) return read.error();
        tell_refused({{"", read.error().words}}, label);
        touched_ = false;
        return {};
    }
    touched_ = false;
    if (!pushing) return {};
    if (!may_push()) {
        node_.abort();
        return {};
    }
    ended(node_.commit(node_label(label), signature()), node_label(label));
    return {};
}

void Follower::push() {
    if (!touched_) return;
    if (overflowed_ && !whole_ && !drifted_ && !view_.hold()) {
        loaded_ = false;
        return;
    }
    if (!may_push()) {
        touched_ = false;
        return;
    }
    if (whole_ || (options_.shared && !(Share(view_.shares(), options_.node) == share_))) {
        whole_ = true;
        found_.clear();
        loaded_ = false;  // load() pushes all of it
        return;
    }
    push_changes();
}

void Follower::push_changes() {
    const auto todo = view_.todo(share_);
    if (auto complaints = view_.complaints(options_.node, options_.shared); !complaints.empty()) {
        touched_ = false;
        return tell_refused(std::move(complaints), position_);
    }
    const std::string label = node_label(position_);
    if (todo.empty()) return pushed(generation_, label);
    const auto base = node_.begin(false);
    if (!base) {
        look_at_node();
        return later();
    }
    if (*base != generation_) {
        node_.abort();
        return look_at_node();
    }
    for (const auto& one : todo) {
        if (one.text)
            node_.batches().put(one.kind, *one.text);
        else
            node_.batches().erase(one.kind, one.id);
    }
    touched_ = false;
    ended(node_.commit(label, signature()), label);
}

void Follower::ended(const Outcome& outcome, const std::string& label) {
    switch (outcome.what) {
        case Outcome::What::done: return pushed(outcome.generation, label);
        case Outcome::What::refused: return tell_refused(outcome.complaints, position_);
        case Outcome::What::not_now:
            log(LogLevel::warning, fmt::format("the node did not take {}: {}", position_, outcome.words));
            board_.change([&](Standing& standing) { standing.node_trouble = outcome.words; });
            touched_ = true;
            return later();
        case Outcome::What::conflict: touched_ = true; return look_at_node();
        case Outcome::What::lost:
            log(LogLevel::warning, outcome.words);
            attempted_ = label;
            next_look_ = {};
            return;
    }
}

void Follower::pushed(std::uint64_t generation, const std::string& label) {
    if (generation != generation_) log(LogLevel::info, fmt::format("generation {} is {}", generation, label));
    generation_ = generation;
    judged_ = label;
    known_node_ = true;
    whole_ = false;
    touched_ = drifted_ = false;
    view_.settle();
    try_back_off_.reset();
    told_.clear();
    board_.change([&](Standing& standing) {
        standing.generation = generation;
        standing.label = label;
        standing.pending = 0;
        standing.refused.clear();
        standing.node_trouble.clear();
        standing.drift.clear();
    });
}

void Follower::tell_refused(std::vector<Complaint> refused, const std::string& position) {
    const auto is_told = [&](const Complaint& one) {
        return std::any_of(told_.begin(), told_.end(),
                           [&](const Complaint& other) { return other.key == one.key && other.words == one.words; });
    };
    for (const Complaint& one : refused)
        if (!is_told(one)) log(LogLevel::error, fmt::format("{} is refused: {}", position, words_of(one)));
    told_ = refused;
    board_.change([&](Standing& standing) {
        standing.pending = view_.pending();
        standing.refused = std::move(refused);
    });
}

}  // namespace sekisho::agent
