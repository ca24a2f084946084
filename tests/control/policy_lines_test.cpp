// Validation of attachments and routes: each refusal alone, with the objects and fields that its words name.
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "control/validate.hpp"
#include "tests/control/policy_draft.hpp"

using namespace sekisho;
using namespace sekisho::control;
using Catch::Matchers::Contains;
using nlohmann::json;

TEST_CASE("validate: two attachments on one port and VLAN are refused", "[control]") {
    CHECK(Draft().set("/attachments/1/port", "port2").set("/attachments/1/vlan", 7).errors() ==
          Words{"attachments \"minami-1\" .port: port \"port2\" vlan 7 is that of attachments \"chuo-1\" already"});
    CHECK(Draft().set("/attachments/1/port", "port2").errors().empty());
}

TEST_CASE("validate: a MAC address that is the port's own kind, a group's or none is refused", "[control]") {
    CHECK(
        Draft().set("/attachments/0/mac", "00:1b:21:00:00:01").errors() ==
        Words{
            "attachments \"kita-1\" .mac: 00:1b:21:00:00:01 is not locally administered: the first byte must be 02 or "
            "alike"});
    CHECK(Draft().set("/attachments/0/mac", "03:00:00:00:00:01").errors() ==
          Words{"attachments \"kita-1\" .mac: 03:00:00:00:00:01 is a group address"});
    CHECK(Draft().set("/attachments/0/mac", "ff:ff:ff:ff:ff:ff").errors().size() == 1);
    CHECK(Draft().set("/attachments/0/mac", "00:00:00:00:00:00").errors().size() == 1);
}

TEST_CASE("validate: an own address that no station may have is refused", "[control]") {
    const auto error = [](const char* field, const char* address) {
        const Words errors = Draft().set(std::string("/attachments/1/") + field, address).errors();
        return errors.empty() ? "" : errors[0];
    };
    CHECK(error("ipv4", "192.0.2.0/30") ==
          "attachments \"minami-1\" .ipv4: 192.0.2.0 is the network address of "
          "192.0.2.0/30");
    CHECK(error("ipv4", "192.0.2.3/30") ==
          "attachments \"minami-1\" .ipv4: 192.0.2.3 is the broadcast address of "
          "192.0.2.0/30");
    CHECK(error("ipv6", "2001:db8:0:101::/64") ==
          "attachments \"minami-1\" .ipv6: 2001:db8:0:101:: is the subnet-router "
          "anycast address of 2001:db8:0:101::/64");
    CHECK_THAT(error("ipv4", "127.0.0.1/8"), Contains("has loopback addresses"));
    CHECK_THAT(error("ipv4", "224.0.0.5/24"), Contains("has multicast addresses"));
    CHECK_THAT(error("ipv4", "10.0.0.1/0"), Contains("is the whole of the address space"));
    CHECK_THAT(error("ipv6", "fe80::1/64"), Contains("has link-local addresses"));
    CHECK_THAT(error("ipv6", "ff02::1/64"), Contains("has multicast addresses"));
}

TEST_CASE("validate: a kernel interface needs its operator's network namespace, and a name of its own in it",
          "[control]") {
    CHECK(Draft().set("/attachments/0/kernel_interface", "hub0").errors() ==
          Words{"attachments \"kita-1\" .kernel_interface: needs a network_namespace of operator \"kita\""});
    Draft draft;
    draft.set("/operators/0/network_namespace", "routing-kita").set("/operators/1/network_namespace", "routing-minami");
    draft.set("/attachments/0/kernel_interface", "hub0").set("/attachments/1/kernel_interface", "hub0");
    CHECK(draft.errors().empty());
    CHECK(draft.policy().operators.at("kita").network_namespace == "routing-kita");
    CHECK(draft.policy().attachments.at("kita-1").kernel_interface == "hub0");
    for (const char* const name : {"lo", "all", "default"})
        CHECK(Draft(draft).set("/attachments/0/kernel_interface", name).errors() ==
              Words{"attachments \"kita-1\" .kernel_interface: \"" + std::string(name) +
                    "\" is a name that the kernel uses itself"});
    Policy policy = draft.policy();
    Attachment second = policy.attachments.at("kita-1");
    second.id = "kita-2";
    second.vlan = 4000;
    second.subnet4 = Prefix4::parse("198.51.100.0/24").value();
    second.ipv4 = Ipv4Address::parse("198.51.100.1");
    second.subnet6 = Prefix6::parse("2001:db8:0:9999::/64").value();
    second.ipv6 = Ipv6Address::parse("2001:db8:0:9999::1");
    policy.attachments["kita-2"] = second;
    const auto errors = validate(policy);
    REQUIRE(errors.size() == 1);
    CHECK(errors[0].words ==
          "attachments \"kita-2\" .kernel_interface: \"hub0\" is that of attachments \"kita-1\" already");
    // Two operators' routing daemons never meet.
    CHECK(draft.set("/operators/1/network_namespace", "routing-kita").errors() ==
          Words{"operators \"minami\" .network_namespace: \"routing-kita\" is that of operators \"kita\" already"});
    for (const char* const name : {"", "sixteen-letters-", "a/b", ".hidden", "a b"})
        CHECK(Draft(draft).set("/attachments/0/kernel_interface", name).errors().size() == 1);
}

