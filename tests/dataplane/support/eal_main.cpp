// Catch2's main around DPDK, in a translation unit of its own. Tests that ran whole must have met every drop reason.
#define CATCH_CONFIG_RUNNER
#include <iostream>

#include <catch2/catch.hpp>

#include "tests/dataplane/support/eal.hpp"
#include "tests/dataplane/support/test_hub.hpp"
#include "tests/support/skip.hpp"

namespace {

// No good engine fails: tests/crypto/ has one that does.
bool is_of_no_path(sekisho::DropReason reason) {
    return reason == sekisho::DropReason::engine_failed;
}

// 0 when every reason was provoked, in a run of all tests.
int check_reasons() {
    int missing = 0;
    for (std::size_t i = 0; i < sekisho::kDropReasonCount; ++i) {
        const auto reason = static_cast<sekisho::DropReason>(i);
        if (is_of_no_path(reason) || sekisho::test::provoked_reasons().contains(reason)) continue;
        std::cerr << "no test provoked the drop reason " << sekisho::kDropReasons[i].name << "\n";
        missing = 1;
    }
    return missing;
}

}  // namespace

int main(int argc, char** argv) {
    Catch::Session session;
    if (const int wrong = session.applyCommandLine(argc, argv); wrong != 0) return wrong;
    const auto& wanted = session.configData();
    if (wanted.listTests || wanted.listTags || wanted.listTestNamesOnly || wanted.listReporters) return session.run();
    static const sekisho::test::Eal eal("sk-path-test");  // ended also where libFuzzer calls exit()
    if (!eal.why_not().empty()) {
        std::cerr << "SKIPPED: " << eal.why_not() << "\n";
        return sekisho::test::kSkipped;
    }
    const int failed = session.run();
    if (failed != 0 || !wanted.testsOrTags.empty()) return failed;
    return check_reasons();
}
