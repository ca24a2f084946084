// Fuzzed: policy documents, from their text to the tables of a generation. A document that is read is printed as one
// that is equal to it; one that validates compiles, or is refused with words.
#include <chrono>
#include <cstdlib>

#include "control/compile.hpp"
#include "control/document.hpp"
#include "control/validate.hpp"
#include "tests/fuzz/target.hpp"

using namespace sekisho;
using namespace sekisho::control;

int fuzz_one(const std::uint8_t* data, std::size_t size) {
    const auto now = std::chrono::system_clock::time_point(std::chrono::seconds(1'775'000'000));
    std::vector<Error> errors;
    const auto document = Document::parse({reinterpret_cast<const char*>(data), size}, errors);
    if (document.has_value() != errors.empty()) std::abort();
    if (!document) return 0;
    const auto again = Document::parse(document->text());
    if (!again || !(*again == *document)) std::abort();
    const Policy policy = policy_of(*document);
    (void)warnings(policy, now);
    if (!validate(policy).empty()) return 0;
    Compiler compiler({[](std::string_view) { return std::optional(PortId(0)); }, 1});
    const auto compiled = compiler.compile(policy, 1, now);
    if (!compiled && compiled.error().words.empty()) std::abort();
    return 0;
}
