// Bars and lines: see lpm_picture.hpp.
#include "perf/lpm_picture.hpp"

#include <algorithm>
#include <cmath>
#include <fstream>

#include <fmt/format.h>

namespace sekisho::perf {

namespace {

constexpr double kPanelWidth = 360;
constexpr double kPanelHeight = 300;
constexpr double kMargin = 56;
constexpr const char* kColours[] = {"#1f77b4", "#d62728", "#7f7f7f", "#bcbd22"};

// An axis by powers of `base`, from the one at or below the least value to the one at or above the most.
struct Axis {
    double base;
    double from;  // exponents
    double to;
    double length;

    double at(double value) const { return (std::log(value) / std::log(base) - from) / (to - from) * length; }
};

Axis axis(double base, const std::vector<double>& values, double length) {
    const auto [least, most] = std::minmax_element(values.begin(), values.end());
    const double from = std::floor(std::log(*least) / std::log(base) + 1e-9);
    const double to = std::ceil(std::log(*most) / std::log(base) - 1e-9);
    return {base, from, std::max(to, from + 1), length};
}

std::string label(double value) {
    if (value >= 1e6) return fmt::format("{:g} M", value / 1e6);
    if (value >= 1e4) return fmt::format("{:g} k", value / 1e3);
    return fmt::format("{:g}", value);
}

std::string text(double x, double y, const char* anchor, const std::string& words) {
    return fmt::format("<text x=\"{:.0f}\" y=\"{:.0f}\" text-anchor=\"{}\">{}</text>\n", x, y, anchor, words);
}

std::vector<std::string> subjects_of(const std::vector<SizePoint>& points) {
    std::vector<std::string> subjects;
    for (const SizePoint& point : points)
        if (std::find(subjects.begin(), subjects.end(), point.subject) == subjects.end())
            subjects.push_back(point.subject);
    return subjects;
}

// One panel whose upper left corner is at `left`, with a line for each subject over what `value_of` gives.
std::string panel(const std::vector<SizePoint>& points, double left, const std::string& title,
                  double (*value_of)(const SizePoint&), double base) {
    std::vector<double> routes;
    std::vector<double> values;
    for (const SizePoint& point : points) {
        routes.push_back(point.routes);
        if (value_of(point) > 0) values.push_back(value_of(point));
    }
    const Axis across = axis(10, routes, kPanelWidth);
    const Axis up = axis(base, values, kPanelHeight);
    const double x0 = left + kMargin;
    const double y0 = kMargin + kPanelHeight;
    std::string svg = text(x0 + kPanelWidth / 2, kMargin - 16, "middle", title);
    for (double power = across.from; power <= across.to; ++power) {
        const double x = x0 + across.at(std::pow(10, power));
        svg += fmt::format("<path class=\"grid\" d=\"M{:.1f} {:.1f}v-{}\"/>\n", x, y0, kPanelHeight);
        svg += text(x, y0 + 18, "middle", label(std::pow(10, power)));
    }
    for (double power = up.from; power <= up.to; ++power) {
        const double y = y0 - up.at(std::pow(base, power));
        svg += fmt::format("<path class=\"grid\" d=\"M{:.1f} {:.1f}h{}\"/>\n", x0, y, kPanelWidth);
        svg += text(x0 - 6, y + 4, "end", label(std::pow(base, power)));
    }
    const auto subjects = subjects_of(points);
    for (std::size_t s = 0; s < subjects.size(); ++s) {
        std::string line;
        for (const SizePoint& point : points) {
            if (point.subject != subjects[s] || value_of(point) <= 0) continue;
            line += fmt::format("{}{:.1f} {:.1f}", line.empty() ? "M" : "L", x0 + across.at(point.routes),
                                y0 - up.at(value_of(point)));
        }
        const char* const colour = kColours[s % std::size(kColours)];
        if (!line.empty()) svg += fmt::format("<path class=\"line\" stroke=\"{}\" d=\"{}\"/>\n", colour, line);
    }
    return svg + text(x0 + kPanelWidth / 2, y0 + 38, "middle", "routes");
}

}  // namespace

void print_bars(const std::vector<SizePoint>& points) {
    fmt::print("\nlookup cost (one # a TSC cycle) and memory (one + a doubling from 1 KiB on) against table size\n");
    for (const SizePoint& point : points) {
        const auto cycles = static_cast<std::size_t>(std::lround(point.cycles));
        const double doublings = point.mebibytes > 0 ? std::log2(point.mebibytes * 1024) : 0;
        const auto memory = static_cast<std::size_t>(std::max(0L, std::lround(doublings)));
        fmt::print("{:<22} {:>9} routes {:>6.1f} {}\n", point.subject, label(point.routes), point.cycles,
                   std::string(cycles, '#'));
        if (point.mebibytes > 0) fmt::print("{:>39} {:>6.2f} MiB {}\n", "", point.mebibytes, std::string(memory, '+'));
    }
}

bool write_picture(const std::vector<SizePoint>& points, const std::string& path) {
    if (points.empty()) return false;
    const double width = 2 * (kPanelWidth + kMargin) + 24;
    const auto subjects = subjects_of(points);
    std::ofstream file(path);
    file << fmt::format(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {:.0f} {:.0f}\" font-size=\"12\" "
        "font-family=\"sans-serif\">\n",
        width, kPanelHeight + 2 * kMargin + 24);
    file << "<style>.grid{stroke:#ddd}.line{fill:none;stroke-width:2}</style>\n"
         << "<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n";
    file << panel(
        points, 0, "TSC cycles a lookup", [](const SizePoint& point) { return point.cycles; }, 2);
    file << panel(
        points, kPanelWidth + kMargin, "MiB", [](const SizePoint& point) { return point.mebibytes; }, 10);
    for (std::size_t s = 0; s < subjects.size(); ++s) {
        const double x = kMargin + 180 * static_cast<double>(s);
        const double y = kPanelHeight + 2 * kMargin + 8;
        file << fmt::format("<path class=\"line\" stroke=\"{}\" d=\"M{:.0f} {:.0f}h24\"/>\n",
                            kColours[s % std::size(kColours)], x, y - 4);
        file << text(x + 30, y, "start", subjects[s]);
    }
    file << "</svg>\n";
    return file.good();
}

}  // namespace sekisho::perf
