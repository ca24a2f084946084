// Catch2's main around DPDK, in a translation unit of its own.
#define CATCH_CONFIG_RUNNER
#include <iostream>

#include <catch2/catch.hpp>

#include "tests/dataplane/support/eal.hpp"

int main(int argc, char** argv) {
    Catch::Session session;
    if (const int wrong = session.applyCommandLine(argc, argv); wrong != 0) return wrong;
    const auto& wanted = session.configData();
    if (wanted.listTests || wanted.listTags || wanted.listTestNamesOnly || wanted.listReporters) return session.run();
    const sekisho::test::Eal eal("sekisho-path-test");
    if (!eal.why_not().empty()) {
        std::cerr << "SKIPPED: " << eal.why_not() << "\n";
        return 77;
    }
    return session.run();
}
