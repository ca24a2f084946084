// The socket server with an echo behind it: clients that hang, vanish, flood and dawdle, beside one that behaves.
#include "control/socket_server.hpp"

#include <atomic>
#include <fstream>
#include <mutex>
#include <set>
#include <sys/stat.h>
#include <sys/un.h>
#include <vector>

#include <catch2/catch.hpp>

#include "tests/control/socket_support.hpp"

using namespace sekisho;
using namespace sekisho::control;
using namespace sekisho::control::test;
using std::chrono::milliseconds;

namespace {

// Answers "line" with "line!"; "big" with a megabyte; "never" with nothing, though an answer is expected.
struct EchoServer {
    explicit EchoServer(ServerLimits limits = {}) : loop(std::move(*EventLoop::make())) {
        ServerHandlers handlers;
        handlers.line = [this](ClientId client, const Peer& peer, const WipedText& wiped) {
            const std::string line(wiped);
            last_peer_uid = peer.uid;
            ++lines;
            if (line == "big")
                server->send(client, std::string(1 << 20, 'b') + "\n");
            else if (line == "never")
                server->expect_answer(client);
            else if (line.starts_with("later ")) {
                server->expect_answer(client);
                delayed.emplace_back(std::thread([this, client, line] {
                    std::this_thread::sleep_for(milliseconds(50));
                    loop->post([this, client, line] {
                        server->send(client, line + "!\n");
                        server->answered(client);
                    });
                }));
            } else {
                server->send(client, line + "!\n");
            }
        };
        handlers.refused = [this](ClientId client, const std::string& words) {
            server->send(client, "refused: " + words + "\n");
        };
        handlers.gone = [this](ClientId) { ++gone; };
        auto made = SocketServer::listen(*loop, path, handlers, limits);
        REQUIRE(made);
        server = std::move(*made);
        thread.emplace(*loop);
    }
    ~EchoServer() {
        for (auto& each : delayed) each.join();
        thread.reset();
    }

    TemporaryDirectory directory;
    std::string path = directory / "s";
    std::unique_ptr<EventLoop> loop;
    std::unique_ptr<SocketServer> server;
    std::vector<std::thread> delayed;
    std::atomic<int> gone{0};
    std::atomic<int> lines{0};
    std::atomic<uid_t> last_peer_uid{12345};
    std::optional<LoopThread> thread;
};

}  // namespace

TEST_CASE("socket server: the socket has mode 0660 and goes when the server does", "[control]") {
    std::string path;
    TemporaryDirectory directory;
    {
        auto loop = EventLoop::make();
        REQUIRE(loop);
        path = directory / "s";
        auto server = SocketServer::listen(**loop, path, {});
        REQUIRE(server);
        struct stat status {};
        REQUIRE(::stat(path.c_str(), &status) == 0);
        CHECK((status.st_mode & 07777) == 0660);
    }
    CHECK_FALSE(std::filesystem::exists(path));
}

TEST_CASE("socket server: where another daemon answers, listening is refused and its socket stays", "[control]") {
    EchoServer other;
    auto loop = EventLoop::make();
    auto second = SocketServer::listen(**loop, other.path, {});
    REQUIRE_FALSE(second);
    CHECK(second.error().code == ErrorCode::exists);
    CHECK(second.error().words.find("another daemon answers") != std::string::npos);
    RawClient client(other.path);
    client.write("still here\n");
    CHECK(client.read_line() == "still here!");
}

