// SAs over the control socket: what is refused and with which words, batches, rekeying, removal, and what a commit
// keeps.
#include <map>

#include "tests/control/sas_support.hpp"

using namespace sekisho;
using namespace sekisho::control;
using namespace sekisho::control::test;
using Catch::Matchers::Contains;
using nlohmann::json;

TEST_CASE("SAs: a pair is installed, shown without its keys, and recorded by fingerprint", "[control]") {
    SaHub hub;
    CHECK(hub.asker.result("sa.install", {{"sas", {hub.pair(4096)}}}) == json{{"inbound", 1}, {"outbound", 1}});
    const json items = hub.all();
    REQUIRE(items.size() == 2);
    CHECK(items[0]["direction"] == "inbound");
    CHECK(items[0]["spi"] == 4096);
    CHECK(items[0]["state"] == "open");
    CHECK(items[0]["suite"] == "aes_gcm_256");
    CHECK(items[0]["origin"] == "manual");
    CHECK(items[0]["replay_window"] == 4096);
    CHECK(items[0]["age"] >= 10);
    CHECK(items[0]["hard"]["seconds"] == 86400);
    CHECK(items[0]["left"]["seconds"] <= 86390);
    CHECK(items[1]["direction"] == "outbound");
    CHECK(items[1]["state"] == "current");
    CHECK(items[1]["next_sequence"] == 1);
    CHECK(items[1]["reserved_to"] > 1000);
    const json tunnel = hub.asker.result("show.tunnels")["items"][0];
    CHECK(tunnel["outbound"] == 4097);
    CHECK(tunnel["inbound"] == 1);
    CHECK(tunnel["waiting"] == nullptr);
    CHECK(tunnel["local"] == "192.0.2.1");
    CHECK(tunnel["mtu"] == 1446);
    const json line = hub.hub.audit_lines().back();
    CHECK(line["what"] == "sa.install");
    CHECK_THAT(line["sas"][0].get<std::string>(),
               Contains("kita-esp in 0x00001000 " + items[0]["key"].get<std::string>() + " out 0x00001001 " +
                        items[1]["key"].get<std::string>()));
    for (const std::string& text : {hub.all().dump(), line.dump(), tunnel.dump()})
        for (const std::uint32_t number : {8192U, 8193U})
            CHECK(text.find(key_text(number).substr(0, 8)) == std::string::npos);
}

