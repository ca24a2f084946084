// The lookup cases: full tables beside the peers, 256 tables, 10,000 tables, cost against size.
#include <algorithm>
#include <iterator>

#include "perf/lpm_cases.hpp"
#include "perf/lpm_picture.hpp"

namespace sekisho::perf {

namespace {

constexpr const char* kWholeSpace = "over the address space";

// Compares with the peer's rows: a figure for wrong answers would be worth nothing.
template <class Address>
void check(const lpm::FibView<Address>& view, Peers<Address>& peers, const Stream<Address>& stream) {
    constexpr std::size_t kChecked = 65536;
    const std::vector<lpm::Row> theirs = peers.rows(stream, kChecked);
    std::size_t differing = 0;
    for (std::size_t i = 0; i < theirs.size(); ++i) {
        lpm::Row row = 0;
        view.find(lpm::TableId{0}, &stream.keys[i], &row, 1);
        differing += row != theirs[i];
    }
    if (differing != 0) fmt::print("!! {} of {} answers differ from the peer's\n", differing, theirs.size());
}

template <class Address>
void one_table(Report& report, const Options& options, const std::string& name, const Routes<Address>& routes,
               const std::vector<Stream<Address>>& streams, double most_cycles, double most_mebibytes) {
    const lpm::Fib<Address> fib = filled<Address>({routes});
    const lpm::FibView<Address> view = fib.view();
    report.add({name + ": memory", exact_figure(mebibytes(fib.memory())), "MiB", "", 0, most_mebibytes});
    std::unique_ptr<Peers<Address>> peers;
    if (options.peers) peers = std::make_unique<Peers<Address>>(routes);
    for (const Stream<Address>& stream : streams) {
        std::vector<Subject> subjects = {asking("ours", view, stream, false)};
        if (peers) {
            check(view, *peers, stream);
            for (Subject& subject : peers->subjects(stream)) subjects.push_back(std::move(subject));
        }
        const auto figures = race(subjects, stream.keys.size(), kBatch, options.runs);
        Finding finding{name + ", " + stream.name, figures[0], "cycles/lookup"};
        std::string all;
        for (std::size_t i = 1; i < subjects.size(); ++i) {
            all += fmt::format("{} {} {:.2f}", i == 1 ? "" : ",", subjects[i].name, figures[i].median);
            if (i > 1 && figures[i].median >= finding.peer_value) continue;
            finding.peer = subjects[i].name;
            finding.peer_value = figures[i].median;
        }
        if (stream.name == "1 M addresses") finding.goal = most_cycles;
        // Whatever the peers take: no slower than the best of them, and twice as fast where everything is asked for.
        if (finding.goal && !finding.peer.empty()) finding.goal = std::min(*finding.goal, finding.peer_value);
        if (stream.name == kWholeSpace && !finding.peer.empty()) finding.goal = finding.peer_value / 2;
        report.add(finding);
        if (!all.empty()) fmt::print("  peers:{}\n", all);
    }
}

template <class Address>
std::vector<Stream<Address>> streams_of(const std::vector<Routes<Address>>& tables, Random& random) {
    std::vector<Stream<Address>> streams;
    streams.push_back(draw("64 k addresses", tables, 65536, kMany, random));
    streams.push_back(draw("1 M addresses", tables, kMany, 2 * kMany, random));
    streams.push_back(draw("8 M fresh addresses", tables, 0, 8 * kMany, random));
    return streams;
}

template <class Address>
void with_rows(Report& report, const Options& options, const std::string& family, Routes<Address> routes,
               const double (&cycles)[2], const double (&mebibytes)[2]) {
    Random random(1);
    auto streams = streams_of<Address>({routes}, random);
    if constexpr (Address::kBits == 32) streams.push_back(draw_space(kWholeSpace, routes, 4 * kMany, random));
    Routes<Address> few = routes;
    number_rows(few, 1000);
    one_table(report, options, family + " full table", few, streams, cycles[0], mebibytes[0]);
    number_rows(routes, 0);
    one_table(report, options, family + " full table, all rows different", routes, streams, cycles[1], mebibytes[1]);
    if constexpr (Address::kBits == 32) {
        add_nested(few, 60'000, random);
        number_rows(few, 1000);
        streams = streams_of<Address>({few}, random);
        one_table(report, options, family + " full table with 60 k nested", few, streams, cycles[0], mebibytes[0]);
    }
}

// A full table and 255 more whose sizes fall off as 1/k, a million routes in all, drawn from the full one.
std::vector<Routes4> falling_tables(const Routes4& full, std::uint32_t rows) {
    Random random(2);
    std::vector<Routes4> tables = {full};
    double harmonic = 0;
    for (int k = 1; k < 256; ++k) harmonic += 1.0 / k;
    Routes4 shuffled = full;
    for (int k = 1; k < 256; ++k) {
        const auto size = static_cast<std::size_t>((1e6 - static_cast<double>(full.size())) / (harmonic * k));
        for (std::size_t i = 0; i < size; ++i) std::swap(shuffled[i], shuffled[i + random() % (shuffled.size() - i)]);
        tables.emplace_back(shuffled.begin(), shuffled.begin() + static_cast<std::ptrdiff_t>(size));
        for (auto& route : tables.back()) route.row = static_cast<lpm::Row>(random() >> 40);
    }
    for (auto& table : tables) number_rows(table, rows);
    return tables;
}

}  // namespace

void full_tables(Report& report, const Options& options, const Routes4& full4, const Routes6& full6) {
    with_rows<Ipv4Address>(report, options, "IPv4", full4, {6, 8}, {8, 12});
    with_rows<Ipv6Address>(report, options, "IPv6", full6, {18, 20}, {4, 6});
}

void many_tables(Report& report, const Options& options, const Routes4& full4) {
    for (const bool different : {false, true}) {
        const std::string name = different ? "256 tables, 1 M routes, all rows different" : "256 tables, 1 M routes";
        const std::vector<Routes4> tables = falling_tables(full4, different ? 0 : 1000);
        const lpm::Fib4 fib = filled<Ipv4Address>(tables);
        const lpm::FibView4 view = fib.view();
        report.add({name + ": memory", exact_figure(mebibytes(fib.memory())), "MiB", "", 0, different ? 24.0 : 16.0});
        Random random(3);
        for (const auto& stream : streams_of<Ipv4Address>(tables, random)) {
            const auto figures = race({asking("ours", view, stream, true)}, stream.keys.size(), kBatch, options.runs);
            Finding finding{name + ", " + stream.name, figures[0], "cycles/lookup"};
            if (stream.name == "1 M addresses") finding.goal = different ? 15 : 13;
            report.add(finding);
        }
    }
}

void small_tables(Report& report, const Options& options, const Routes4& full4) {
    Random random(4);
    std::vector<Routes4> tables(10'000);
    for (Routes4& table : tables) {
        std::vector<std::size_t> chosen;
        while (table.size() < 50) {
            const std::size_t one = random() % full4.size();
            if (std::find(chosen.begin(), chosen.end(), one) != chosen.end()) continue;
            chosen.push_back(one);
            table.push_back({full4[one].prefix, static_cast<lpm::Row>(random() % 1000)});
        }
    }
    const lpm::Fib4 fib = filled<Ipv4Address>(tables);
    const lpm::FibView4 view = fib.view();
    report.add({"10,000 tables of 50 routes: memory", exact_figure(mebibytes(fib.memory())), "MiB", "", 0, 32.0});
    const auto stream = draw<Ipv4Address>("1 M addresses", tables, kMany, 2 * kMany, random);
    const auto figures = race({asking("ours", view, stream, true)}, stream.keys.size(), kBatch, options.runs);
    report.add({"10,000 tables of 50 routes, 1 M addresses", figures[0], "cycles/lookup"});
}

void sizes(Report& report, const Options& options) {
    std::vector<SizePoint> points;
    const auto measure = [&]<class Address>(const std::string& family, std::size_t size, const Address&) {
        Random random(size);
        Routes<Address> routes = random_routes<Address>(size, random);
        number_rows(routes, 1000);
        const lpm::Fib<Address> fib = filled<Address>({routes});
        const lpm::FibView<Address> view = fib.view();
        const auto stream = draw<Address>("1 M addresses", {routes}, kMany, kMany, random);
        std::vector<Subject> subjects = {asking("ours", view, stream, false)};
        std::unique_ptr<Peers<Address>> peers;
        if (options.peers) peers = std::make_unique<Peers<Address>>(routes);
        if (peers) std::ranges::move(peers->subjects(stream), std::back_inserter(subjects));
        const auto figures = race(subjects, stream.keys.size(), kBatch, options.runs);
        const std::string name = fmt::format("{} random routes: {}", family, size);
        Finding finding{name, figures[0], "cycles/lookup"};
        for (std::size_t i = 1; i < subjects.size(); ++i) {
            if (!finding.peer.empty() && figures[i].median >= finding.peer_value) continue;
            finding.peer = subjects[i].name;
            finding.peer_value = figures[i].median;
        }
        report.add(finding);
        report.add({name + ", memory", exact_figure(mebibytes(fib.memory())), "MiB"});
        const auto routes_of = static_cast<double>(size);
        points.push_back({family, routes_of, figures[0].median, mebibytes(fib.memory())});
        if (!finding.peer.empty())
            points.push_back(
                {family + ", the best peer", routes_of, finding.peer_value, Peers<Address>::kLeastMebibytes});
    };
    for (const std::size_t size : {10U, 100U, 1000U, 10'000U, 100'000U, 1'000'000U})
        measure("IPv4", size, Ipv4Address());
    for (const std::size_t size : {10U, 100U, 1000U, 10'000U, 100'000U, 500'000U}) measure("IPv6", size, Ipv6Address());
    print_bars(points);
    if (!options.picture.empty() && !write_picture(points, options.picture))
        fmt::print("!! {} cannot be written\n", options.picture);
}

}  // namespace sekisho::perf
