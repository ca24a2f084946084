#include "control/confinement.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <linux/capability.h>
#include <memory>
#include <optional>
#include <sched.h>
#include <seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <thread>
#include <unistd.h>

#include <fmt/format.h>

namespace sekisho::control {

namespace {

// ---- Capabilities. The kernel lets each thread change its own only, so each is asked by a signal, and looked at.

constexpr std::chrono::seconds kPatience{5};
constexpr const char* kTapsThread = "sekisho-taps";

std::atomic<std::uint64_t> keeps{0};  // of the thread that is asked
std::atomic<int> answers{0};          // 1: it did; negative: errno

constexpr std::uint64_t bit(int capability) {
    return std::uint64_t{1} << capability;
}

// Safe in a signal handler: system calls only. 0, or errno.
int keep_only(std::uint64_t wanted) noexcept {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    std::array<__user_cap_data_struct, 2> data{};
    if (::syscall(SYS_capget, &header, data.data()) != 0) return errno;
    const std::uint64_t has = data[0].permitted | (std::uint64_t{data[1].permitted} << 32);
    if ((has & bit(CAP_SETPCAP)) != 0)
        for (int capability = 0; capability <= CAP_LAST_CAP; ++capability)
            if ((wanted & bit(capability)) == 0) ::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
    const std::uint64_t kept = has & wanted;
    data[0].effective = data[0].permitted = static_cast<std::uint32_t>(kept);
    data[1].effective = data[1].permitted = static_cast<std::uint32_t>(kept >> 32);
    data[0].inheritable = data[1].inheritable = 0;
    return ::syscall(SYS_capset, &header, data.data()) == 0 ? 0 : errno;
}

void obey(int) noexcept {
    const int before = errno;
    const int error = keep_only(keeps.load());
    answers.store(error == 0 ? 1 : -error);
    errno = before;
}

std::string name_of_thread(const std::string& tid) {
    std::ifstream stream("/proc/self/task/" + tid + "/comm");
    std::string name;
    std::getline(stream, name);
    return name;
}

// A line of the thread's status as a number of base 16; nothing if it has ended.
std::optional<std::uint64_t> status_of(const std::string& tid, const std::string& field) {
    std::ifstream stream("/proc/self/task/" + tid + "/status");
    for (std::string line; std::getline(stream, line);)
        if (line.starts_with(field + ":")) return std::strtoull(line.c_str() + field.size() + 1, nullptr, 16);
    return std::nullopt;
}

std::vector<std::string> threads() {
    std::vector<std::string> tids;
    std::error_code none;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/task", none))
        tids.push_back(entry.path().filename());
    return tids;
}

Expected<void> ask(const std::string& tid, std::uint64_t keep) {
    keeps.store(keep);
    answers.store(0);
    const int number = std::stoi(tid);
    if (number == ::gettid()) {
        const int error = keep_only(keep);
        answers.store(error == 0 ? 1 : -error);
    } else if (::syscall(SYS_tgkill, ::getpid(), number, SIGRTMIN) != 0) {
        if (errno == ESRCH) return {};  // it has ended
        return Error{ErrorCode::unavailable, fmt::format("thread {}: {}", tid, std::strerror(errno))};
    }
    const auto until = std::chrono::steady_clock::now() + kPatience;
    while (answers.load() == 0) {
        if (std::chrono::steady_clock::now() > until) {
            if (!status_of(tid, "CapPrm")) return {};
            return Error{ErrorCode::unavailable,
                         fmt::format("thread {} ({}) did not give up its capabilities", tid, name_of_thread(tid))};
        }
        std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
    if (answers.load() < 0)
        return Error{ErrorCode::permission, fmt::format("thread {} ({}): giving up capabilities: {}", tid,
                                                        name_of_thread(tid), std::strerror(-answers.load()))};
    return {};
}

Expected<void> drop_capabilities(std::uint64_t keep) {
    struct sigaction action {};
    action.sa_handler = obey;
    action.sa_flags = SA_RESTART;
    struct sigaction before {};
    if (::sigaction(SIGRTMIN, &action, &before) != 0)
        return Error{ErrorCode::unavailable, fmt::format("a signal handler: {}", std::strerror(errno))};
    Expected<void> done;
    // The control thread last: until then it can speak to the others.
    const std::string own = std::to_string(::gettid());
    auto tids = threads();
    std::stable_partition(tids.begin(), tids.end(), [&own](const std::string& tid) { return tid != own; });
    for (const std::string& tid : tids) {
        const bool keeps_some = tid == own || name_of_thread(tid) == kTapsThread;
        if (done) done = ask(tid, keeps_some ? keep : 0);
    }
    ::sigaction(SIGRTMIN, &before, nullptr);
    // What the kernel says, not what we believe.
    for (const std::string& tid : threads()) {
        const auto has = status_of(tid, "CapPrm");
        if (done && has && (*has & ~keep) != 0)
            done = Error{ErrorCode::permission,
                         fmt::format("thread {} ({}) still has capabilities {:x}", tid, name_of_thread(tid), *has)};
    }
    return done;
}

// ---- System calls

// Files of the state directory and what DPDK reads of /sys and /proc; memory; threads, but no processes; waiting; Unix,
// netlink, packet and AF_XDP sockets; BPF maps. What is not here, the daemon does not need once it is started.
constexpr std::array kAllowed = {
    SCMP_SYS(read),
    SCMP_SYS(readv),
    SCMP_SYS(pread64),
    SCMP_SYS(write),
    SCMP_SYS(writev),
    SCMP_SYS(pwrite64),
    SCMP_SYS(lseek),
    SCMP_SYS(open),
    SCMP_SYS(openat),
    SCMP_SYS(close),
    SCMP_SYS(stat),
    SCMP_SYS(fstat),
    SCMP_SYS(lstat),
    SCMP_SYS(newfstatat),
    SCMP_SYS(statx),
    SCMP_SYS(statfs),
    SCMP_SYS(fstatfs),
    SCMP_SYS(fcntl),
    SCMP_SYS(flock),
    SCMP_SYS(fsync),
    SCMP_SYS(fdatasync),
    SCMP_SYS(ftruncate),
    SCMP_SYS(rename),
    SCMP_SYS(renameat),
    SCMP_SYS(renameat2),
    SCMP_SYS(link),
    SCMP_SYS(linkat),
    SCMP_SYS(unlink),
    SCMP_SYS(unlinkat),
    SCMP_SYS(mkdir),
    SCMP_SYS(mkdirat),
    SCMP_SYS(rmdir),
    SCMP_SYS(getdents64),
    SCMP_SYS(access),
    SCMP_SYS(faccessat),
    SCMP_SYS(faccessat2),
    SCMP_SYS(readlink),
    SCMP_SYS(readlinkat),
    SCMP_SYS(dup),
    SCMP_SYS(dup2),
    SCMP_SYS(dup3),
    SCMP_SYS(pipe),
    SCMP_SYS(pipe2),
    SCMP_SYS(fallocate),
    SCMP_SYS(getcwd),
    SCMP_SYS(ioctl),
    // memory
    SCMP_SYS(mmap),
    SCMP_SYS(munmap),
    SCMP_SYS(mremap),
    SCMP_SYS(mprotect),
    SCMP_SYS(madvise),
    SCMP_SYS(brk),
    SCMP_SYS(mlock),
    SCMP_SYS(mlock2),
    SCMP_SYS(munlock),
    SCMP_SYS(msync),
    SCMP_SYS(mincore),
    SCMP_SYS(mbind),
    SCMP_SYS(get_mempolicy),
    SCMP_SYS(set_mempolicy),
    SCMP_SYS(membarrier),
    SCMP_SYS(memfd_create),
    // threads, signals, clocks
    SCMP_SYS(futex),
    SCMP_SYS(set_robust_list),
    SCMP_SYS(get_robust_list),
    SCMP_SYS(rseq),
    SCMP_SYS(set_tid_address),
    SCMP_SYS(sched_yield),
    SCMP_SYS(sched_getaffinity),
    SCMP_SYS(sched_setaffinity),
    SCMP_SYS(sched_getparam),
    SCMP_SYS(sched_getscheduler),
    SCMP_SYS(sched_get_priority_min),
    SCMP_SYS(sched_get_priority_max),
    SCMP_SYS(getcpu),
    SCMP_SYS(gettid),
    SCMP_SYS(getpid),
    SCMP_SYS(getppid),
    SCMP_SYS(getuid),
    SCMP_SYS(geteuid),
    SCMP_SYS(getgid),
    SCMP_SYS(getegid),
    SCMP_SYS(getrusage),
    SCMP_SYS(getrlimit),
    SCMP_SYS(prlimit64),
    SCMP_SYS(sysinfo),
    SCMP_SYS(uname),
    SCMP_SYS(getrandom),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(rt_sigtimedwait),
    SCMP_SYS(sigaltstack),
    SCMP_SYS(tgkill),
    SCMP_SYS(prctl),
    SCMP_SYS(arch_prctl),
    SCMP_SYS(nanosleep),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_getres),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(time),
    // waiting
    SCMP_SYS(epoll_create1),
    SCMP_SYS(epoll_ctl),
    SCMP_SYS(epoll_wait),
    SCMP_SYS(epoll_pwait),
    SCMP_SYS(poll),
    SCMP_SYS(ppoll),
    SCMP_SYS(select),
    SCMP_SYS(pselect6),
    SCMP_SYS(eventfd2),
    SCMP_SYS(timerfd_create),
    SCMP_SYS(timerfd_settime),
    SCMP_SYS(timerfd_gettime),
    SCMP_SYS(signalfd4),
    // sockets; socket() itself by its family, below
    SCMP_SYS(bind),
    SCMP_SYS(listen),
    SCMP_SYS(accept),
    SCMP_SYS(accept4),
    SCMP_SYS(connect),
    SCMP_SYS(getsockopt),
    SCMP_SYS(setsockopt),
    SCMP_SYS(getsockname),
    SCMP_SYS(getpeername),
    SCMP_SYS(sendto),
    SCMP_SYS(sendmsg),
    SCMP_SYS(sendmmsg),
    SCMP_SYS(recvfrom),
    SCMP_SYS(recvmsg),
    SCMP_SYS(recvmmsg),
    SCMP_SYS(shutdown),
    SCMP_SYS(bpf),
#if defined(SEKISHO_ADDRESS_SANITIZER) || defined(SEKISHO_THREAD_SANITIZER)
    // What the sanitizers do at the end: a process that looks at this one.
    SCMP_SYS(ptrace),
    SCMP_SYS(wait4),
    SCMP_SYS(clone),
    SCMP_SYS(process_vm_readv),
    SCMP_SYS(personality),
    SCMP_SYS(getpgrp),
    SCMP_SYS(kill),
    SCMP_SYS(sched_getattr),
#endif
};

// Of these, and of no others: what opens a connection to elsewhere is none of them. AF_INET and AF_INET6 carry ioctl()s
// about interfaces, as datagram sockets.
constexpr std::array kFamilies = {1 /* AF_UNIX */, 16 /* AF_NETLINK */, 17 /* AF_PACKET */, 44 /* AF_XDP */};
constexpr std::array kDatagramFamilies = {2 /* AF_INET */, 10 /* AF_INET6 */};
constexpr std::uint64_t kSocketType = 0xf;

Expected<void> filter_system_calls() {
    const std::unique_ptr<void, decltype(&seccomp_release)> filter(seccomp_init(SCMP_ACT_ERRNO(EPERM)),
                                                                   &seccomp_release);
    if (filter == nullptr) return Error{ErrorCode::unavailable, "libseccomp gives no filter"};
    int error = 0;
    const auto rule = [&](std::uint32_t action, int call, const std::vector<scmp_arg_cmp>& arguments) {
        if (error == 0)
            error = seccomp_rule_add_array(filter.get(), action, call, static_cast<unsigned>(arguments.size()),
                                           arguments.data());
    };
    for (const int call : kAllowed) rule(SCMP_ACT_ALLOW, call, {});
    // Threads, not processes. clone3's flags lie in memory, out of a filter's reach: the C library takes clone then.
    const scmp_arg_cmp thread{0, SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD};
#if !defined(SEKISHO_ADDRESS_SANITIZER) && !defined(SEKISHO_THREAD_SANITIZER)
    rule(SCMP_ACT_ALLOW, SCMP_SYS(clone), {thread});
#else
    static_cast<void>(thread);
#endif
    rule(SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), {});
    for (const int family : kFamilies)
        rule(SCMP_ACT_ALLOW, SCMP_SYS(socket), {{0, SCMP_CMP_EQ, static_cast<scmp_datum_t>(family), 0}});
    for (const int family : kDatagramFamilies)
        rule(SCMP_ACT_ALLOW, SCMP_SYS(socket),
             {{0, SCMP_CMP_EQ, static_cast<scmp_datum_t>(family), 0}, {1, SCMP_CMP_MASKED_EQ, kSocketType, 2}});
    // For all threads; with no-new-privileges for all of them; and without the mitigation that older kernels slow a
    // filtered process down with, which a forwarding plane of one owner does not need.
    if (error == 0) error = seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_TSYNC, 1);
    if (error == 0) error = seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_SSB, 1);
    if (error == 0) error = seccomp_load(filter.get());
    if (error != 0)
        return Error{ErrorCode::unavailable, fmt::format("the filter of system calls: {}", std::strerror(-error))};
    return {};
}

}  // namespace

Confinement confinement_for(const std::vector<std::string>& devargs) {
    Confinement confinement;
    // Kernel ports may come with any policy.
    confinement.capabilities = bit(CAP_NET_ADMIN);
    for (const std::string& each : devargs)
        if (each.starts_with("net_af_xdp")) confinement.capabilities |= bit(CAP_BPF);
    return confinement;
}

Expected<void> confine(const Confinement& confinement) {
    if (auto dropped = drop_capabilities(confinement.capabilities); !dropped) return dropped;
    return filter_system_calls();
}

}  // namespace sekisho::control