TEST_CASE("SAs: what cannot be installed is refused with its place and words", "[control]") {
    SaHub hub;
    const auto with = [&](const char* pointer, const json& value) {
        json one = hub.pair(4096);
        one[json::json_pointer(pointer)] = value;
        return hub.refused({one});
    };
    const std::string place = R"(sas[0] tunnel "kita-esp")";
    CHECK(with("/tunnel", "osaka") == R"(sas[0] tunnel "osaka": the running policy has no such tunnel)");
    CHECK(with("/inbound/key", key_text(1, 20)) ==
          place + ": inbound key: 20 bytes; aes_gcm_256 takes 32 and 4 of salt");
    CHECK(with("/outbound/key", key_text(1, 35)) ==
          place + ": outbound key: 35 bytes; aes_gcm_256 takes 32 and 4 of salt");
    CHECK(with("/outbound/key", "zz") == place + " .outbound .key: is not key and salt as pairs of hexadecimal digits");
    CHECK(with("/outbound/key", std::string(72, 'x')) ==
          place + " .outbound .key: is not key and salt as pairs of hexadecimal digits");
    CHECK(with("/outbound/key", 7) == place + " .outbound .key: text is expected");
    CHECK(with("/inbound/spi", 0) == place + ": inbound SPI 0: 0 to 255 are reserved (RFC 4303 section 2.1)");
    CHECK(with("/outbound/spi", 255) == place + ": outbound SPI 255: 0 to 255 are reserved (RFC 4303 section 2.1)");
    CHECK(with("/inbound/spi", 4294967296) == place + " .inbound .spi: a whole number up to 4294967295 is expected");
    CHECK(with("/suite", "rot13") == place + ": there is no suite \"rot13\"");
    CHECK(with("/suite", "aes_gcm_128") == place + ": suite aes_gcm_128: the tunnel has aes_gcm_256");
    CHECK(with("/origin", "ike") == place + ": the origin is not that of the tunnel, whose keys are manual");
    CHECK(with("/created", time_text(seconds_from_now(-86400))).starts_with(place + ": its lifetime is over: 86400 s"));
    CHECK_THAT(with("/created", time_text(seconds_from_now(-2000))), Contains("it is older than the ledger"));
    CHECK_THAT(with("/created", time_text(seconds_from_now(60))), Contains("it was made in the future"));
    CHECK_THAT(with("/created", "yesterday"), Contains(place + " .created: "));
    CHECK(with("/lifetimes", {{"soft", {{"seconds", 90000}}}, {"hard", {{"seconds", 80000}}}}).starts_with(place));
    CHECK(with("/colour", "red") == place + ": \"colour\" is not a field here");
    CHECK(with("/inbound/key", key_text(2 * 4096 + 1)).ends_with("another SA has it: each SA needs one of its own"));
    json none = {{"tunnel", "kita-esp"}};
    CHECK(hub.refused({none}) == place + ": neither inbound nor outbound: one or both are expected");
    CHECK(hub.refused(json::array()) == "sas: an array of one or more is expected");
    json without = hub.pair(4096);
    without.erase("created");
    CHECK(hub.refused({without}) == place + ": created is missing: when the keys were made");
    CHECK(hub.all().empty());
    CHECK(hub.hub.audit_lines().back()["what"] != "sa.install");
}

TEST_CASE("SAs: a batch is installed whole or not at all, also when only the ledger objects", "[control]") {
    SaHub hub(protected_draft(3));
    json last = hub.pair(6000, "kita-esp-2");
    last["created"] = time_text(seconds_from_now(-5000));  // before the ledger
    CHECK(hub.refused({hub.pair(4096), hub.pair(5000, "kita-esp-1"), last})
              .starts_with(R"(sas[2] tunnel "kita-esp-2" outbound: key )"));
    CHECK(hub.all().empty());
    // What the refused batch had taken is free again: SPIs, keys, numbers.
    CHECK(hub.asker.result("sa.install", {{"sas", {hub.pair(4096), hub.pair(5000, "kita-esp-1")}}})["outbound"] == 2);
    CHECK(hub.all().size() == 4);
    // Twice the same SPI, in one batch and against what is there.
    CHECK_THAT(hub.refused({hub.pair(6000, "kita-esp-2"), hub.pair(6000, "kita-esp-2")}),
               Contains("another SA has it"));
    json again = hub.pair(7000, "kita-esp-2");
    again["inbound"]["spi"] = 5000;
    CHECK_THAT(hub.refused({again}), Contains("inbound SPI 0x00001388 is that of tunnel \"kita-esp-1\""));
    CHECK_THAT(hub.refused({hub.pair(7000)}), Contains("it has an outbound SA: sa.rekey and sa.switch"));
    CHECK(hub.all().size() == 4);
}

TEST_CASE("SAs: of requests that come together, one that the ledger refuses stops none of the others", "[control]") {
    constexpr std::uint32_t kTunnels = 24;
    SaHub hub(protected_draft(kTunnels));
    std::map<int, bool> refused;  // by request: the ledger will
    for (std::uint32_t i = 0; i < kTunnels; ++i) {
        json one = hub.pair(4096 + 10 * i, i == 0 ? "kita-esp" : "kita-esp-" + std::to_string(i));
        if (i % 5 == 3) one["created"] = time_text(seconds_from_now(-5000));  // before the ledger
        refused[hub.asker.send("sa.install", {{"sas", {one}}})] = i % 5 == 3;
    }
    for (std::uint32_t i = 0; i < kTunnels; ++i) {
        const json answer = hub.asker.answer();
        CHECK(answer.contains("error") == refused.at(answer["id"]));
        if (answer.contains("error"))
            CHECK_THAT(answer["error"]["message"].get<std::string>(), Contains("it is older than the ledger"));
        refused.erase(answer["id"].get<int>());
    }
    CHECK(refused.empty());
    CHECK(hub.all().size() == 2 * (kTunnels - 5));
    std::size_t lines = 0;
    for (const json& line : hub.hub.audit_lines()) lines += line["what"] == "sa.install";
    CHECK(lines == kTunnels - 5);
}

