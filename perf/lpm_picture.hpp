// The picture of lpm_bench: what a lookup costs, and what a table takes, by its size; as text and as SVG.
#pragma once

#include <string>
#include <vector>

namespace sekisho::perf {

// One table of random routes.
struct SizePoint {
    std::string subject;  // points of one subject are a line
    double routes = 0;
    double cycles = 0;     // a lookup; 0: not measured
    double mebibytes = 0;  // 0: not known
};

// A bar a point: one # a cycle, and one + for each doubling of memory from a kibibyte on.
void print_bars(const std::vector<SizePoint>& points);

// Two panels side by side, both axes of both by powers. False where the file cannot be written.
bool write_picture(const std::vector<SizePoint>& points, const std::string& path);

}  // namespace sekisho::perf
