// All TAPs of the node, and the thread that carries frames between them and the workers' rings.
//
// The thread looks at the rings a thousand times a second while there is a TAP, so that no worker ever makes a system
// call for a packet; with none it sleeps. A TAP that cannot be made, because its namespace is not there yet, say, is
// tried again every second, and one whose namespace goes away is made anew when that is back: forwarding never waits
// for any of it.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "dataplane/kernel/share.hpp"
#include "dataplane/kernel/tap.hpp"
#include "dataplane/tables.hpp"
#include "net/file_descriptor.hpp"

namespace sekisho::dataplane {

struct TapInfo {  // for `show taps`
    TapSpec spec;
    bool open = false;
    std::string words;              // why it is not open
    std::uint64_t to_kernel = 0;    // frames that the interface took, copies of what the hub took itself included
    std::uint64_t not_taken = 0;    // frames that it did not take: it was down, or not there
    std::uint64_t from_kernel = 0;  // frames
};

class Taps {
  public:
    // `share` outlives this. `namespaces`: the directory that names network namespaces.
    explicit Taps(KernelShare& share, std::string namespaces = "/run/netns");
    ~Taps();  // ends the thread and all TAPs
    Taps(const Taps&) = delete;
    Taps& operator=(const Taps&) = delete;

    // Control: these are to be there, and no others. Waits for nothing.
    void want(const std::vector<TapSpec>& specs);
    // Control: by TapId. Their counts are some milliseconds old.
    std::vector<TapInfo> info() const;

  private:
    struct Slot {
        TapInfo info;
        std::optional<Tap> tap;
    };

    void run();
    void adopt();     // what was wanted since
    void tend();      // makes what is missing, ends what is lost
    bool carry_to();  // from the rings; true if there was anything
    void carry_from(TapId id);
    void open(Slot& slot);
    void close(Slot& slot, std::string words);
    void tell(std::chrono::steady_clock::time_point now);  // info_, for control, if it is time and there is news
    void wake() noexcept;

    KernelShare& share_;
    const std::string namespaces_;
    FileDescriptor epoll_;
    FileDescriptor wake_;

    mutable std::mutex mutex_;  // guards what follows
    std::vector<TapSpec> wanted_;
    bool changed_ = false;
    bool stop_ = false;
    std::vector<TapInfo> info_;

    // The thread's own.
    std::map<TapId, Slot> slots_;
    std::array<std::uint8_t, FrameRing::kLongest> room_;
    std::chrono::steady_clock::time_point next_tend_, next_tell_;
    bool news_ = false;
    std::thread thread_;  // begins with the first TAP that is wanted
};

}  // namespace sekisho::dataplane