TEST_CASE("SAs: a rekey opens the new inbound SA, waits with the outbound one, and switches when told to",
          "[control]") {
    SaHub hub;
    hub.asker.result("sa.install", {{"sas", {hub.pair(4096)}}});
    CHECK_THAT(hub.refused({{{"tunnel", "kita-esp"}}}, "sa.switch"), Contains("no outbound SA waits"));
    hub.asker.result("sa.rekey", {{"sas", {hub.pair(5000)}}});
    CHECK(hub.states() == "inbound 4096 open, inbound 5000 open, outbound 4097 current, outbound 5001 waiting");
    CHECK_THAT(hub.refused({hub.pair(6000)}, "sa.rekey"), Contains("an outbound SA waits already"));
    CHECK_THAT(hub.refused({{{"tunnel", "kita-esp"}, {"outbound", 4097}}}, "sa.switch"),
               Contains("what waits is its outbound SA 0x00001389"));
    CHECK(hub.asker.result("sa.switch", {{"sas", {{{"tunnel", "kita-esp"}, {"outbound", 5001}}}}})["switched"] == 1);
    CHECK(hub.states() == "inbound 4096 open, inbound 5000 open, outbound 5001 current");
    CHECK(hub.asker.result("sa.remove", {{"sas", {{{"tunnel", "kita-esp"}, {"inbound", 4096}}}}})["removed"] == 1);
    CHECK(hub.states() == "inbound 5000 open, outbound 5001 current");
    // The old keys may not come back while the ledger knows them as in use; afterwards they start behind their reserve.
    json back = hub.pair(4096);
    back.erase("inbound");
    CHECK(hub.asker.result("sa.rekey", {{"sas", {back}}})["outbound"] == 1);
    const json waiting = hub.all().back();
    CHECK(waiting["state"] == "waiting");
    CHECK(waiting["next_sequence"] > 1000);
}

TEST_CASE("SAs: removal is at once, of one, or of all of a tunnel, and of what is not there refused", "[control]") {
    SaHub hub(protected_draft(2));
    hub.asker.result("sa.install", {{"sas", {hub.pair(4096), hub.pair(5000, "kita-esp-1")}}});
    CHECK_THAT(hub.refused({{{"tunnel", "kita-esp"}}, {{"tunnel", "kita-esp"}, {"inbound", 5000}}}, "sa.remove"),
               Contains(R"(sas[1] tunnel "kita-esp": it has no inbound SA 0x00001388)"));
    CHECK_THAT(hub.refused({{{"tunnel", "kita-esp"}, {"outbound", 4096}}}, "sa.remove"),
               Contains("it has no outbound SA 0x00001000"));
    CHECK(hub.all().size() == 4);
    const json removed = hub.asker.result("sa.remove", {{"sas", {{{"tunnel", "kita-esp"}}}}});
    CHECK(removed == json{{"removed", 2}, {"durable", true}});
    CHECK(hub.states() == "inbound 5000 open, outbound 5001 current");
    CHECK(hub.hub.audit_lines().back()["what"] == "sa.remove");
    CHECK(hub.asker.result("show.sa", {{"tunnel", "kita-esp"}})["items"].empty());
    CHECK(hub.asker.error("show.sa", {{"tunnel", "osaka"}})["data"]["name"] == "not_found");
    CHECK(hub.asker.result("show.sa", {{"limit", 1}})["next"] == "kita-esp");
    CHECK(hub.asker.result("show.sa", {{"after", "kita-esp"}})["items"].size() == 2);
}

