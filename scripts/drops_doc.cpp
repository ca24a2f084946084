// Prints docs/drops.md from the drop table; built and run by scripts/generate-drops-doc.
#include <cstdlib>
#include <iostream>

#include "net/drop_reason.hpp"

int main() {
    std::cout << "# Drop reasons\n\n"
                 "<!-- Made by scripts/generate-drops-doc from net/drop_reason.hpp; change it there. -->\n\n"
                 "Every packet that the hub does not send on is counted under exactly one of these reasons, in the "
                 "order in which\nthe path asks. *Rule* is what the reason enforces: a clause of the connection "
                 "rules, a section of an RFC, or the\nhub's own order (\"hub\").\n\n"
                 "| reason | the packet is dropped because | rule |\n|---|---|---|\n";
    for (const sekisho::DropReasonText& row : sekisho::kDropReasons)
        std::cout << "| `" << row.name << "` | " << row.sentence << " | " << row.rule << " |\n";
    return std::cout ? EXIT_SUCCESS : EXIT_FAILURE;
}