TEST_CASE("socket server: a stale socket file is replaced, a file that is no socket is not", "[control]") {
    TemporaryDirectory directory;
    auto loop = EventLoop::make();
    const std::string stale = directory / "stale";
    {
        const FileDescriptor dead(::socket(AF_UNIX, SOCK_STREAM, 0));
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        stale.copy(address.sun_path, sizeof address.sun_path - 1);
        REQUIRE(::bind(dead.number(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    }
    REQUIRE(std::filesystem::exists(stale));
    CHECK(SocketServer::listen(**loop, stale, {}));

    const std::string file = directory / "file";
    std::ofstream(file) << "precious";
    auto refused = SocketServer::listen(**loop, file, {});
    REQUIRE_FALSE(refused);
    CHECK(refused.error().words.find("no socket") != std::string::npos);
    CHECK(std::filesystem::file_size(file) == 8);
}

TEST_CASE("socket server: a path that is too long, or in no directory, is an error that names it", "[control]") {
    auto loop = EventLoop::make();
    CHECK(SocketServer::listen(**loop, "/" + std::string(200, 'x'), {}).error().words.find("200") == std::string::npos);
    CHECK(SocketServer::listen(**loop, "/" + std::string(200, 'x'), {}).error().words.find("201 bytes") !=
          std::string::npos);
    CHECK(SocketServer::listen(**loop, "/nowhere/at/all", {}).error().words.find("/nowhere/at/all") !=
          std::string::npos);
}

TEST_CASE("socket server: the peer's user is known", "[control]") {
    EchoServer echo;
    RawClient client(echo.path);
    client.write("x\n");
    REQUIRE(client.read_line() == "x!");
    CHECK(echo.last_peer_uid == ::getuid());
}

TEST_CASE("socket server: a line in many pieces is one line, and many lines in one piece are many", "[control]") {
    EchoServer echo;
    RawClient client(echo.path);
    for (const char c : std::string("slowly")) {
        client.write(std::string(1, c));
        std::this_thread::sleep_for(milliseconds(2));
    }
    client.write("\na\nb\n");
    CHECK(client.read_line() == "slowly!");
    CHECK(client.read_line() == "a!");
    CHECK(client.read_line() == "b!");
}

TEST_CASE("socket server: a line over the limit is refused by words and the connection goes on", "[control]") {
    EchoServer echo;
    RawClient client(echo.path);
    client.write(std::string(kLongestMessage + 1, 'x') + "\nafter\n");
    CHECK(client.read_line() == "refused: the line is longer than 1048576 bytes");
    CHECK(client.read_line() == "after!");
}

TEST_CASE("socket server: half a line before the end of input is dropped with its client", "[control]") {
    EchoServer echo;
    RawClient client(echo.path);
    client.write("whole\nhal");
    client.end_of_input();
    CHECK(client.read_line() == "whole!");
    CHECK_FALSE(client.read_line());
    CHECK(client.closed());
    CHECK(comes_true([&] { return echo.gone == 1; }));
    CHECK(echo.lines == 1);
}

TEST_CASE("socket server: a client that ends its input still gets the answers to come", "[control]") {
    EchoServer echo;
    RawClient client(echo.path);
    client.write("later on\n");
    client.end_of_input();
    CHECK(client.read_line() == "later on!");
    CHECK_FALSE(client.read_line());
    CHECK(client.closed());
}

TEST_CASE("socket server: a client that vanishes while an answer is to come is noticed", "[control]") {
    EchoServer echo;
    {
        RawClient client(echo.path);
        client.write("never\n");
        CHECK(comes_true([&] { return echo.lines == 1; }));
    }
    CHECK(comes_true([&] { return echo.gone == 1; }));
}

TEST_CASE("socket server: a line that is not finished in time closes its connection, with words", "[control]") {
    ServerLimits limits;
    limits.unfinished_line = milliseconds(60);
    limits.look = milliseconds(10);
    EchoServer echo(limits);
    RawClient client(echo.path);
    RawClient idle(echo.path);
    client.write("never en");
    const auto line = client.read_line();
    REQUIRE(line);
    CHECK(line->find("was not finished within") != std::string::npos);
    CHECK_FALSE(client.read_line());
    CHECK(client.closed());
    idle.write("an idle connection is not a slow one\n");
    CHECK(idle.read_line() == "an idle connection is not a slow one!");
}

TEST_CASE("socket server: a client that does not take its answers is dropped, and memory stays bounded", "[control]") {
    ServerLimits limits;
    limits.untaken = milliseconds(100);
    limits.look = milliseconds(10);
    EchoServer echo(limits);
    RawClient greedy(echo.path);
    RawClient good(echo.path);
    std::string many;
    for (int i = 0; i < 1000; ++i) many += "big\n";
    greedy.write(many);
    CHECK(comes_true([&] { return echo.gone == 1; }));
    CHECK(echo.lines < 10);  // paused after the first megabytes, not a gigabyte queued
    good.write("me\n");
    CHECK(good.read_line() == "me!");
}

TEST_CASE("socket server: a client that takes its answers slowly gets all of them", "[control]") {
    EchoServer echo;
    RawClient client(echo.path);
    std::string many;
    for (int i = 0; i < 20; ++i) many += "big\n";
    client.write(many + "end\n");
    for (int i = 0; i < 20; ++i) {
        const auto line = client.read_line();
        REQUIRE(line);
        CHECK(line->size() == 1 << 20);
    }
    CHECK(client.read_line() == "end!");
}

TEST_CASE("socket server: no more is read from a client that has many answers to come", "[control]") {
    EchoServer echo;
    RawClient client(echo.path);
    std::string many;
    for (int i = 0; i < 100; ++i) many += "never\n";
    client.write(many);
    RawClient other(echo.path);
    other.write("x\n");
    CHECK(other.read_line() == "x!");  // it need not wait for the first one's turns
    CHECK(comes_true([&] { return echo.lines == 17; }));
    for (int i = 0; i < 20; ++i) {  // and many rounds later it is 16 of the first still
        other.write("x\n");
        CHECK(other.read_line() == "x!");
    }
    CHECK(echo.lines == 16 + 21);
}

TEST_CASE("socket server: a client beyond the limit is told so and closed, and its place is free again", "[control]") {
    ServerLimits limits;
    limits.clients = 2;
    EchoServer echo(limits);
    auto first = std::make_unique<RawClient>(echo.path);
    first->write("1\n");
    CHECK(first->read_line() == "1!");
    RawClient second(echo.path);
    second.write("2\n");
    CHECK(second.read_line() == "2!");
    RawClient third(echo.path);
    CHECK(third.read_line() == "refused: 2 clients are connected, and no more may be");
    CHECK_FALSE(third.read_line());
    CHECK(third.closed());
    first.reset();
    CHECK(comes_true([&] {
        RawClient fourth(echo.path);
        fourth.write("4\n");
        return fourth.read_line() == "4!";
    }));
}

TEST_CASE("socket server: fifty clients, of which some hang, some vanish and some flood, are all served", "[control]") {
    EchoServer echo;
    std::vector<std::unique_ptr<RawClient>> clients;
    for (int i = 0; i < 50; ++i) clients.push_back(std::make_unique<RawClient>(echo.path));
    std::string flood;
    for (int i = 0; i < 20000; ++i) flood += "flood\n";
    std::vector<std::thread> floods;
    for (std::size_t i = 0; i < 50; ++i) {
        if (i % 5 == 1) clients[i]->write("half a li");  // hangs
        if (i % 5 == 2) {
            clients[i]->write("big\nbig\nha");
            clients[i]->vanish();
        }
        if (i % 25 == 3)  // floods, and reads nothing
            floods.emplace_back([client = clients[i].get(), &flood] { client->write(flood); });
    }
    for (int round = 0; round < 20; ++round)
        for (std::size_t i = 0; i < 50; i += 5) {
            const std::string word = "client " + std::to_string(i) + " round " + std::to_string(round);
            clients[i]->write(word + "\n");
            REQUIRE(clients[i]->read_line() == word + "!");
        }
    for (std::size_t i = 1; i < 50; i += 5) {
        clients[i]->write("ne\n");
        CHECK(clients[i]->read_line() == "half a line!");
    }
    CHECK(comes_true([&] { return echo.gone >= 10; }));
    for (auto& each : floods) each.join();
    for (auto& client : clients) client->vanish();
    CHECK(comes_true([&] { return echo.gone == 50; }));
}