TEST_CASE("SAs: a commit keeps those of tunnels that stay as they were agreed upon, and removes the others",
          "[control]") {
    SaHub hub(protected_draft(3));
    const json three = {hub.pair(4096), hub.pair(5000, "kita-esp-1"), hub.pair(6000, "kita-esp-2")};
    hub.asker.result("sa.install", {{"sas", three}});
    Asker listener(hub.hub);
    listener.result("events", {{"kinds", {"sa"}}});
    // Of no matter to any SA.
    hub.commit(protected_draft(3)
                   .set("/agreements/0/ports", {8443})
                   .set("/tunnels/0/marks/dscp", 46)
                   .set("/tunnels/1/replay_window", 64));
    CHECK(hub.all().size() == 6);
    // Another peer for the second; the third is gone.
    hub.commit(protected_draft(2).set("/tunnels/1/peer", "2001:db8:0:101::2"));
    CHECK(hub.states() == "inbound 4096 open, outbound 4097 current");
    std::vector<std::string> events;
    for (int i = 0; i < 4; ++i) {
        const json event = listener.answer()["params"];
        CHECK(event["event"] == "removed");
        events.push_back(event["tunnel"].get<std::string>() + " " + event["direction"].get<std::string>());
    }
    std::sort(events.begin(), events.end());
    CHECK(events == std::vector<std::string>{"kita-esp-1 inbound", "kita-esp-1 outbound", "kita-esp-2 inbound",
                                             "kita-esp-2 outbound"});
    // A new SA of the changed tunnel may have the SPI that is free again.
    json fresh = hub.pair(5000, "kita-esp-1");
    fresh["outbound"]["key"] = key_text(77);
    hub.asker.result("sa.install", {{"sas", {fresh}}});
    CHECK(hub.all().size() == 4);
}

TEST_CASE("SAs: the stricter lifetime counts, and its end is told and logged", "[control]") {
    SaHub hub;
    Asker listener(hub.hub);
    listener.result("events", {{"kinds", {"sa"}}});
    json one = hub.pair(4096);
    one["created"] = time_text(seconds_from_now(-10));
    one["lifetimes"] = {{"soft", {{"seconds", 11}}}, {"hard", {{"seconds", 12}, {"bytes", 99000000000}}}};
    hub.asker.result("sa.install", {{"sas", {one}}});
    const json shown = hub.all()[0];
    CHECK(shown["soft"] == json{{"bytes", 60000000000}, {"seconds", 11}});
    CHECK(shown["hard"] == json{{"bytes", 68000000000}, {"seconds", 12}});
    CHECK(hub.all()[1]["soft"]["seconds"] == 11);
    std::map<std::string, int> told;
    for (int i = 0; i < 4; ++i) ++told[listener.answer()["params"]["event"].get<std::string>()];
    CHECK(told == std::map<std::string, int>{{"soft_time", 2}, {"hard_time", 2}});
    CHECK(hub.states() == "inbound 4096 over, outbound 4097 over");
}

TEST_CASE("SAs: keys of IKE's need no ledger, and manual ones are refused with the reason", "[control]") {
    SaHub hub(protected_draft(2).set("/tunnels/0/keys", "ike"), ManualKeys::refuse, false);
    json ike = hub.pair(4096);
    ike.erase("created");
    ike["origin"] = "ike";
    CHECK(hub.asker.result("sa.install", {{"sas", {ike}}})["outbound"] == 1);
    CHECK(hub.all()[1]["reserved_to"] == hub.all()[1]["last_sequence"].get<std::uint64_t>() + 1);
    CHECK(hub.refused({hub.pair(5000, "kita-esp-1")}) == "this node takes no manual keys (--manual-keys)");
    CHECK(hub.asker.error("ledger.new")["data"]["name"] == "permission");
    const json compliance = hub.asker.result("show.compliance");
    CHECK(compliance["keys"] == json{{"manual", 1}, {"ike", 1}});
    CHECK_THAT(compliance["findings"][0].get<std::string>(), Contains("manual keys are refused"));
}

