#include "control/event_loop.hpp"

#include <array>
#include <cerrno>
#include <cstring>
#include <sys/eventfd.h>
#include <sys/timerfd.h>

namespace sekisho::control {

namespace {

Error system_error(const std::string& tried) {
    return {ErrorCode::unavailable, tried + ": " + std::strerror(errno)};
}

}  // namespace

Expected<std::unique_ptr<EventLoop>> EventLoop::make() {
    std::unique_ptr<EventLoop> loop(new EventLoop);
    loop->epoll_ = FileDescriptor(::epoll_create1(EPOLL_CLOEXEC));
    if (!loop->epoll_) return system_error("event loop: epoll_create1");
    loop->wakeup_ = FileDescriptor(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!loop->wakeup_) return system_error("event loop: eventfd");
    EventLoop* const self = loop.get();
    if (auto watched = loop->watch(loop->wakeup_.number(), EPOLLIN, [self](std::uint32_t) { self->run_posted(); });
        !watched)
        return watched.error();
    return loop;
}

Expected<void> EventLoop::watch(int descriptor, std::uint32_t events, Handler handler) {
    const std::uint64_t token = next_token_++;
    epoll_event event{};
    event.events = events;
    event.data.u64 = token;
    if (::epoll_ctl(epoll_.number(), EPOLL_CTL_ADD, descriptor, &event) != 0)
        return system_error("event loop: watching descriptor " + std::to_string(descriptor));
    watches_[descriptor] = {token, std::make_shared<Handler>(std::move(handler))};
    descriptor_of_[token] = descriptor;
    return {};
}

void EventLoop::change(int descriptor, std::uint32_t events) {
    const auto found = watches_.find(descriptor);
    if (found == watches_.end()) return;
    epoll_event event{};
    event.events = events;
    event.data.u64 = found->second.token;
    ::epoll_ctl(epoll_.number(), EPOLL_CTL_MOD, descriptor, &event);
}

void EventLoop::forget(int descriptor) {
    const auto found = watches_.find(descriptor);
    if (found == watches_.end()) return;
    ::epoll_ctl(epoll_.number(), EPOLL_CTL_DEL, descriptor, nullptr);
    descriptor_of_.erase(found->second.token);
    watches_.erase(found);
}

void EventLoop::post(std::function<void()> work) {
    {
        const std::lock_guard lock(mutex_);
        posted_.push_back(std::move(work));
    }
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = ::write(wakeup_.number(), &one, sizeof one);  // full means awake already
}

void EventLoop::stop() {
    post([this] {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
    });
}

void EventLoop::run() {
    for (;;) {
        {
            const std::lock_guard lock(mutex_);
            if (std::exchange(stopping_, false)) return;
        }
        run_once(std::chrono::milliseconds(-1));
    }
}

void EventLoop::run_once(std::chrono::milliseconds longest) {
    std::array<epoll_event, 64> events;
    const int count = ::epoll_wait(epoll_.number(), events.data(), static_cast<int>(events.size()),
                                   static_cast<int>(longest.count()));
    for (int i = 0; i < count; ++i) {
        const epoll_event event = events[static_cast<std::size_t>(i)];
        const std::uint64_t number = event.data.u64;  // the structure is packed
        // An earlier handler of this round may have forgotten it, and its number may be another descriptor's by now.
        const auto descriptor = descriptor_of_.find(number);
        if (descriptor == descriptor_of_.end()) continue;
        const std::shared_ptr<Handler> handler = watches_.at(descriptor->second).handler;
        (*handler)(event.events);
    }
}

void EventLoop::run_posted() {
    std::uint64_t count = 0;
    [[maybe_unused]] const auto got = ::read(wakeup_.number(), &count, sizeof count);
    std::vector<std::function<void()>> work;
    {
        const std::lock_guard lock(mutex_);
        work.swap(posted_);
    }
    for (auto& call : work) call();
}

Expected<std::unique_ptr<Timer>> Timer::make(EventLoop& loop, Clock clock, std::function<void()> call) {
    FileDescriptor descriptor(
        ::timerfd_create(clock == Clock::wall ? CLOCK_REALTIME : CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
    if (!descriptor) return system_error("timer: timerfd_create");
    std::unique_ptr<Timer> timer(new Timer(loop, std::move(descriptor), std::move(call)));
    Timer* const self = timer.get();
    auto watched = loop.watch(timer->timer_.number(), EPOLLIN, [self](std::uint32_t) {
        std::uint64_t expired = 0;
        // ECANCELED: the wall clock was set; whoever waits for a time of day must look at it again.
        if (::read(self->timer_.number(), &expired, sizeof expired) > 0 || errno == ECANCELED) self->call_();
    });
    if (!watched) return watched.error();
    return timer;
}

Timer::~Timer() {
    loop_.forget(timer_.number());
}

void Timer::set(std::chrono::milliseconds after) {
    itimerspec spec{};
    const auto wait = std::max<std::chrono::milliseconds::rep>(after.count(), 1);  // zero would disarm it
    spec.it_value.tv_sec = wait / 1000;
    spec.it_value.tv_nsec = (wait % 1000) * 1'000'000;
    ::timerfd_settime(timer_.number(), 0, &spec, nullptr);
}

void Timer::set_at(std::chrono::system_clock::time_point time) {
    const auto since_epoch = time.time_since_epoch();
    const auto seconds = std::chrono::floor<std::chrono::seconds>(since_epoch);
    itimerspec spec{};
    spec.it_value.tv_sec = std::max<time_t>(seconds.count(), 0);
    spec.it_value.tv_nsec = std::chrono::duration_cast<std::chrono::nanoseconds>(since_epoch - seconds).count();
    if (spec.it_value.tv_sec == 0) spec.it_value.tv_nsec = std::max(spec.it_value.tv_nsec, 1L);
    ::timerfd_settime(timer_.number(), TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &spec, nullptr);
}

void Timer::clear() {
    const itimerspec spec{};
    ::timerfd_settime(timer_.number(), 0, &spec, nullptr);
}

}  // namespace sekisho::control
