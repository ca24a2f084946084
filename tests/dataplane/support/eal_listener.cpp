// DPDK around a run of Catch2's tests. One that ran whole, and passed, must have met every drop reason.
#define CATCH_CONFIG_EXTERNAL_INTERFACES
#include <cstdlib>
#include <iostream>

#include <catch2/catch.hpp>

#include "tests/dataplane/support/eal.hpp"
#include "tests/dataplane/support/test_hub.hpp"
#include "tests/support/skip.hpp"

namespace sekisho::test {
namespace {

// No good engine fails: tests/crypto/ has one that does.
bool is_of_no_path(DropReason reason) {
    return reason == DropReason::engine_failed;
}

bool all_reasons_met() {
    bool all = true;
    for (std::size_t i = 0; i < kDropReasonCount; ++i) {
        const auto reason = static_cast<DropReason>(i);
        if (is_of_no_path(reason) || provoked_reasons().contains(reason)) continue;
        std::cerr << "no test provoked the drop reason " << kDropReasons[i].name << "\n";
        all = false;
    }
    return all;
}

class EalListener : public Catch::TestEventListenerBase {
  public:
    using TestEventListenerBase::TestEventListenerBase;

    void testRunStarting(const Catch::TestRunInfo&) override {
        static const Eal eal("sk-path-test");  // ended also where libFuzzer calls exit()
        if (eal.why_not().empty()) return;
        std::cerr << "SKIPPED: " << eal.why_not() << "\n";
        std::exit(kSkipped);
    }
    void testRunEnded(const Catch::TestRunStats& run) override {
        const bool whole = m_config->getTestsOrTags().empty() && !run.aborting;
        if (whole && run.totals.assertions.allOk() && !all_reasons_met()) std::exit(EXIT_FAILURE);
    }
};
CATCH_REGISTER_LISTENER(EalListener)

}  // namespace
}  // namespace sekisho::test
