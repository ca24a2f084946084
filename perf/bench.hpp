// What the benchmarks' programs share: their options, and how they give up.
#pragma once

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>

#include "net/expected.hpp"

namespace sekisho::perf {

struct Options {
    std::string json;
    std::string only;  // one of the cases' names; empty: all
    int runs = 7;

    bool wants(const char* name) const { return only.empty() || only == name; }
};

// [--json FILE] [--runs N] [--only CASE]; ends the program with a usage that names `cases` when there is anything else.
inline Options options_of(int count, char** words, int least_runs, const char* cases) {
    Options options;
    for (int i = 1; i < count; ++i) {
        const bool has_value = i + 1 < count;
        if (std::strcmp(words[i], "--json") == 0 && has_value) {
            options.json = words[++i];
        } else if (std::strcmp(words[i], "--runs") == 0 && has_value) {
            options.runs = std::max(least_runs, std::atoi(words[++i]));
        } else if (std::strcmp(words[i], "--only") == 0 && has_value) {
            options.only = words[++i];
        } else {
            std::fprintf(stderr, "usage: %s [--json FILE] [--runs N] [--only %s]\n", words[0], cases);
            std::exit(2);
        }
    }
    return options;
}

template <class T>
T must(Expected<T> made) {
    if (made) return std::move(*made);
    std::fprintf(stderr, "%s\n", made.error().words.c_str());
    std::exit(1);
}
inline void expect(bool holds, const char* what) {
    if (holds) return;
    std::fprintf(stderr, "not as it should be: %s\n", what);
    std::exit(1);
}

// The program's exit code.
template <class AnyReport>
int written(const AnyReport& report, const Options& options) {
    if (options.json.empty() || report.write(options.json)) return 0;
    std::fprintf(stderr, "%s cannot be written\n", options.json.c_str());
    return 1;
}

}  // namespace sekisho::perf
