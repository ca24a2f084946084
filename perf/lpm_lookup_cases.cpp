// The lookup cases: full tables beside the peers, 256 tables, 10,000 tables, cost against size.
#include <algorithm>
#include <iterator>

#include "perf/lpm_cases.hpp"
#include "perf/lpm_check.hpp"
#include "perf/lpm_picture.hpp"

namespace sekisho::perf {

namespace {

constexpr const char* kWholeSpace = "over the address space";
constexpr std::size_t kNested = 60'000;

// Every lookup that is timed over the stream, ours first, against the right rows.
template <class Address>
void check(Bench& bench, const std::string& name, const std::vector<Lookups>& asked,
           const Reference<Address>& reference, const Stream<Address>& stream) {
    constexpr std::size_t kChecked = 65536;
    const std::vector<lpm::Row> right = reference.rows(stream, kChecked);
    for (const Lookups& one : asked) {
        const std::size_t wrong = wrong_answers(one, right);
        if (wrong == 0) continue;
        bench.fault(fmt::format("{}, {}: {} of {} answers of {} are wrong", name, stream.name, wrong, right.size(),
                                one.subject.name));
    }
}

// `before`: what the process had in memory before the Fib was.
template <class Address>
void report_memory(Bench& bench, const std::string& name, const lpm::Fib<Address>& fib, double before, double most) {
    bench.report.add({name + ": memory", exact_figure(mebibytes(fib.memory())), "MiB", "", 0, most});
    bench.report.add({name + ": memory, with all bookkeeping", exact_figure(resident_mebibytes() - before), "MiB"});
}

// The best of the peers, if there are any, as the finding's.
void compare(Finding& finding, const std::vector<Lookups>& asked, const std::vector<Figure>& figures) {
    for (std::size_t i = 1; i < asked.size(); ++i) {
        if (i > 1 && figures[i].median >= finding.peer_value) continue;
        finding.peer = asked[i].subject.name;
        finding.peer_value = figures[i].median;
    }
}

template <class Address>
void one_table(Bench& bench, const std::string& name, const Routes<Address>& routes,
               const std::vector<Stream<Address>>& streams, double most_cycles, double most_mebibytes) {
    const double before = resident_mebibytes();
    const lpm::Fib<Address> fib = filled<Address>({routes});
    report_memory(bench, name, fib, before, most_mebibytes);
    const lpm::FibView<Address> view = fib.view();
    const Reference<Address> reference({routes});
    std::unique_ptr<Peers<Address>> peers;
    if (bench.options.peers) peers = std::make_unique<Peers<Address>>(routes);
    for (const Stream<Address>& stream : streams) {
        std::vector<Lookups> asked = {asking(view, stream, false)};
        if (peers) std::ranges::move(peers->lookups(stream), std::back_inserter(asked));
        check(bench, name, asked, reference, stream);
        const auto figures = race(subjects_of(asked), stream.keys.size(), kBatch, bench.options.runs);
        Finding finding{name + ", " + stream.name, figures[0], "cycles/lookup"};
        compare(finding, asked, figures);
        if (stream.name == "1 M addresses") finding.goal = most_cycles;
        // Whatever the peers take: no slower than the best of them, and twice as fast where everything is asked for.
        if (finding.goal && !finding.peer.empty()) finding.goal = std::min(*finding.goal, finding.peer_value);
        if (stream.name == kWholeSpace && !finding.peer.empty()) finding.goal = finding.peer_value / 2;
        bench.report.add(finding);
        std::string all;
        for (std::size_t i = 1; i < asked.size(); ++i)
            all += fmt::format("{} {} {:.2f}", i == 1 ? "" : ",", asked[i].subject.name, figures[i].median);
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
void with_rows(Bench& bench, const std::string& family, Routes<Address> routes, const double (&cycles)[2],
               const double (&mebibytes)[2]) {
    if (routes.empty()) return;
    Random random(1);
    auto streams = streams_of<Address>({routes}, random);
    if constexpr (Address::kBits == 32) streams.push_back(draw_space(kWholeSpace, routes, 4 * kMany, random));
    Routes<Address> few = routes;
    number_rows(few, 1000);
    one_table(bench, family + " full table", few, streams, cycles[0], mebibytes[0]);
    number_rows(routes, 0);
    one_table(bench, family + " full table, all rows different", routes, streams, cycles[1], mebibytes[1]);
    if constexpr (Address::kBits == 32) {
        add_nested(few, kNested, random);
        if (few.size() < routes.size() + kNested) {
            fmt::print("60 k nested routes do not fit among these: left out\n");
            return;
        }
        number_rows(few, 1000);
        streams = streams_of<Address>({few}, random);
        one_table(bench, family + " full table with 60 k nested", few, streams, cycles[0], mebibytes[0]);
    }
}

// Of 256 tables of a million routes in all, of which the first has `full`, the others' sizes fall off as 1/k.
std::size_t falling_size(std::size_t full, int k) {
    double harmonic = 0;
    for (int i = 1; i < 256; ++i) harmonic += 1.0 / i;
    return full >= 1'000'000 ? 0 : static_cast<std::size_t>((1e6 - static_cast<double>(full)) / (harmonic * k));
}

// The full table and 255 more, drawn from it.
std::vector<Routes4> falling_tables(const Routes4& full, std::uint32_t rows) {
    Random random(2);
    std::vector<Routes4> tables = {full};
    Routes4 shuffled = full;
    for (int k = 1; k < 256; ++k) {
        const std::size_t size = falling_size(full.size(), k);
        for (std::size_t i = 0; i < size; ++i) std::swap(shuffled[i], shuffled[i + random() % (shuffled.size() - i)]);
        tables.emplace_back(shuffled.begin(), shuffled.begin() + static_cast<std::ptrdiff_t>(size));
        for (auto& route : tables.back()) route.row = static_cast<lpm::Row>(random() >> 40);
    }
    for (auto& table : tables) number_rows(table, rows);
    return tables;
}

}  // namespace

void full_tables(Bench& bench, const FullTables& full) {
    with_rows<Ipv4Address>(bench, "IPv4", full.ipv4, {6, 8}, {8, 12});
    with_rows<Ipv6Address>(bench, "IPv6", full.ipv6, {18, 20}, {4, 6});
}

void many_tables(Bench& bench, const FullTables& full) {
    if (full.ipv4.empty()) return;
    if (falling_size(full.ipv4.size(), 1) > full.ipv4.size() || falling_size(full.ipv4.size(), 255) == 0) {
        fmt::print("256 tables of 1 M routes in all take a table of 141,000 to 998,000 IPv4 routes: left out\n");
        return;
    }
    for (const bool different : {false, true}) {
        const std::string name = different ? "256 tables, 1 M routes, all rows different" : "256 tables, 1 M routes";
        const std::vector<Routes4> tables = falling_tables(full.ipv4, different ? 0 : 1000);
        const double before = resident_mebibytes();
        const lpm::Fib4 fib = filled<Ipv4Address>(tables);
        report_memory(bench, name, fib, before, different ? 24.0 : 16.0);
        const lpm::FibView4 view = fib.view();
        const Reference<Ipv4Address> reference(tables);
        Random random(3);
        for (const auto& stream : streams_of<Ipv4Address>(tables, random)) {
            const std::vector<Lookups> asked = {asking(view, stream, true)};
            check(bench, name, asked, reference, stream);
            const auto figures = race(subjects_of(asked), stream.keys.size(), kBatch, bench.options.runs);
            Finding finding{name + ", " + stream.name, figures[0], "cycles/lookup"};
            if (stream.name == "1 M addresses") finding.goal = different ? 15 : 13;
            bench.report.add(finding);
        }
    }
}

void small_tables(Bench& bench, const FullTables& full) {
    const Routes4& full4 = full.ipv4;
    if (full4.empty()) return;
    if (full4.size() < 50) {
        fmt::print("10,000 tables of 50 routes take a table of 50 IPv4 routes: left out\n");
        return;
    }
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
    const std::string name = "10,000 tables of 50 routes";
    const double before = resident_mebibytes();
    const lpm::Fib4 fib = filled<Ipv4Address>(tables);
    report_memory(bench, name, fib, before, 32.0);
    const lpm::FibView4 view = fib.view();
    const auto stream = draw<Ipv4Address>("1 M addresses", tables, kMany, 2 * kMany, random);
    const std::vector<Lookups> asked = {asking(view, stream, true)};
    check(bench, name, asked, Reference<Ipv4Address>(tables), stream);
    const auto figures = race(subjects_of(asked), stream.keys.size(), kBatch, bench.options.runs);
    bench.report.add({name + ", " + stream.name, figures[0], "cycles/lookup"});
}

void sizes(Bench& bench) {
    std::vector<SizePoint> points;
    const auto measure = [&]<class Address>(const std::string& family, std::size_t size, const Address&) {
        Random random(size);
        Routes<Address> routes = random_routes<Address>(size, random);
        number_rows(routes, 1000);
        const lpm::Fib<Address> fib = filled<Address>({routes});
        const lpm::FibView<Address> view = fib.view();
        const auto stream = draw<Address>("1 M addresses", {routes}, kMany, kMany, random);
        std::vector<Lookups> asked = {asking(view, stream, false)};
        std::unique_ptr<Peers<Address>> peers;
        if (bench.options.peers) peers = std::make_unique<Peers<Address>>(routes);
        if (peers) std::ranges::move(peers->lookups(stream), std::back_inserter(asked));
        const std::string name = fmt::format("{} random routes: {}", family, size);
        check(bench, name, asked, Reference<Address>({routes}), stream);
        const auto figures = race(subjects_of(asked), stream.keys.size(), kBatch, bench.options.runs);
        Finding finding{name, figures[0], "cycles/lookup"};
        compare(finding, asked, figures);
        bench.report.add(finding);
        bench.report.add({name + ", memory", exact_figure(mebibytes(fib.memory())), "MiB"});
        const auto routes_of = static_cast<double>(size);
        points.push_back({family, routes_of, figures[0].median, mebibytes(fib.memory())});
        for (const Lookups& one : asked)
            if (one.subject.name == finding.peer)
                points.push_back({family + ", the best peer", routes_of, finding.peer_value, one.mebibytes});
    };
    for (const std::size_t size : {10U, 100U, 1000U, 10'000U, 100'000U, 1'000'000U})
        measure("IPv4", size, Ipv4Address());
    for (const std::size_t size : {10U, 100U, 1000U, 10'000U, 100'000U, 500'000U}) measure("IPv6", size, Ipv6Address());
    print_bars(points);
    const std::string& picture = bench.options.picture;
    if (!picture.empty() && !write_picture(points, picture)) bench.fault(picture + " cannot be written");
}

}  // namespace sekisho::perf
