// Runs a program of ours to its end, or beside the test, and keeps what it wrote.
#pragma once

#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <fstream>
#include <iterator>
#include <spawn.h>
#include <string>
#include <sys/resource.h>
#include <sys/wait.h>
#include <vector>

#include <catch2/catch.hpp>

#include "tests/control/socket_support.hpp"

extern char** environ;

namespace sekisho::control::test {

// The programs' paths come from meson, in the environment.
inline std::string path_from(const char* variable) {
    const char* path = std::getenv(variable);
    if (path == nullptr) throw std::runtime_error(std::string(variable) + " is not set: run this by meson test");
    return path;
}

inline std::string content_of(const std::string& file) {
    std::ifstream stream(file, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(stream), {});
}
inline void write_file(const std::string& file, const std::string& content) {
    std::ofstream(file, std::ios::binary | std::ios::trunc) << content;
}

class Program {
  public:
    Program(const std::string& path, const std::vector<std::string>& arguments) {
        std::vector<std::string> all = {path};
        all.insert(all.end(), arguments.begin(), arguments.end());
        std::vector<char*> pointers;
        for (std::string& argument : all) pointers.push_back(argument.data());
        pointers.push_back(nullptr);
        posix_spawn_file_actions_t actions;
        ::posix_spawn_file_actions_init(&actions);
        ::posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
        ::posix_spawn_file_actions_addopen(&actions, 1, (directory_ / "out").c_str(), O_WRONLY | O_CREAT, 0600);
        ::posix_spawn_file_actions_addopen(&actions, 2, (directory_ / "err").c_str(), O_WRONLY | O_CREAT, 0600);
        const int failed = ::posix_spawn(&pid_, path.c_str(), &actions, nullptr, pointers.data(), environ);
        ::posix_spawn_file_actions_destroy(&actions);
        if (failed != 0) throw std::runtime_error("cannot run " + path);
    }
    ~Program() {
        if (pid_ == 0) return;
        ::kill(pid_, SIGKILL);
        wait();
    }
    Program(const Program&) = delete;
    Program& operator=(const Program&) = delete;

    void signal(int number) const { ::kill(pid_, number); }
    // The exit code; 128 and more for a signal.
    int wait() {
        int status = 0;
        rusage usage{};
        ::wait4(pid_, &status, 0, &usage);
        most_resident_ = static_cast<std::uint64_t>(usage.ru_maxrss) * 1024;
        pid_ = 0;
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
    // Whether wait() would return at once.
    bool has_ended() const {
        siginfo_t information{};
        return ::waitid(P_PID, static_cast<id_t>(pid_), &information, WEXITED | WNOHANG | WNOWAIT) == 0 &&
               information.si_pid == pid_;
    }
    std::uint64_t most_resident() const noexcept { return most_resident_; }  // bytes; after wait()
    pid_t pid() const noexcept { return pid_; }
    std::string out() const { return content_of(directory_ / "out"); }
    std::string err() const { return content_of(directory_ / "err"); }

  private:
    TemporaryDirectory directory_;
    pid_t pid_ = 0;
    std::uint64_t most_resident_ = 0;
};

struct Ran {
    int exit_code;
    std::string out, err;
};
inline Ran run(const std::string& path, const std::vector<std::string>& arguments) {
    Program program(path, arguments);
    const int exit_code = program.wait();
    return {exit_code, program.out(), program.err()};
}

}  // namespace sekisho::control::test
