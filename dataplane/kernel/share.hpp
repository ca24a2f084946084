// What workers and the thread that serves the kernel's TAPs share: a ring from each worker, and one to the keeper.
//
// Part of the Team: made before any of these threads starts, freed after all have ended.
#pragma once

#include <memory>
#include <vector>

#include "dataplane/kernel/frame_ring.hpp"

namespace sekisho::dataplane {

class KernelShare {
  public:
    explicit KernelShare(std::size_t workers) {
        for (std::size_t i = 0; i < workers; ++i) to_kernel_.push_back(std::make_unique<FrameRing>());
    }

    std::size_t workers() const noexcept { return to_kernel_.size(); }
    // The worker puts, the TAPs' thread takes.
    FrameRing& from(WorkerId worker) noexcept { return *to_kernel_[worker.index()]; }
    // The TAPs' thread puts, the keeper takes.
    FrameRing& to_keeper() noexcept { return to_keeper_; }

  private:
    std::vector<std::unique_ptr<FrameRing>> to_kernel_;
    FrameRing to_keeper_;
};

}  // namespace sekisho::dataplane
