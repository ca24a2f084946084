// who: whose a hub-space address and port are, or were.
#include <fmt/format.h>

#include "control/sekishoctl.hpp"
#include "control/text_table.hpp"

namespace sekisho::control::cli {

using nlohmann::json;

namespace {

std::string links_text(const json& item) {
    std::string text;
    for (const json& link : item.value("links", json::array())) {
        std::string attachments;
        for (const json& attachment : link.value("attachments", json::array()))
            attachments += (attachments.empty() ? " by " : ",") + attachment.get<std::string>();
        text += (text.empty() ? "" : "; ") + link.value("method", "") + attachments;
    }
    return text.empty() ? "-" : text;
}

}  // namespace

int who(const Options& options, const json& question) {
    Daemon daemon(options);
    const auto result = daemon.call("who", question);
    if (!result) return daemon.exit_code();
    const json& items = result->at("items");
    if (options.json) {
        print(*result);
    } else if (!items.empty()) {
        TextTable table({{"INSTITUTION"}, {"OPERATOR"}, {"HOST"}, {"BY"}, {"TRANSLATION"}, {"SINCE"}, {"LINKS"}});
        for (const json& item : items)
            table.add({word(item, "institution"), word(item, "operator"), word(item, "host"), word(item, "by"),
                       word(item, "translation"), word(item, item.contains("opened") ? "opened" : "since"),
                       links_text(item)});
        fmt::print("{}", table.text());
    }
    if (!items.empty()) return kOk;
    if (!options.json) fmt::print(stderr, "nobody\n");
    return kRefused;
}

}  // namespace sekisho::control::cli
