// What a benchmark found: one row a figure, printed as a table and, with --json, written as an array of objects.
#pragma once

#include <cmath>
#include <cstdio>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "perf/measure.hpp"

namespace sekisho::perf {

struct Finding {
    std::string name;
    Figure value;
    std::string unit;
    std::string peer = {};  // the best of the peers, empty where there is none
    double peer_value = 0;
    std::optional<double> goal = {};  // at most this; at least, for rates
    bool at_least = false;

    double ratio() const { return peer.empty() || value.median == 0 ? 0 : peer_value / value.median; }
    bool met() const { return !goal || (at_least ? value.median >= *goal : value.median <= *goal); }
};

class Report {
  public:
    explicit Report(std::string bench) : bench_(std::move(bench)) {}

    void add(Finding finding) {
        if (findings_.empty())
            fmt::print("{:<56} {:>10} {:<14} {:>7} {:>10} {:<5} {}\n", "case", "value", "unit", "spread", "goal", "met",
                       "best peer (how many times ours)");
        const std::string goal =
            finding.goal ? fmt::format("{} {:g}", finding.at_least ? ">=" : "<=", *finding.goal) : "";
        fmt::print("{:<56} {:>10.2f} {:<14} {:>6.0f}% {:>10} {:<5}", finding.name, finding.value.median, finding.unit,
                   finding.value.spread * 100, goal, finding.goal ? (finding.met() ? "yes" : "NO") : "");
        if (!finding.peer.empty()) fmt::print(" {:.2f} {} ({:.2f})", finding.peer_value, finding.peer, finding.ratio());
        fmt::print("\n");
        std::fflush(stdout);
        findings_.push_back(std::move(finding));
    }

    const std::vector<Finding>& findings() const noexcept { return findings_; }

    bool write(const std::string& path) const {
        nlohmann::json all = nlohmann::json::array();
        for (const Finding& finding : findings_) {
            nlohmann::json row = {{"bench", bench_},
                                  {"case", finding.name},
                                  {"value", finding.value.median},
                                  {"unit", finding.unit},
                                  {"peer", nullptr},
                                  {"peer_value", nullptr},
                                  {"ratio", nullptr},
                                  {"goal", nullptr},
                                  {"met", finding.met()},
                                  {"runs", finding.value.runs},
                                  {"spread", finding.value.spread}};
            if (!finding.peer.empty()) {
                row["peer"] = finding.peer;
                row["peer_value"] = finding.peer_value;
                row["ratio"] = finding.ratio();
            }
            if (finding.goal) row["goal"] = *finding.goal;
            all.push_back(std::move(row));
        }
        std::ofstream file(path);
        file << all.dump(2) << "\n";
        return file.good();
    }

  private:
    std::string bench_;
    std::vector<Finding> findings_;
};

}  // namespace sekisho::perf
