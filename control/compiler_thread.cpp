#include "control/compiler_thread.hpp"

#include <pthread.h>

namespace sekisho::control {

CompilerThread::CompilerThread(EventLoop& loop, const char* name) : loop_(loop), thread_([this] { run(); }) {
    ::pthread_setname_np(thread_.native_handle(), name);
}

CompilerThread::~CompilerThread() {
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
        waiting_.clear();
    }
    changed_.notify_one();
    thread_.join();
}

void CompilerThread::submit(Work work) {
    {
        const std::lock_guard lock(mutex_);
        if (stopping_) return;
        waiting_.push_back(std::move(work));
    }
    changed_.notify_one();
}

void CompilerThread::run() {
    for (;;) {
        Work work;
        {
            std::unique_lock lock(mutex_);
            changed_.wait(lock, [this] { return stopping_ || !waiting_.empty(); });
            if (stopping_) return;
            work = std::move(waiting_.front());
            waiting_.pop_front();
        }
        After after = work();
        work = nullptr;  // what it held may be large: freed here, not on the control thread
        if (!after) continue;
        loop_.post([alive = std::weak_ptr(alive_), after = std::move(after)] {
            if (!alive.expired()) after();
        });
    }
}

}  // namespace sekisho::control
