// Which part of the policy is a node's.
#include "agent/node_share.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

using namespace sekisho;
using namespace sekisho::agent;
using control::Kind;
using nlohmann::json;

namespace {

NodeShares shares_of(const json& nodes) {
    NodeShares shares;
    for (const json& node : nodes) {
        auto read = read_node(node);
        REQUIRE(read);
        shares.put(node["id"], *read);
    }
    return shares;
}
// The complaints as lines.
std::string complaints(const json& nodes, const std::string& name = "hub-1") {
    std::string lines;
    for (const Complaint& one : shares_of(nodes).complaints(
             name, [](const std::string& attachment) { return attachment.rfind("kita", 0) == 0; }))
        lines += one.key + one.words + "\n";
    return lines;
}
// What is left of an object for hub-1, which has kita-1.
json left(Kind kind, json object) {
    const NodeShares shares =
        shares_of({{{"id", "hub-1"}, {"attachments", {"kita-1"}}, {"pools", {"100.64.0.0/20"}}},
                   {{"id", "hub-2"}, {"attachments", {"kita-2"}}, {"pools", {"100.64.16.0/20"}}}});
    return Share(shares, "hub-1").take(kind, object) ? object : json();
}

}  // namespace

TEST_CASE("nodes: what is no node object is refused with the field", "[agent]") {
    const auto why = [](const json& object) {
        const auto read = read_node(object);
        return read ? std::string() : read.error().words;
    };
    CHECK(why({{"id", "a"}, {"attachment", {"x"}}}).find(".attachment:") != std::string::npos);
    CHECK(why({{"id", "a"}, {"attachments", "x"}}).find(".attachments: an array") != std::string::npos);
    CHECK(why({{"id", "a"}, {"attachments", {"x", 7}}}).find(".attachments[1]: text") != std::string::npos);
    CHECK(why({{"id", "a"}, {"pools", {"10.0.0.1/8"}}}).find(".pools[0]:") != std::string::npos);
    CHECK(why({{"id", "a"}}).empty());
}

TEST_CASE("nodes: an attachment or a pool of two nodes is refused, with both", "[agent]") {
    CHECK(complaints({{{"id", "hub-1"}, {"attachments", {"kita-1", "kita-2"}}},
                      {{"id", "hub-2"}, {"attachments", {"kita-3", "kita-1"}}}}) ==
          "nodes/hub-2.attachments[1]: \"kita-1\" is that of nodes \"hub-1\" already\n");
    CHECK(complaints({{{"id", "hub-1"}, {"attachments", {"kita-1", "kita-1"}}}}) ==
          "nodes/hub-1.attachments[1]: \"kita-1\" is that of nodes \"hub-1\" already\n");
    CHECK(complaints({{{"id", "hub-1"}, {"attachments", json::array()}, {"pools", {"100.64.0.0/16"}}},
                      {{"id", "hub-2"}, {"attachments", json::array()}, {"pools", {"100.64.3.0/24"}}}}) ==
          "nodes/hub-2.pools[0]: 100.64.3.0/24 overlaps 100.64.0.0/16 of nodes \"hub-1\"\n");
}

TEST_CASE("nodes: an attachment that is not there, and a node that is not there, are refused", "[agent]") {
    CHECK(complaints({{{"id", "hub-1"}, {"attachments", {"minami-1"}}}}) ==
          "nodes/hub-1.attachments[0]: there is no attachment \"minami-1\"\n");
    CHECK(complaints({{{"id", "hub-1"}}}, "hub-2").find("nodes/hub-2is missing") != std::string::npos);
    CHECK(complaints(json::array()).find("nodes/hub-1is missing") != std::string::npos);
}

TEST_CASE("nodes: only a node that is alone may have all attachments", "[agent]") {
    CHECK(complaints({{{"id", "hub-1"}}}).empty());
    CHECK(complaints({{{"id", "hub-1"}}, {{"id", "hub-2"}, {"attachments", {"kita-2"}}}})
              .find("nodes/hub-1.attachments: is missing") != std::string::npos);
}

TEST_CASE("nodes: a node without a list has everything as it is", "[agent]") {
    const Share share(shares_of({{{"id", "hub-1"}}}), "hub-1");
    CHECK(share.is_everything());
    json route = {{"nexthops", {{{"attachment", "kita-2"}, {"backup", true}}}}};
    const json before = route;
    CHECK(share.take(Kind::routes, route));
    CHECK(route == before);
}

TEST_CASE("nodes: another node's attachments are left out, with what is only theirs", "[agent]") {
    CHECK(left(Kind::attachments, {{"id", "kita-2"}}).is_null());
    CHECK(left(Kind::attachments, {{"id", "kita-1"}}) == json{{"id", "kita-1"}});
    CHECK(left(Kind::tunnels, {{"id", "t"}, {"underlay", "kita-2"}}).is_null());
    CHECK_FALSE(left(Kind::tunnels, {{"id", "t"}, {"underlay", "kita-1"}}).is_null());
    CHECK(left(Kind::gates, {{"target", "attachment"}, {"target_id", "kita-2"}}).is_null());
    CHECK_FALSE(left(Kind::gates, {{"target", "institution"}, {"target_id", "kita-2"}}).is_null());
    CHECK(left(Kind::routes, {{"nexthops", {{{"attachment", "kita-2"}}}}}).is_null());
    CHECK_FALSE(left(Kind::routes, {{"blackhole", true}}).is_null());
}

TEST_CASE("nodes: of an institution's lines those of the node stay, and the institution in any case", "[agent]") {
    const json institution =
        left(Kind::institutions, {{"links", {{{"attachments", {"kita-2", "kita-1"}}}, {{"attachments", {"kita-2"}}}}}});
    CHECK(institution == json{{"links", {{{"attachments", {"kita-1"}}}, {{"attachments", json::array()}}}}});
}

TEST_CASE("nodes: of a route's ways those of the node stay, and one that stood by is then used", "[agent]") {
    const json way1 = {{"attachment", "kita-1"}, {"backup", true}, {"weight", 2}}, way2 = {{"attachment", "kita-2"}};
    CHECK(left(Kind::routes, {{"nexthops", {way1, way2}}}) ==
          json{{"nexthops", json::array({{{"attachment", "kita-1"}, {"weight", 2}}})}});
}

TEST_CASE("nodes: port blocks in another node's pool are left out, other translations are common", "[agent]") {
    const auto translation = [](const char* kind, const char* prefix) {
        return json{{"kind", kind}, {"hub_prefix", prefix}};
    };
    CHECK(left(Kind::translations, translation("port_block", "100.64.16.0/24")).is_null());
    CHECK_FALSE(left(Kind::translations, translation("port_block", "100.64.0.0/24")).is_null());
    CHECK_FALSE(left(Kind::translations, translation("prefix_map", "100.64.16.0/24")).is_null());
}

TEST_CASE("nodes: objects of wrong types are left to the daemon to refuse", "[agent]") {
    CHECK(left(Kind::institutions, {{"links", 7}}) == json{{"links", 7}});
    CHECK(left(Kind::institutions, {{"links", {7}}}) == json{{"links", {7}}});
    CHECK(left(Kind::routes, {{"nexthops", {7}}}) == json{{"nexthops", {7}}});
    CHECK(left(Kind::attachments, {{"id", 7}}) == json{{"id", 7}});
}
