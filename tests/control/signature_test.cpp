// Signed documents, with OpenSSL's own command line as the other side; and what a node with a signing key takes.
#include <catch2/catch.hpp>

#include "control/document_hash.hpp"
#include "tests/control/hub_support.hpp"
#include "tests/control/program_support.hpp"

using namespace sekisho;
using namespace sekisho::control;
using namespace sekisho::control::test;
using nlohmann::json;

namespace {

void shell(const std::string& command) {
    const Ran ran = run("/bin/sh", {"-c", command});
    INFO(command << "\n" << ran.err);
    REQUIRE(ran.exit_code == 0);
}

// A key pair, made by openssl.
struct Pair {
    explicit Pair(const std::string& algorithm = "ed25519") {
        shell("openssl genpkey -algorithm " + algorithm + " -out " + secret + " && openssl pkey -in " + secret +
              " -pubout -out " + open);
    }
    TemporaryDirectory directory;
    std::string secret = directory / "secret.pem", open = directory / "public.pem";
    SigningKeys keys() const {
        SigningKeys keys;
        REQUIRE(keys.add(open));
        return keys;
    }
};

std::string hash_of_operators(const std::vector<std::string>& operators) {
    return hash_of(as_document(a_document(operators))).text;
}

}  // namespace

TEST_CASE("signature: what is no key of Ed25519 is refused by the file's name", "[control]") {
    TemporaryDirectory directory;
    SigningKeys keys;
    CHECK(keys.add(directory / "none").error().words.find(directory / "none") == 0);
    write_file(directory / "text", "no key\n");
    CHECK(keys.add(directory / "text").error().words.find("is no public key in PEM") != std::string::npos);
    const Pair other("EC -pkeyopt ec_paramgen_curve:prime256v1");
    CHECK(keys.add(other.open).error().words.find("Ed25519 is expected") != std::string::npos);
    CHECK_FALSE(sign(other.secret, std::string(64, '0')));
    CHECK(keys.add(Pair().secret).error().words.find("is no public key") != std::string::npos);
    CHECK(keys.empty());
    CHECK(keys.check("anything", ""));  // without keys, nothing need be signed
}

TEST_CASE("signature: openssl verifies what we sign, and we what openssl signs", "[control]") {
    const Pair pair;
    const std::string hash = hash_of_operators({"kita"});
    const std::string statement = pair.directory / "statement", binary = pair.directory / "signature";
    write_file(statement, statement_of(hash));
    const auto ours = sign(pair.secret, hash);
    REQUIRE(ours);
    CHECK(ours->size() == 88);
    write_file(binary + ".text", *ours + "\n");
    shell("openssl base64 -d -A -in " + binary + ".text -out " + binary + " && openssl pkeyutl -verify -pubin -inkey " +
          pair.open + " -rawin -in " + statement + " -sigfile " + binary);
    shell("openssl pkeyutl -sign -inkey " + pair.secret + " -rawin -in " + statement + " -out " + binary +
          " && openssl base64 -A -in " + binary + " -out " + binary + ".text");
    CHECK(pair.keys().check(hash, content_of(binary + ".text")));
    CHECK(content_of(binary + ".text") == *ours);  // Ed25519 has no randomness (RFC 8032)
}

TEST_CASE("signature: one bit elsewhere, another document's, another key's, or none: refused", "[control]") {
    const Pair pair, stranger;
    const std::string hash = hash_of_operators({"kita"});
    const std::string good = *sign(pair.secret, hash);
    const SigningKeys keys = pair.keys();
    REQUIRE(keys.check(hash, good));
    CHECK(keys.check(hash, good + "\n"));
    CHECK_FALSE(keys.check(hash, ""));
    CHECK_FALSE(keys.check(hash, good.substr(1)));
    CHECK_FALSE(keys.check(hash, good + "A"));
    CHECK_FALSE(keys.check(hash_of_operators({"minami"}), good));
    CHECK_FALSE(keys.check(hash, *sign(stranger.secret, hash)));
    for (std::size_t i = 0; i < good.size(); ++i) {
        std::string bad = good;
        bad[i] = bad[i] == 'A' ? 'B' : 'A';
        CHECK(keys.check(hash, bad).has_value() == (bad == good));
    }
    // The last letter has four bits that mean nothing.
    const std::string letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string bad = good;
    bad[85] = letters[letters.find(good[85]) ^ 1U];
    CHECK_FALSE(keys.check(hash, bad));
    SigningKeys both = keys;
    REQUIRE(both.add(stranger.open));
    CHECK(both.check(hash, *sign(stranger.secret, hash)));
}

