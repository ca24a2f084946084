// The control socket's method about the rows of the lookup tables, answered by the compiler thread.
#include "control/place.hpp"
#include "control/service.hpp"

namespace sekisho::control {

using nlohmann::json;

namespace {

constexpr std::uint64_t kPageOfRows = 1000;

json word_or_null(const std::string& text) {
    return text.empty() ? json() : json(text);
}

Result answer_of(const TableRows& rows) {
    json items = json::array();
    for (const TableRow& row : rows.rows)
        items.push_back({{"prefix", row.prefix.text()},
                         {"row", row.number},
                         {"operator", word_or_null(row.operator_id)},
                         {"institution", word_or_null(row.institution)},
                         {"other_side", row.other_side ? json(row.other_side->text()) : json()},
                         {"port_block", row.port_block},
                         {"way", word_or_null(row.way)},
                         {"attachment", word_or_null(row.attachment)},
                         {"gateway", row.gateway ? json(row.gateway->text()) : json()}});
    return json{{"generation", rows.generation},
                {"size", rows.size},
                {"next", rows.more ? json(rows.rows.back().prefix.text()) : json()},
                {"items", std::move(items)}};
}

// A prefix of the family, which the first of them decides.
std::optional<IpPrefix> prefix_in(Params& params, const char* name, std::optional<Family>& family) {
    const auto text = params.text(name);
    if (!text) return std::nullopt;
    const auto prefix = IpPrefix::parse(*text);
    if (!prefix) {
        params.refuse(name, in_quotes(*text) + ": " + prefix.error().words);
        return std::nullopt;
    }
    if (family && prefix->family() != *family) params.refuse(name, prefix->text() + " is of the other family");
    family = prefix->family();
    return *prefix;
}

}  // namespace

void Service::show_rows(Call call) {
    Params& params = call.params;
    RowQuestion question;
    const std::string table = params.required_text("table");
    if (table == "who")
        question.table = RowQuestion::Table::who;
    else if (table == "where")
        question.table = RowQuestion::Table::where;
    else if (table != "hub")
        params.refuse("table", "\"who\", \"hub\" or \"where\" is expected");
    question.operator_id = params.text("operator").value_or("");
    if (question.operator_id.empty() != (table == "hub"))
        params.refuse("operator", table == "hub" ? "the hub's table is nobody's" : "is missing: whose table");
    std::optional<Family> family;
    if (const auto told = params.text("family")) {
        if (*told != "ipv4" && *told != "ipv6") params.refuse("family", "\"ipv4\" or \"ipv6\" is expected");
        family = *told == "ipv6" ? Family::ipv6 : Family::ipv4;
    }
    question.exact = prefix_in(params, "prefix", family);
    question.after = prefix_in(params, "after", family);
    question.family = family.value_or(Family::ipv4);
    question.limit = params.number("limit", kPageOfRows, kPageOfRows);
    if (question.limit == 0) params.refuse("limit", "must be at least 1");
    if (auto error = params.error()) return answer(call.client, call.id, *error);
    generations_.rows(std::move(question), later<Outcome<TableRows>>(call, answer_of));
}

}  // namespace sekisho::control