TEST_CASE("ledger: manual keys are refused until an engineer makes a ledger, which is audited", "[control]") {
    SaHub hub(protected_draft(), ManualKeys::local_ledger, false);
    CHECK(hub.asker.result("show.ledger")["stands"] == false);
    CHECK_THAT(hub.refused({hub.pair(4096)}), Contains("nonce-ledger"));
    Asker listener(hub.hub);
    listener.result("events", {{"kinds", {"ledger"}}});
    const json made = hub.asker.result("ledger.new");
    CHECK(made["stands"] == true);
    CHECK(made["keys"] == 0);
    CHECK(listener.answer()["params"]["stands"] == true);
    CHECK(hub.hub.audit_lines().back()["what"] == "ledger.new");
    CHECK_THAT(hub.refused({hub.pair(4096)}), Contains("it is older than the ledger"));
    CHECK(hub.asker.error("ledger.new")["data"]["name"] == "exists");
    CHECK_THAT(hub.asker.result("show.compliance")["findings"].back().get<std::string>(), Contains("local_ledger"));
}

TEST_CASE("ledger: a witness over the socket is asked, and without its answer no manual key gets numbers",
          "[control]") {
    SaHub hub(protected_draft(), ManualKeys::witness, false);
    CHECK(hub.asker.result("show.ledger")["witness"] == false);
    CHECK_THAT(hub.asker.error("ledger.new")["message"].get<std::string>(), Contains("no witness is connected"));
    Asker agent(hub.hub);
    REQUIRE(agent.result("ledger.witness")["manual_keys"] == "witness");
    CHECK(hub.asker.error("ledger.witness")["data"]["name"] == "exists");
    CHECK(hub.asker.error("ledger.answer", {{"ask", 1}})["data"]["name"] == "not_found");
    std::map<std::string, std::pair<json, json>> epochs;  // with their marks
    std::vector<std::string> asked;
    const auto serve = [&](std::size_t questions) {  // answers as the store would
        while (asked.size() < questions) {
            const json line = agent.answer();
            if (!line.contains("method")) continue;
            REQUIRE(line["method"] == "ledger.question");
            const json& question = line["params"];
            json given = {{"ask", question["ask"]}};
            const std::string ledger = question["ledger"];
            asked.push_back(question["question"]);
            if (asked.back() == "epoch") std::tie(given["epoch"], given["mark"]) = epochs[ledger];
            if (asked.back() == "record") epochs[ledger] = {question["epoch"], question["mark"]};
            agent.send("ledger.answer", given);
        }
    };
    const int making = hub.asker.send("ledger.new");
    serve(4);  // record 1; then it is opened: epoch, record, record
    CHECK(asked == std::vector<std::string>{"record", "epoch", "record", "record"});
    json answer = hub.asker.answer();
    CHECK(answer["id"] == making);
    CHECK(answer["result"]["stands"] == true);
    std::this_thread::sleep_for(std::chrono::milliseconds(1100));
    json one = hub.pair(4096);
    one["created"] = time_text(seconds_from_now(0));
    hub.asker.send("sa.install", {{"sas", {one}}});
    serve(6);
    CHECK(asked[4] == "claim");
    CHECK(asked[5] == "record");
    answer = hub.asker.answer();
    REQUIRE(answer.contains("result"));
    // Another node's key is refused by the witness's own words.
    one = hub.pair(5000);
    one["created"] = time_text(seconds_from_now(0));
    hub.asker.send("sa.rekey", {{"sas", {one}}});
    for (;;) {
        const json line = agent.answer();
        if (!line.contains("method")) continue;
        agent.send("ledger.answer",
                   {{"ask", line["params"]["ask"]}, {"error", "key of another node"}, {"name", "exists"}});
        break;
    }
    answer = hub.asker.answer();
    CHECK(answer["error"]["data"]["name"] == "exists");
    CHECK_THAT(answer["error"]["message"].get<std::string>(), Contains("witness: key of another node"));
    // Gone: refused at once, not after a wait.
    agent.client.vanish();
    REQUIRE(comes_true([&] { return hub.asker.result("show.ledger")["witness"] == false; }));
    CHECK_THAT(hub.refused({one}, "sa.rekey"), Contains("no witness is connected"));
}