TEST_CASE("validate: an own address outside its subnet is refused", "[control]") {
    Policy policy = Draft().policy();
    policy.attachments.at("kita-1").ipv4 = Ipv4Address::parse("192.0.2.9");
    const auto errors = validate(policy);
    REQUIRE(errors.size() == 1);
    CHECK(errors[0].words == "attachments \"kita-1\" .ipv4: 192.0.2.9 is not inside 192.0.2.0/30");
}

TEST_CASE("validate: both addresses of a subnet of two may be the hub's", "[control]") {
    for (const char* address : {"192.0.2.4/31", "192.0.2.5/31"})
        CHECK(Draft()
                  .set("/attachments/1/ipv4", address)
                  .remove("/routes/2")  // its gateway was on the old subnet
                  .errors()
                  .empty());
}

TEST_CASE("validate: family and addresses must agree", "[control]") {
    CHECK(Draft().remove("/attachments/1/ipv6").errors()[0] ==
          "attachments \"minami-1\" .ipv6: is missing: family dual needs the hub's own address");
    CHECK(Draft().remove("/attachments/1/ipv4").errors()[0] ==
          "attachments \"minami-1\" .ipv4: is missing: family dual needs the hub's own address");
    CHECK(Draft().set("/attachments/1/family", "ipv4").errors()[0] ==
          "attachments \"minami-1\" .ipv6: 2001:db8:0:101::1 is of no use with family ipv4");
}

TEST_CASE("validate: a route of a family that its attachment does not carry is refused", "[control]") {
    const Words errors = Draft().set("/attachments/1/family", "ipv4").remove("/attachments/1/ipv6").errors();
    CHECK(errors ==
          Words{"routes \"minami fd00:0:0:1::/64\" .nexthops[0].attachment: attachment \"minami-1\" has family "
                "ipv4 and cannot carry fd00:0:0:1::/64"});
}

TEST_CASE("validate: a link-local address that is none is refused", "[control]") {
    CHECK(Draft().set("/attachments/2/link_local", "2001:db8::1").errors() ==
          Words{"attachments \"chuo-1\" .link_local: 2001:db8::1 is not inside fe80::/10"});
}

TEST_CASE("validate: the MTU must carry the family", "[control]") {
    CHECK(Draft().set("/attachments/1/mtu", 1279).errors() ==
          Words{"attachments \"minami-1\" .mtu: 1279 is not 1280 to 9000, with family dual"});
    CHECK(Draft().set("/attachments/1/mtu", 1280).errors().empty());
    CHECK(Draft().set("/attachments/1/mtu", 9000).errors().empty());
    Policy policy = Draft().policy();
    policy.attachments.at("kita-1").mtu = 9001;
    CHECK(validate(policy).size() == 1);
}

TEST_CASE("validate: a designated method names its document, and no other has one", "[control]") {
    CHECK(
        Draft().remove("/attachments/2/designation").errors() ==
        Words{"attachments \"chuo-1\" .designation: is missing: the document that designates the method (clause 2-1)"});
    CHECK(Draft().set("/attachments/0/designation", "x").errors() ==
          Words{"attachments \"kita-1\" .designation: only method designated has one (clause 2-1)"});
}

TEST_CASE("validate: subnets of one operator that overlap are refused, and of two are not", "[control]") {
    json second = Draft().at("/attachments/1");
    second["id"] = "minami-2";
    second["vlan"] = 2;
    second["ipv6"] = "2001:db8:0:102::1/64";
    CHECK(Draft().set("/attachments/-", second).errors() ==
          Words{"attachments \"minami-2\" .ipv4: the subnet 192.0.2.0/30 overlaps 192.0.2.0/30 of attachments "
                "\"minami-1\" .ipv4, which has the same operator"});
    second["operator"] = "chuo";
    CHECK(Draft().set("/attachments/-", second).errors().empty());
}

