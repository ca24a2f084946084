#include "dataplane/kernel/taps.hpp"

#include <algorithm>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <utility>

namespace sekisho::dataplane {
namespace {

constexpr std::chrono::milliseconds kTryAgain{1000};
constexpr std::chrono::milliseconds kLook{1};
constexpr std::chrono::milliseconds kTellEvery{10};
constexpr std::size_t kBurst = 64;  // of one ring or TAP, before the next has its turn

}  // namespace

Taps::Taps(KernelShare& share, std::string namespaces)
    : share_(share),
      namespaces_(std::move(namespaces)),
      epoll_(::epoll_create1(EPOLL_CLOEXEC)),
      wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u32 = TapId().value();
    ::epoll_ctl(epoll_.number(), EPOLL_CTL_ADD, wake_.number(), &event);
}

Taps::~Taps() {
    {
        const std::lock_guard lock(mutex_);
        stop_ = true;
    }
    wake();
    if (thread_.joinable()) thread_.join();
}

void Taps::wake() noexcept {
    ::eventfd_write(wake_.number(), 1);
}

void Taps::want(const std::vector<TapSpec>& specs) {
    {
        const std::lock_guard lock(mutex_);
        if (specs == wanted_) return;
        wanted_ = specs;
        changed_ = true;
    }
    if (thread_.joinable())
        wake();
    else
        thread_ = std::thread([this] { run(); });
}

std::vector<TapInfo> Taps::info() const {
    const std::lock_guard lock(mutex_);
    return info_;
}

void Taps::run() {
    ::pthread_setname_np(::pthread_self(), "sekisho-taps");
    for (;;) {
        adopt();
        {
            const std::lock_guard lock(mutex_);
            if (stop_) return;
        }
        const auto now = std::chrono::steady_clock::now();
        if (now >= next_tend_) {
            tend();
            next_tend_ = now + kTryAgain;
        }
        const bool busy = carry_to();
        tell(now);
        const bool any =
            std::any_of(slots_.begin(), slots_.end(), [](const auto& each) { return each.second.tap.has_value(); });
        std::array<epoll_event, 16> events;
        const auto wait = busy ? kLook * 0 : any || news_ ? kLook : kTryAgain;
        const int count = ::epoll_wait(epoll_.number(), events.data(), static_cast<int>(events.size()),
                                       static_cast<int>(wait.count()));
        for (int i = 0; i < count; ++i) {
            const TapId id(events[static_cast<std::size_t>(i)].data.u32);
            if (id != TapId()) {
                carry_from(id);
                continue;
            }
            eventfd_t none = 0;
            ::eventfd_read(wake_.number(), &none);
        }
    }
}

void Taps::adopt() {
    std::vector<TapSpec> wanted;
    {
        const std::lock_guard lock(mutex_);
        if (!std::exchange(changed_, false)) return;
        wanted = wanted_;
    }
    std::map<TapId, Slot> slots;
    for (const TapSpec& spec : wanted) {
        Slot& slot = slots[spec.tap];
        const auto before = slots_.find(spec.tap);
        if (before != slots_.end()) {
            slot = std::move(before->second);
            if (slot.info.spec != spec) slot.tap.reset();  // its MAC address or MTU
        }
        slot.info.spec = spec;
        if (!slot.tap) slot.info.open = false;
    }
    slots_ = std::move(slots);  // the others end here, before a new one could need their names
    news_ = true;
    next_tend_ = {};
}

void Taps::tend() {
    for (auto& [id, slot] : slots_) {
        if (slot.tap && !slot.tap->is_in(slot.info.spec.network_namespace, namespaces_))
            close(slot, "its network namespace was deleted");
        if (!slot.tap) open(slot);
    }
}

void Taps::open(Slot& slot) {
    auto tap = Tap::make(slot.info.spec, namespaces_);
    if (!tap) return close(slot, tap.error().words);
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u32 = slot.info.spec.tap.value();
    ::epoll_ctl(epoll_.number(), EPOLL_CTL_ADD, tap->descriptor(), &event);
    slot.tap = std::move(*tap);
    slot.info.open = true;
    slot.info.words.clear();
    news_ = true;
}

void Taps::close(Slot& slot, std::string words) {
    slot.tap.reset();  // and with its descriptor its place in the epoll set
    slot.info.open = false;
    slot.info.words = std::move(words);
    news_ = true;
}

bool Taps::carry_to() {
    bool any = false;
    for (std::size_t worker = 0; worker < share_.workers(); ++worker) {
        FrameRing& ring = share_.from(WorkerId(static_cast<std::uint16_t>(worker)));
        for (std::size_t i = 0; i < kBurst; ++i) {
            const auto frame = ring.front();
            if (!frame) break;
            any = true;
            if (const auto found = slots_.find(frame->tap); found != slots_.end()) {
                Slot& slot = found->second;
                const Tap::Outcome outcome = slot.tap ? slot.tap->write(frame->bytes) : Tap::Outcome::gone;
                ++(outcome == Tap::Outcome::done ? slot.info.to_kernel : slot.info.not_taken);
                if (slot.tap && outcome == Tap::Outcome::gone) close(slot, "its network namespace was deleted");
            }
            ring.pop();
        }
    }
    news_ |= any;
    return any;
}

void Taps::carry_from(TapId id) {
    const auto found = slots_.find(id);
    if (found == slots_.end() || !found->second.tap) return;
    Slot& slot = found->second;
    for (std::size_t i = 0; i < kBurst; ++i) {
        if (!share_.to_keeper().has_room()) {  // the interface's own queue holds them meanwhile
            std::this_thread::sleep_for(kLook);
            return;
        }
        const auto [outcome, length] = slot.tap->read(room_);
        if (outcome == Tap::Outcome::gone) return close(slot, "its network namespace was deleted");
        if (outcome != Tap::Outcome::done) return;
        share_.to_keeper().put(id, slot.info.spec.attachment, std::span(room_).first(length));
        ++slot.info.from_kernel;
        news_ = true;
    }
}

void Taps::tell(std::chrono::steady_clock::time_point now) {
    if (!news_ || now < next_tell_) return;
    news_ = false;
    next_tell_ = now + kTellEvery;
    std::vector<TapInfo> info;
    for (const auto& [id, slot] : slots_) info.push_back(slot.info);
    const std::lock_guard lock(mutex_);
    info_.swap(info);
}

}  // namespace sekisho::dataplane
