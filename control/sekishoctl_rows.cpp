// rows: what the lookup tables hold, one page at a time.
#include <fmt/format.h>

#include "control/sekishoctl.hpp"
#include "control/text_table.hpp"

namespace sekisho::control::cli {

using nlohmann::json;

namespace {

std::string owner_of(const json& item) {
    return item.value("port_block", false) ? "(port block)" : word(item, "institution");
}

}  // namespace

int rows(const Options& options, const json& question) {
    Daemon daemon(options);
    const auto page = daemon.call("show.rows", question);
    if (!page) return daemon.exit_code();
    if (options.json) {
        print(*page);
        return kOk;
    }
    const std::string table_name = question.value("table", "");
    TextTable table({{"PREFIX"},
                     {"ROW", TextTable::Align::right},
                     {"OPERATOR"},
                     {"INSTITUTION"},
                     {"OTHER SIDE"},
                     {"WAY"},
                     {"ATTACHMENT"},
                     {"GATEWAY"}});
    for (const json& item : page->at("items"))
        table.add({word(item, "prefix"), word(item, "row"),
                   table_name == "hub" ? word(item, "operator") : question.value("operator", ""),
                   table_name == "where" ? "-" : owner_of(item), word(item, "other_side"), word(item, "way"),
                   word(item, "attachment"), word(item, "gateway")});
    fmt::print("{}", table.text());
    const json next = page->value("next", json());
    if (next.is_string())
        fmt::print("{} of {} rows; the next come with --after {}\n", page->at("items").size(), word(*page, "size"),
                   next.get<std::string>());
    return kOk;
}

}  // namespace sekisho::control::cli
