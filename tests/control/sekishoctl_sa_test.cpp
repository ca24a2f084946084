// sekishoctl sa, ledger and what they show: the command line over a hub with a tunnel.
#include <map>
#include <sstream>

#include "tests/control/program_support.hpp"
#include "tests/control/sas_support.hpp"
#include "tests/control/sas_traffic.hpp"

using namespace sekisho;
using namespace sekisho::control;
using namespace sekisho::control::test;
using Catch::Matchers::Contains;
using nlohmann::json;

namespace {

Ran ctl(const SaHub& hub, std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"--socket", hub.hub.socket()});
    return run(path_from("SEKISHOCTL"), arguments);
}

}  // namespace

TEST_CASE("sekishoctl: SAs are installed from a file, shown, rekeyed, switched and removed", "[control][sekishoctl]") {
    SaHub hub;
    const std::string first = hub.directory / "first.json", second = hub.directory / "second.json";
    write_file(first, json{{"sas", {hub.pair(4096)}}}.dump(2));
    write_file(second, json{{"sas", {hub.pair(5000)}}}.dump(2));
    const Ran installed = ctl(hub, {"sa", "install", first});
    CHECK(installed.out == "1 inbound and 1 outbound SAs are in use\n");
    CHECK(installed.exit_code == 0);
    const Ran shown = ctl(hub, {"show", "sa", "--tunnel", "kita-esp"});
    CHECK_THAT(shown.out, Contains("0x00001000  open"));
    CHECK_THAT(shown.out, Contains("0x00001001  current"));
    CHECK_THAT(ctl(hub, {"show", "tunnels"}).out, Contains("0x00001001"));
    CHECK_THAT(ctl(hub, {"show", "attachments"}).out, Contains("tunnel kita-esp"));
    CHECK(ctl(hub, {"sa", "rekey", second}).exit_code == 0);
    CHECK_THAT(ctl(hub, {"show", "sa"}).out, Contains("0x00001389  waiting"));
    CHECK(ctl(hub, {"sa", "switch", "kita-esp", "--outbound", "5001"}).exit_code == 0);
    CHECK(ctl(hub, {"sa", "remove", "kita-esp", "--inbound", "4096"}).out == "1 SAs are removed\n");
    CHECK(hub.states() == "inbound 5000 open, outbound 5001 current");
    CHECK(ctl(hub, {"sa", "remove", "kita-esp"}).out == "2 SAs are removed\n");
    CHECK(json::parse(ctl(hub, {"--json", "show", "sa"}).out)["items"].empty());
    CHECK_THAT(ctl(hub, {"ledger", "show"}).out, Contains("stands: true"));
    CHECK_THAT(ctl(hub, {"show", "compliance"}).out, Contains("manual_keys: local_ledger"));
}

TEST_CASE("sekishoctl: show sa says what was refused of each SA, by reason, in its last column",
          "[control][sekishoctl]") {
    SaHub hub;
    const json pair = hub.pair(4096);
    hub.asker.result("sa.install", {{"sas", {pair}}});
    // By SPI: what stands under the title, to the end of the line.
    const auto failures = [&hub] {
        std::map<std::string, std::string> cells;
        std::istringstream table(ctl(hub, {"show", "sa"}).out);
        std::string titles, line;
        std::getline(table, titles);
        const std::size_t column = titles.find("FAILURES"), spi_end = titles.find("SPI") + 3;  // aligned right
        REQUIRE(titles.ends_with("  FAILURES"));
        while (std::getline(table, line)) {
            REQUIRE(line.size() > column);
            CHECK(line.substr(column - 2, 2) == "  ");
            cells[line.substr(spi_end - 10, 10)] = line.substr(column);
        }
        return cells;
    };
    using Cells = std::map<std::string, std::string>;
    CHECK(failures() == Cells{{"0x00001000", "-"}, {"0x00001001", "-"}});
    SaTraffic traffic(hub, pair);
    be_attacked(traffic);
    CHECK(failures() ==
          Cells{{"0x00001000", "icv_wrong 1, replay_duplicate 2, selector_mismatch 3"}, {"0x00001001", "-"}});
    CHECK(traffic.seal(1, SaTraffic::leaving(), 4) == Fates{"no_room"});
    CHECK(failures()["0x00001001"] == "no_room 1");
}

TEST_CASE("sekishoctl: what cannot be installed is refused without a word of the keys", "[control][sekishoctl]") {
    SaHub hub;
    const std::string file = hub.directory / "sas.json";
    json one = hub.pair(4096);
    one["inbound"]["spi"] = 7;
    write_file(file, json{{"sas", {one}}}.dump());
    const Ran refused = ctl(hub, {"sa", "install", file});
    CHECK(refused.exit_code == 1);
    CHECK_THAT(refused.err, Contains("inbound SPI 7: 0 to 255 are reserved"));
    write_file(file, R"({"sas": [{"key": ")" + key_text(1) + "\"");
    const Ran broken = ctl(hub, {"sa", "install", file});
    CHECK(broken.exit_code == 1);
    for (const Ran& ran : {refused, broken})
        CHECK((ran.out + ran.err).find(key_text(1).substr(0, 8)) == std::string::npos);
    CHECK(ctl(hub, {"sa", "install", hub.directory / "none"}).exit_code == 1);
    CHECK(ctl(hub, {"sa", "install"}).exit_code == 2);
    CHECK(ctl(hub, {"show", "ports", "--tunnel", "x"}).exit_code == 2);
    CHECK(ctl(hub, {"sa", "switch", "kita-esp"}).exit_code == 1);
    CHECK(ctl(hub, {"ledger", "new"}).exit_code == 1);  // it stands
}
