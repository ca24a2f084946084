// The thread beside the control thread, for what takes long: applying batches, validating, compiling, saving.
//
// Work is done in the order given. Each piece returns what is to be done with its outcome, and that runs on the event
// loop's thread: so the control thread alone changes what it shows, and neither waits for the other.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "control/event_loop.hpp"

namespace sekisho::control {

class CompilerThread {
  public:
    using After = std::function<void()>;  // runs on the loop's thread; may be empty
    using Work = std::function<After()>;  // runs here

    // Made and destroyed on the loop's thread. The name is what ps and gdb show: 15 characters at most.
    explicit CompilerThread(EventLoop& loop, const char* name = "sk-compiler");
    CompilerThread(const CompilerThread&) = delete;
    CompilerThread& operator=(const CompilerThread&) = delete;
    ~CompilerThread();  // lets the work in hand finish; what waits is dropped, and no After runs any more

    void submit(Work work);  // safe from any thread

  private:
    void run();

    EventLoop& loop_;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // ends with this object, on the loop's thread
    std::mutex mutex_;                                            // guards what follows
    std::condition_variable changed_;
    std::deque<Work> waiting_;
    bool stopping_ = false;
    std::thread thread_;
};

}  // namespace sekisho::control