TEST_CASE("validate: a subnet of hub numbers is refused unless its operator has them as they are", "[control]") {
    const Words errors = Draft().set("/attachments/1/ipv4", "100.66.0.1/30").remove("/routes/2").errors();
    REQUIRE(errors.size() == 1);
    CHECK_THAT(errors[0], Contains("attachments \"minami-1\" .ipv4: the subnet 100.66.0.0/30 overlaps the pool "
                                   "100.64.0.0/10 of hub .pools[0]"));
    CHECK(Draft().set("/attachments/2/ipv4", "100.66.0.1/25").remove("/routes/5").errors().empty());
}

TEST_CASE("validate: a gateway off its attachment's subnet is refused", "[control]") {
    CHECK(
        Draft().set("/routes/0/nexthops/0/gateway", "198.51.100.1").errors() ==
        Words{
            "routes \"kita 10.1.0.0/16\" .nexthops[0].gateway: 198.51.100.1 is not inside 192.0.2.0/30, the subnet of "
            "attachment \"kita-1\""});
    CHECK(Draft().set("/routes/4/nexthops/0/gateway", "2001:db8:0:102::2").errors().size() == 1);
}

TEST_CASE("validate: a gateway that is the hub itself, or no station, is refused", "[control]") {
    CHECK(Draft().set("/routes/0/nexthops/0/gateway", "192.0.2.1").errors() ==
          Words{"routes \"kita 10.1.0.0/16\" .nexthops[0].gateway: 192.0.2.1 is the hub's own address on attachment "
                "\"kita-1\""});
    CHECK(
        Draft().set("/routes/0/nexthops/0/gateway", "192.0.2.3").errors() ==
        Words{
            "routes \"kita 10.1.0.0/16\" .nexthops[0].gateway: 192.0.2.3 is the broadcast address of 192.0.2.0/30, the "
            "subnet of attachment \"kita-1\""});
    CHECK(
        Draft().set("/routes/6/nexthops/0/gateway", "fe80::3:1").errors() ==
        Words{
            "routes \"chuo 2001:db8:8003::/48\" .nexthops[0].gateway: fe80::3:1 is the hub's own address on attachment "
            "\"chuo-1\""});
    CHECK(Draft().set("/routes/6/nexthops/0/gateway", "2001:db8:0:107::1").errors().size() == 1);
}

TEST_CASE("validate: a gateway of another family is refused", "[control]") {
    CHECK(Draft().set("/routes/0/nexthops/0/gateway", "fe80::1").errors() ==
          Words{"routes \"kita 10.1.0.0/16\" .nexthops[0].gateway: fe80::1 and 10.1.0.0/16 differ in family"});
}

TEST_CASE("validate: a default route is refused", "[control]") {
    CHECK(Draft().set("/routes/0/prefix", "0.0.0.0/0").errors() ==
          Words{"routes \"kita 0.0.0.0/0\" .prefix: 0.0.0.0/0 is a default route: the hub takes none (clause 2-6)"});
    CHECK(Draft().set("/routes/1/prefix", "::/0").errors().size() == 1);
    CHECK(Draft().set("/routes/1/prefix", "ff00::/8").errors().size() == 1);
}

TEST_CASE("validate: a route for an attachment's own subnet is refused", "[control]") {
    CHECK(
        Draft().set("/routes/0/prefix", "192.0.2.0/30").errors() ==
        Words{"routes \"kita 192.0.2.0/30\" .prefix: 192.0.2.0/30 is the subnet of attachments \"kita-1\", which needs "
              "no route"});
}

TEST_CASE("validate: a route has nexthops or is a blackhole, not both and not neither", "[control]") {
    CHECK(Draft().set("/routes/0/blackhole", true).errors() ==
          Words{"routes \"kita 10.1.0.0/16\" .nexthops: a blackhole has none"});
    CHECK(Draft().remove("/routes/0/nexthops").errors() ==
          Words{"routes \"kita 10.1.0.0/16\" .nexthops: is missing: one, unless blackhole is true"});
}

TEST_CASE("validate: a route without a gateway is on its attachment's own link", "[control]") {
    CHECK(Draft().remove("/routes/0/nexthops/0/gateway").errors().empty());
}