TEST_CASE("SAs: hundreds of tunnels are installed in one batch, and each is there", "[control]") {
    constexpr int kTunnels = 300;
    SaHub hub(protected_draft(kTunnels));
    json sas = json::array();
    for (int i = 0; i < kTunnels; ++i)
        sas.push_back(
            hub.pair(10000 + 2 * static_cast<std::uint32_t>(i), i == 0 ? "kita-esp" : fmt::format("kita-esp-{}", i)));
    CHECK(hub.asker.result("sa.install", {{"sas", sas}}) == json{{"inbound", kTunnels}, {"outbound", kTunnels}});
    CHECK(hub.all().size() == 2 * kTunnels);
    CHECK(hub.asker.result("show.ledger")["keys"] == kTunnels);
}

TEST_CASE("SAs: a request that is no JSON is refused without a word of what it holds", "[control]") {
    SaHub hub;
    const std::string key = key_text(1);
    for (const std::string& line : {R"({"jsonrpc":"2.0","id":1,"params":{"key":")" + key + R"("})",
                                    R"({"jsonrpc":"2.0","id":1,"key:")" + key + R"("})", R"("key" ")" + key + "\" x"}) {
        hub.asker.client.write(line + "\n");
        const json answer = hub.asker.answer();
        CHECK(answer.contains("error"));
        CHECK(answer.dump().find(key.substr(0, 10)) == std::string::npos);
    }
}

TEST_CASE("SAs: where the peer of a tunnel in UDP has moved to is told and shown, until it is agreed upon anew",
          "[control][udp]") {
    Draft draft = protected_draft();
    draft.set("/tunnels/0/udp", {{"peer_port", 4501}});
    SaHub hub(draft);
    const auto tunnel = [&] { return hub.asker.result("show.tunnels")["items"][0]; };
    CHECK(tunnel()["peer_now"] == "192.0.2.2:4501");
    CHECK(tunnel()["mtu"] == 1438);
    Asker listener(hub.hub);
    listener.result("events", {{"kinds", {"sa"}}});
    dataplane::PeerWord* const word = hub.hub.associations->peer_word(TunnelId(1));
    REQUIRE(word != nullptr);
    REQUIRE(word->follow({*IpAddress::parse("192.0.2.2"), L4Port(40'001)}));  // as a worker would
    const json event = listener.answer()["params"];
    CHECK(event["event"] == "peer_moved");
    CHECK(event["tunnel"] == "kita-esp");
    CHECK(event["peer"] == "192.0.2.2:40001");
    CHECK(tunnel()["peer_now"] == "192.0.2.2:40001");
    draft.set("/tunnels/0/replay_window", 8192);  // not what was agreed upon
    hub.commit(draft);
    CHECK(tunnel()["peer_now"] == "192.0.2.2:40001");
    draft.set("/tunnels/0/udp", {{"peer_port", 4600}});
    hub.commit(draft);
    CHECK(tunnel()["peer_now"] == "192.0.2.2:4600");
    draft.remove("/tunnels/0/udp");
    hub.commit(draft);
    CHECK_FALSE(tunnel().contains("peer_now"));
    CHECK(hub.hub.associations->peer_word(TunnelId(1)) == nullptr);
}
