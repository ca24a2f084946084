// Numbers that stay with their names, and ports cut into classes.
#include <set>

#include <catch2/catch.hpp>

#include "control/numbering.hpp"
#include "control/port_classes.hpp"

using namespace sekisho;
using namespace sekisho::control;
using dataplane::PortClass;

namespace {

// The numbers of these names, made the last generation.
std::vector<std::uint32_t> adopt(Numbering& numbering, std::vector<std::string_view> names) {
    const std::size_t size = names.size();
    const auto plan = numbering.plan(std::move(names));
    REQUIRE(plan);
    numbering.adopt(*plan);
    std::vector<std::uint32_t> numbers;
    for (std::size_t i = 0; i < size; ++i) numbers.push_back((*plan)[i]);
    return numbers;
}

using Numbers32 = std::vector<std::uint32_t>;

}  // namespace

TEST_CASE("numbering: a name keeps its number whatever comes and goes around it", "[compile]") {
    Numbering numbering("operator", 100);
    CHECK(adopt(numbering, {"b", "d"}) == Numbers32{0, 1});
    CHECK(adopt(numbering, {"a", "b", "c", "d"}) == Numbers32{2, 0, 3, 1});
    CHECK(adopt(numbering, {"d"}) == Numbers32{1});
    CHECK(adopt(numbering, {"d", "e"}) == Numbers32{1, 4});
}

TEST_CASE("numbering: a name that returns has its old number", "[compile]") {
    Numbering numbering("operator", 100);
    adopt(numbering, {"a", "b"});
    adopt(numbering, {"b"});
    CHECK(adopt(numbering, {"0", "a", "b"}) == Numbers32{2, 0, 1});
}

TEST_CASE("numbering: past the limit the number that has been free longest is given again", "[compile]") {
    Numbering numbering("operator", 3);
    adopt(numbering, {"a", "b", "c"});
    adopt(numbering, {"a", "c"});
    adopt(numbering, {"a"});
    CHECK(adopt(numbering, {"a", "x"}) == Numbers32{0, 1});
    CHECK(adopt(numbering, {"a", "b", "x"}) == Numbers32{0, 2, 1});  // "b" has lost its own
    adopt(numbering, {"a"});
    CHECK(adopt(numbering, {"a", "c", "x"}) == Numbers32{0, 2, 1});
}

TEST_CASE("numbering: a number is not given again in the generation that frees it", "[compile]") {
    Numbering numbering("operator", 2);
    adopt(numbering, {"a", "b"});
    const auto plan = numbering.plan({"a", "c"});
    REQUIRE_FALSE(plan);
    CHECK(plan.error().code == ErrorCode::limit);
    CHECK(plan.error().words ==
          "operator \"c\": all 2 numbers are taken; those of the operators that this generation removes are free in "
          "the next one");
    adopt(numbering, {"a"});
    CHECK(adopt(numbering, {"a", "c"}) == Numbers32{0, 1});
}

TEST_CASE("numbering: a plan that is not adopted changes nothing", "[compile]") {
    Numbering numbering("operator", 100);
    adopt(numbering, {"b"});
    REQUIRE(numbering.plan({"a", "b"}));
    CHECK(adopt(numbering, {"b", "z"}) == Numbers32{0, 1});
    const auto same = numbering.plan({"b", "z"});
    REQUIRE(same);
    CHECK_FALSE(same->changed());
    CHECK(same->names() == std::vector<std::string>{"b", "z"});
    CHECK(same->number_of("nobody").error().words == "no operator \"nobody\"");
}

TEST_CASE("port classes: ports that no terms tell apart share a class", "[compile]") {
    const std::vector<Terms> terms = {{Protocol::tcp, {{80, 90}, {443, 443}}},
                                      {Protocol::tcp, {{85, 443}}},
                                      {Protocol::udp, {{80, 80}}},
                                      {Protocol::icmp_echo, {}},
                                      {Protocol::any, {}}};
    const auto classes = classify(terms);
    REQUIRE(classes);
    const auto& tcp = classes->tcp;
    CHECK(tcp.of(0) == dataplane::kOtherClass);
    CHECK(tcp.of(444) == dataplane::kOtherClass);
    CHECK(tcp.of(80) == tcp.of(84));
    CHECK(tcp.of(85) == tcp.of(443));  // in both, though 91 to 442 lie between
    CHECK(tcp.of(91) == tcp.of(442));
    CHECK(std::set<PortClass>{0, 1, tcp.of(80), tcp.of(85), tcp.of(91), classes->udp.of(80)}.size() == 6);
    CHECK(classes->udp.of(443) == dataplane::kOtherClass);
    CHECK(classes->count == 6);

    const auto lets = [&](std::size_t which, PortClass port_class) {
        return (classes->sets.at(which).at(0) >> port_class & 1) != 0;
    };
    CHECK(lets(0, tcp.of(80)));
    CHECK(lets(0, tcp.of(443)));
    CHECK_FALSE(lets(0, tcp.of(91)));
    CHECK_FALSE(lets(0, dataplane::kOtherClass));
    CHECK_FALSE(lets(0, classes->udp.of(80)));
    CHECK(classes->sets.at(3).at(0) == std::uint64_t{1} << dataplane::kEchoClass);
    CHECK(classes->sets.at(4).at(0) == 0x3f);
}

TEST_CASE("port classes: terms for all ports leave no port in the other class, and the other class to nobody",
          "[compile]") {
    const std::vector<Terms> terms = {{Protocol::udp, {{0, 65535}}}};
    const auto classes = classify(terms);
    REQUIRE(classes);
    CHECK(classes->udp.of(0) == 2);
    CHECK(classes->udp.of(65535) == 2);
    CHECK(classes->tcp.of(0) == dataplane::kOtherClass);
    CHECK(classes->sets.at(0).at(0) == 4);
}

TEST_CASE("port classes: equal terms are written alike", "[compile]") {
    Agreement agreement;
    agreement.protocol = Protocol::tcp;
    agreement.ports = {{443, 445}, {80, 80}, {446, 446}, {444, 444}};
    const auto terms = terms_of(agreement);
    REQUIRE(terms);
    CHECK(terms->ports == std::vector<PortRange>{{80, 80}, {443, 446}});
}

TEST_CASE("port classes: more than can be numbered are refused", "[compile]") {
    std::vector<Terms> terms;
    for (unsigned port = 0; port < 65536; port += 2)
        for (const Protocol protocol : {Protocol::tcp, Protocol::udp})
            terms.push_back({protocol, {{static_cast<std::uint16_t>(port), static_cast<std::uint16_t>(port)}}});
    const auto classes = classify(terms);
    REQUIRE_FALSE(classes);
    CHECK(classes.error().code == ErrorCode::limit);
    CHECK(classes.error().words == "the agreements tell 65538 classes of ports apart; the limit is 65535");
}
