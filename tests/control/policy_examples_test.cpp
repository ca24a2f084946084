// Every example in docs/examples/ is a document that the node takes.
#include <algorithm>
#include <filesystem>

#include <catch2/catch.hpp>

#include "control/diff.hpp"
#include "tests/control/policy_draft.hpp"

using namespace sekisho;
using namespace sekisho::control;
using nlohmann::json;

TEST_CASE("examples: every one of them is read and validated", "[control]") {
    std::size_t count = 0;
    for (const auto& entry : std::filesystem::directory_iterator(SEKISHO_EXAMPLES)) {
        INFO(entry.path().filename());
        std::vector<Error> errors;
        const auto document = Document::parse(file_text(entry.path()), errors);
        for (const Error& error : errors) FAIL_CHECK(error.words);
        REQUIRE(document);
        for (const Error& error : validate(policy_of(*document))) FAIL_CHECK(error.words);
        ++count;
    }
    CHECK(count >= 2);
}

TEST_CASE("examples: what docs/policy.md shows is in the worked examples, word for word", "[control]") {
    const std::string page = file_text(SEKISHO_EXAMPLES "/../policy.md");
    const json example = Draft().json();
    const json tunnels = Draft("protected.json").json();
    const json shared = Draft("port-block.json").json();
    const json planned = Draft("one-line-ipv4.json").json();
    const std::string fence = "```json\n";
    std::size_t blocks = 0;
    for (std::size_t at = page.find(fence); at != std::string::npos; at = page.find(fence, at + 1), ++blocks) {
        const std::size_t start = at + fence.size();
        const std::string block = page.substr(start, page.find("```", start) - start);
        INFO(block);
        if (block.starts_with("\"hub\"")) {
            CHECK(json::parse("{" + block + "}")["hub"] == example["hub"]);
            continue;
        }
        const json object = json::parse(block);
        bool shown = false;
        for (const json& whole : {example, tunnels, shared, planned})
            for (const auto& kind : whole)
                shown = shown || (kind.is_array() && std::find(kind.begin(), kind.end(), object) != kind.end());
        CHECK(shown);
    }
    CHECK(blocks == kKinds.size() + 3);  // attachments three times, translations twice
}