TEST_CASE("signature: a node with a key takes what is signed with it, and nothing else", "[control]") {
    const Pair pair, stranger;
    TemporaryDirectory kept;
    const auto signature = [&](const std::vector<std::string>& operators) {
        return *sign(pair.secret, hash_of_operators(operators));
    };
    {
        TestHub hub(kept / "state", as_document(a_document({"kita"})), false, {}, {}, pair.keys(), signature({"kita"}));
        REQUIRE(hub.started);
        Asker asker(hub);
        CHECK(asker.result("show.generation")["signed"] == true);
        const json transaction = staged(asker, {"minami"});
        CHECK(asker.result("commit", {{"transaction", transaction}, {"dry_run", true}})["hash"] ==
              hash_of_operators({"kita", "minami"}));
        const auto refuses = [&](const json& given) {
            json params = {{"transaction", transaction}};
            if (!given.is_null()) params["signature"] = given;
            const json error = asker.error("commit", params);
            CHECK(error["data"]["name"] == "permission");
            CHECK(hub.audit_lines().back()["what"] == "refused");
        };
        refuses(json());
        refuses(signature({"minami"}));
        refuses(*sign(stranger.secret, hash_of_operators({"kita", "minami"})));
        CHECK(asker.result("show.generation")["generation"] == 1);
        CHECK(hub.node.generations() == std::vector<std::uint64_t>{1});
        CHECK(asker.result("commit", {{"transaction", transaction},
                                      {"signature", signature({"kita", "minami"})}})["generation"] == 2);
        // What comes back brings its signature along.
        CHECK(asker.result("rollback", {{"generation", 1}})["generation"] == 3);
        CHECK(asker.result("show.generations")["items"][2]["signature"] == signature({"kita"}));
    }
    {
        TestHub again(kept / "state", {}, false, {}, {}, pair.keys());
        REQUIRE(again.started);
    }
    TestHub other(kept / "state", {}, false, {}, {}, stranger.keys());
    REQUIRE_FALSE(other.started);
    CHECK(other.started.error().code == ErrorCode::permission);
    CHECK(other.node.generations().empty());
}

TEST_CASE("signature: a first document, and a scheduled change at its time, need theirs", "[control]") {
    const Pair pair;
    {
        TestHub hub({}, as_document(a_document({"kita"})), false, {}, {}, pair.keys());
        REQUIRE_FALSE(hub.started);
        CHECK(hub.started.error().words.find("the first document: the document is not signed") == 0);
    }
    const auto signature = [&](const std::vector<std::string>& operators) {
        return *sign(pair.secret, hash_of_operators(operators));
    };
    TestHub hub({}, as_document(a_document({"kita"})), false, {}, {}, pair.keys(), signature({"kita"}));
    Asker asker(hub);
    CHECK(asker.error("commit", {{"transaction", staged(asker, {"minami"}, true)},
                                 {"effective_at", "2099-01-01"}})["data"]["name"] == "permission");
    Asker next(hub);
    const json transaction = staged(next, {"kita", "minami"}, true);
    next.result("commit", {{"transaction", transaction},
                           {"effective_at", hub.in(std::chrono::hours(2))},
                           {"signature", signature({"kita", "minami"})}});
    // It was signed for what followed generation 1; a commit between makes another document of it.
    const json made = next.result(
        "commit", {{"transaction", staged(next, {"kita", "chuo"}, true)}, {"signature", signature({"kita", "chuo"})}});
    CHECK(made["warnings"].dump().find("is signed for what follows generation 1") != std::string::npos);
    hub.advance(std::chrono::hours(3));
    REQUIRE(comes_true([&] { return next.result("show.schedule")["items"][0]["failed"] == true; }));
    CHECK(next.result("show.generation")["generation"] == 2);
}
