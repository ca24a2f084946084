// A large document through sekishoctl into sekishod: what both need of memory, and that the hub stays reachable
// meanwhile.
//
// The bounds are those of docs/control-socket.md. The long run is the same with three hundred megabytes.
#include <catch2/catch.hpp>
#include <fmt/format.h>

#include "tests/control/hub_support.hpp"
#include "tests/control/program_support.hpp"

using namespace sekisho::control::test;
using nlohmann::json;

namespace {

// One operator, and so many institutions of 1.3 kB of JSON each. Its size in bytes.
std::uint64_t write_document(const std::string& file, int institutions) {
    const std::string record(200, 'r');
    std::ofstream stream(file, std::ios::binary);
    json head = a_document({"kita"});
    head["hub"]["pools"] = {"11.0.0.0/8"};
    head["translations"] = {{{"id", "map"},
                             {"operator", "kita"},
                             {"kind", "prefix_map"},
                             {"operator_prefix", "10.0.0.0/8"},
                             {"hub_prefix", "11.0.0.0/8"}}};
    head["attachments"] = {{{"id", "kita-1"},
                            {"operator", "kita"},
                            {"port", "port0"},
                            {"method", "leased_line"},
                            {"protection", "none"},
                            {"session_management", "none"},
                            {"family", "ipv4"},
                            {"mac", "02:00:00:00:00:01"},
                            {"ipv4", "192.0.2.1/30"},
                            {"demarcation", "x"}}};
    head["routes"] = {{{"operator", "kita"},
                       {"prefix", "10.0.0.0/8"},
                       {"nexthops", {{{"attachment", "kita-1"}, {"gateway", "192.0.2.2"}}}}}};
    const std::string text = head.dump();
    stream << text.substr(0, text.size() - 1) << ",\"institutions\":[";
    for (int i = 0; i < institutions; ++i)
        stream
            << (i == 0 ? "\n" : ",\n")
            << fmt::format(
                   R"({{"id":"i{}","operator":"kita","kind":"pharmacy","certificate":"{}","application":"{}",)"
                   R"("prefixes":["11.{}.{}.{}/28"],"links":[{{"method":"ip_vpn","access_line_operator":"{}","cpe":"{}",)"
                   R"("demarcation":"{}","attachments":["kita-1"]}}]}})",
                   i, record, record, i >> 12, i >> 4 & 255, (i & 15) << 4, record, record, record);
    stream << "\n]}\n";
    return static_cast<std::uint64_t>(stream.tellp());
}

json memory_of(const std::vector<std::string>& socket) {
    std::vector<std::string> arguments = socket;
    arguments.insert(arguments.end(), {"--json", "show", "generation"});
    const Ran shown = run(path_from("SEKISHOCTL"), arguments);
    REQUIRE(shown.exit_code == 0);
    return json::parse(shown.out)["memory"];
}

void apply_one_of(int institutions) {
    constexpr std::uint64_t kMegabyte = 1'000'000;
    TemporaryDirectory directory;
    const std::string file = directory / "large.json";
    const std::uint64_t bytes = write_document(file, institutions);
    const std::string prefix = "sk-large-" + std::to_string(::getpid());
    const std::vector<std::string> socket = {"--socket", directory / "s"};
    Program sekishod(path_from("SEKISHOD"),
                     {"--socket", directory / "s", "--state-dir", directory / "state", "--file-prefix", prefix,
                      "--no-huge", "--memory", "128", "--buffers", "4096", "--port", "port0=net_null0"});
    REQUIRE(run(path_from("SEKISHOCTL"), {"--socket", directory / "s", "wait-ready", "--timeout", "60"}).exit_code ==
            0);
    const auto before = memory_of(socket)["resident_bytes"].get<std::uint64_t>();

    Program applies(path_from("SEKISHOCTL"), {"--socket", directory / "s", "apply", file});
    RawClient beside(directory / "s");
    int versions = 0;
    while (!applies.has_ended()) {  // the hub answers whatever it is told meanwhile
        beside.write(R"({"jsonrpc":"2.0","id":1,"method":"version"})"
                     "\n");
        REQUIRE(beside.read_line(std::chrono::seconds(5)));
        ++versions;
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    CHECK(versions > 3);
    INFO(applies.err());
    REQUIRE(applies.wait() == 0);
    const json memory = memory_of(socket);
    const auto most = memory["most_resident_bytes"].get<std::uint64_t>() - before;
    CHECK(applies.most_resident() < 32 * kMegabyte);
    CHECK(most < 8 * bytes + 64 * kMegabyte);
    WARN("document " << bytes / kMegabyte << " MB; sekishoctl " << applies.most_resident() / kMegabyte
                     << " MB; sekishod grew by " << most / kMegabyte << " MB at most");
    sekishod.signal(SIGTERM);
    CHECK(sekishod.wait() == 0);
}

}  // namespace

TEST_CASE("large document: applied in batches within the stated memory, and others are answered meanwhile",
          "[control][large]") {
    apply_one_of(32'000);
}

TEST_CASE("large document: three hundred megabytes are applied within the stated memory", "[.][large_long]") {
    apply_one_of(240'000);
}
