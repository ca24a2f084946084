// What a confined process may not, tried by one: system calls off the list, more capabilities, other threads too.
#include "control/confinement.hpp"

#include <array>
#include <cerrno>
#include <cstring>
#include <functional>
#include <linux/capability.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <thread>

#include <catch2/catch.hpp>

#include "tests/control/program_support.hpp"
#include "tests/support/skip.hpp"

using namespace sekisho::control;
using namespace sekisho::control::test;

namespace {

// Runs `what` in a child that is confined, with a second thread that was there before; gives what the child said.
std::string confined(const std::function<std::string()>& what) {
    std::array<int, 2> ends{};
    REQUIRE(::pipe(ends.data()) == 0);
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        std::atomic<bool> end{false};
        std::thread other([&end] {
            while (!end) std::this_thread::sleep_for(std::chrono::milliseconds(1));
        });
        const auto done = confine(confinement_for({"net_af_xdp0,iface=x"}));
        const std::string said = done ? what() : "not confined: " + done.error().words;
        static_cast<void>(!::write(ends[1], said.data(), said.size()));
        end = true;
        other.join();
        ::_exit(0);
    }
    ::close(ends[1]);
    std::string said;
    std::array<char, 4096> room{};
    for (ssize_t got; (got = ::read(ends[0], room.data(), room.size())) > 0;)
        said.append(room.data(), static_cast<std::size_t>(got));
    ::close(ends[0]);
    int status = 0;
    ::waitpid(child, &status, 0);
    CHECK(status == 0);
    return said;
}

// "name=errno " of each call; 0 for one that was carried out.
template <class Call>
std::string tried(const char* name, Call call) {
    errno = 0;
    const auto result = call();
    return std::string(name) + "=" + std::to_string(result < 0 ? errno : 0) + " ";
}

}  // namespace

TEST_CASE("confinement: programs, processes, namespaces, mounts, modules, debugging and connections are refused",
          "[control]") {
    const std::string said = confined([] {
        char path[] = "/bin/true";
        std::array<char*, 2> arguments = {path, nullptr};
        std::string all;
        all += tried("execve", [&] { return ::syscall(SYS_execve, path, arguments.data(), nullptr); });
        all += tried("unshare", [] { return ::unshare(CLONE_NEWNS); });
        all += tried("setns", [] { return ::syscall(SYS_setns, 0, 0); });
        all += tried("mount", [] { return ::mount("none", "/mnt", "tmpfs", 0, nullptr); });
        all += tried("init_module", [] { return ::syscall(SYS_init_module, nullptr, 0, ""); });
        all += tried("kexec_load", [] { return ::syscall(SYS_kexec_load, 0, 0, nullptr, 0); });
        all += tried("chmod", [] { return ::chmod("/tmp", 01777); });
        all += tried("setuid", [] { return ::syscall(SYS_setuid, 1); });
        all +=
            tried("process_vm_writev", [] { return ::syscall(SYS_process_vm_writev, 1, nullptr, 0, nullptr, 0, 0); });
        all += tried("tcp", [] { return ::socket(AF_INET, SOCK_STREAM, 0); });
        all += tried("tcp6", [] { return ::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0); });
        all += tried("vsock", [] { return ::socket(AF_VSOCK, SOCK_STREAM, 0); });
        return all;
    });
    CHECK(said ==
          "execve=1 unshare=1 setns=1 mount=1 init_module=1 kexec_load=1 chmod=1 setuid=1 process_vm_writev=1 tcp=1 "
          "tcp6=1 vsock=1 ");
}

// Under the sanitizers these are allowed: they look at the process from another one when it ends.
#if !defined(SEKISHO_ADDRESS_SANITIZER) && !defined(SEKISHO_THREAD_SANITIZER)
TEST_CASE("confinement: neither fork nor ptrace", "[control]") {
    CHECK(confined([] {
              return tried("fork",
                           [] {
                               const pid_t child = ::fork();
                               if (child == 0) ::_exit(1);
                               return child;
                           }) +
                     tried("ptrace", [] { return ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr); }) +
                     tried("kill", [] { return ::kill(1, 0); });
          }) == "fork=1 ptrace=1 kill=1 ");
}
#endif

TEST_CASE("confinement: what the daemon does works: files, threads, sockets of the kernel's", "[control]") {
    TemporaryDirectory directory;
    const std::string file = directory / "file";
    const std::string said = confined([&file] {
        bool ran = false;
        std::thread([&ran] { ran = true; }).join();
        std::ofstream(file + ".new") << "text";
        std::string all = tried("rename", [&] { return ::rename((file + ".new").c_str(), file.c_str()); });
        all += tried("netlink", [] { return ::socket(AF_NETLINK, SOCK_RAW, 0); });
        all += tried("unix", [] { return ::socket(AF_UNIX, SOCK_STREAM, 0); });
        all += tried("ioctl", [] { return ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0); });
        return all + (ran ? "thread" : "");
    });
    CHECK(said == "rename=0 netlink=0 unix=0 ioctl=0 thread");
    CHECK(content_of(file) == "text");
}

TEST_CASE("confinement: every thread has lost what it does not need, and cannot have it back", "[control]") {
    if (::geteuid() != 0) return sekisho::test::skip("needs root, to have capabilities to lose");
    const std::string said = confined([] {
        std::string all;
        for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
            const bool own = task.path().filename() == std::to_string(::gettid());
            std::ifstream stream(task.path() / "status");
            for (std::string line; std::getline(stream, line);)
                for (const char* field : {"CapPrm", "CapEff", "NoNewPrivs", "Seccomp:"})
                    if (line.starts_with(field)) all += (own ? "own " : "other ") + line + "\n";
        }
        __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
        std::array<__user_cap_data_struct, 2> data{};
        data[0].effective = data[0].permitted = 1U << CAP_SYS_ADMIN;
        all += tried("capset", [&] { return ::syscall(SYS_capset, &header, data.data()); });
        return all;
    });
    INFO(said);
    for (const char* line : {"own CapPrm:\t0000008000001000", "own CapEff:\t0000008000001000",
                             "other CapPrm:\t0000000000000000", "other CapEff:\t0000000000000000", "own NoNewPrivs:\t1",
                             "other NoNewPrivs:\t1", "own Seccomp:\t2", "other Seccomp:\t2", "capset=1"})
        CHECK(said.find(line) != std::string::npos);
}
