// Steering by maps, and leftovers.
#include "dataplane/xdp_steering.hpp"

#include <algorithm>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <ifaddrs.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <netinet/in.h>
#include <optional>
#include <sys/mman.h>
#include <unistd.h>

#include <fmt/format.h>

#include "dataplane/xdp/object.hpp"

namespace sekisho::dataplane {
namespace {

std::string why(int code) {
    return std::strerror(code < 0 ? -code : code);
}

// The value of `key` in "net_af_xdp0,iface=eth1,start_queue=0"; empty when it is not there.
std::string value_of(const std::string& devargs, const std::string& key) {
    std::size_t at = 0;
    while ((at = devargs.find(',', at)) != std::string::npos) {
        const std::size_t end = std::min(devargs.find(',', ++at), devargs.size());
        const std::string item = devargs.substr(at, end - at);
        if (item.starts_with(key + "=")) return item.substr(key.size() + 1);
    }
    return {};
}

// When a process started, in clock ticks since boot (proc(5), /proc/PID/stat, field 22); nothing when there is none.
std::optional<std::uint64_t> start_of(std::uint32_t process) {
    std::ifstream file(fmt::format("/proc/{}/stat", process));
    std::string text;
    if (!std::getline(file, text)) return std::nullopt;
    // The second field is a name in parentheses, which may hold anything.
    std::size_t at = text.rfind(')');
    for (int field = 2; at != std::string::npos && field < 22; ++field) at = text.find(' ', at + 1);
    if (at == std::string::npos) return std::nullopt;
    std::uint64_t started = 0;
    std::from_chars(text.data() + at + 1, text.data() + text.size(), started);
    return started;
}

// Descriptors that close themselves.
class Descriptor {
  public:
    explicit Descriptor(int fd) noexcept : fd_(fd) {}
    ~Descriptor() {
        if (fd_ >= 0) close(fd_);
    }
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    int get() const noexcept { return fd_; }
    int release() noexcept { return std::exchange(fd_, -1); }

  private:
    int fd_;
};

// The program of this number: its name, and its map of that name (-1: none).
std::string name_of_program(int program) {
    bpf_prog_info info{};
    std::uint32_t length = sizeof info;
    return bpf_obj_get_info_by_fd(program, &info, &length) == 0 ? std::string(info.name) : std::string();
}

int map_of_program(int program, const std::string& name) {
    bpf_prog_info info{};
    std::uint32_t length = sizeof info;
    std::array<std::uint32_t, 16> maps{};
    info.nr_map_ids = maps.size();
    info.map_ids = reinterpret_cast<std::uintptr_t>(maps.data());
    if (bpf_obj_get_info_by_fd(program, &info, &length) != 0) return -1;
    for (std::size_t i = 0; i < std::min<std::size_t>(info.nr_map_ids, maps.size()); ++i) {
        Descriptor map(bpf_map_get_fd_by_id(maps[i]));
        if (map.get() < 0) continue;
        bpf_map_info found{};
        std::uint32_t size = sizeof found;
        if (bpf_obj_get_info_by_fd(map.get(), &found, &size) == 0 && name == found.name) return map.release();
    }
    return -1;
}

// The number of the XDP program on the interface; 0: none.
Expected<std::uint32_t> program_on(int index) {
    std::uint32_t number = 0;
    if (const int code = bpf_xdp_query_id(index, 0, &number); code != 0)
        return Error{ErrorCode::unavailable, fmt::format("asking for its XDP program: {}", why(code))};
    return number;
}

// Removes a program of ours whose process is no more.
Expected<void> clear_leftover(const std::string& port, const std::string& interface, int index) {
    const auto number = program_on(index);
    if (!number)
        return Error{number.error().code, fmt::format("port {} ({}): {}", port, interface, number.error().words)};
    if (*number == 0) return {};
    const Descriptor program(bpf_prog_get_fd_by_id(*number));
    if (program.get() < 0)
        return Error{ErrorCode::unavailable, fmt::format("port {} ({}): looking at its XDP program {}: {}", port,
                                                         interface, *number, why(errno))};
    const std::string name = name_of_program(program.get());
    const Descriptor owner_map(map_of_program(program.get(), "sk_owner"));
    if (name != STEER_PROGRAM || owner_map.get() < 0)
        return Error{
            ErrorCode::exists,
            fmt::format("port {}: interface {} has the XDP program \"{}\" ({}), which is not ours; if nothing needs "
                        "it: ip link set dev {} xdp off",
                        port, interface, name, *number, interface)};
    steer_owner owner{};
    const std::uint32_t first = 0;
    if (bpf_map_lookup_elem(owner_map.get(), &first, &owner) != 0)
        return Error{ErrorCode::unavailable,
                     fmt::format("port {} ({}): reading whose its XDP program is: {}", port, interface, why(errno))};
    // One whose owner was never written was left by a process that died while it started.
    if (owner.process != 0 && start_of(owner.process) == owner.started)
        return Error{ErrorCode::exists, fmt::format("port {}: interface {} is in use by process {}", port, interface,
                                                    std::uint32_t{owner.process})};
    if (const int code = bpf_xdp_detach(index, 0, nullptr); code != 0)
        return Error{ErrorCode::unavailable, fmt::format("port {} ({}): removing what process {} left: {}", port,
                                                         interface, std::uint32_t{owner.process}, why(code))};
    return {};
}

// The interface's own addresses, IPv4 mapped, in order.
std::vector<std::array<std::uint8_t, 16>> addresses_of(const std::string& interface) {
    std::vector<std::array<std::uint8_t, 16>> result;
    ifaddrs* list = nullptr;
    if (getifaddrs(&list) != 0) return result;
    for (const ifaddrs* each = list; each != nullptr; each = each->ifa_next) {
        if (each->ifa_addr == nullptr || interface != each->ifa_name) continue;
        std::array<std::uint8_t, 16> address{};
        if (each->ifa_addr->sa_family == AF_INET) {
            sockaddr_in ipv4;
            std::memcpy(&ipv4, each->ifa_addr, sizeof ipv4);
            address[10] = address[11] = 0xff;
            std::memcpy(address.data() + 12, &ipv4.sin_addr, 4);
        } else if (each->ifa_addr->sa_family == AF_INET6) {
            sockaddr_in6 ipv6;
            std::memcpy(&ipv6, each->ifa_addr, sizeof ipv6);
            std::memcpy(address.data(), &ipv6.sin6_addr, 16);
        } else {
            continue;
        }
        result.push_back(address);
    }
    freeifaddrs(list);
    std::sort(result.begin(), result.end());
    result.resize(std::min<std::size_t>(result.size(), STEER_MAX_ADDRESSES));
    return result;
}

Expected<KernelService> parse_service(const std::string& text) {
    if (text == "icmp") return KernelService{IPPROTO_ICMP, 0};
    const auto bad = [&] {
        return Error{ErrorCode::invalid, "\"" + text + "\": icmp, tcp/PORT or udp/PORT is expected, as in tcp/22"};
    };
    KernelService service;
    if (text.starts_with("tcp/"))
        service.protocol = IPPROTO_TCP;
    else if (text.starts_with("udp/"))
        service.protocol = IPPROTO_UDP;
    else
        return bad();
    const char* const end = text.data() + text.size();
    const auto [rest, code] = std::from_chars(text.data() + 4, end, service.port);
    if (code != std::errc() || rest != end || service.port == 0) return bad();
    return service;
}

}  // namespace

Expected<std::vector<KernelService>> parse_kernel_services(const std::string& text) {
    std::vector<KernelService> services;
    if (text == "none") return services;
    for (std::size_t at = 0; at <= text.size();) {
        const std::size_t end = std::min(text.find(',', at), text.size());
        auto service = parse_service(text.substr(at, end - at));
        if (!service) return service.error();
        services.push_back(*service);
        at = end + 1;
    }
    if (services.size() > STEER_MAX_SERVICES)
        return Error{ErrorCode::limit,
                     fmt::format("{} services; at most {} are possible", services.size(), STEER_MAX_SERVICES)};
    return services;
}

std::vector<KernelService> usual_kernel_services() {
    return {{IPPROTO_ICMP, 0},   {IPPROTO_TCP, 22},   {IPPROTO_TCP, 179},  {IPPROTO_UDP, 500},
            {IPPROTO_UDP, 4500}, {IPPROTO_UDP, 3784}, {IPPROTO_UDP, 3785}, {IPPROTO_UDP, 4784}};
}

bool XdpSteering::wanted_by(const std::string& devargs) {
    return devargs.starts_with("net_af_xdp") && value_of(devargs, "xdp_prog").empty();
}

Error XdpSteering::failed(const std::string& what, int code) const {
    return {ErrorCode::unavailable, fmt::format("port {} ({}): {}: {}", port_, interface_, what, why(code))};
}

Expected<std::unique_ptr<XdpSteering>> XdpSteering::prepare(const std::string& port, const std::string& devargs,
                                                            std::vector<KernelService> services) {
    std::unique_ptr<XdpSteering> steering(new XdpSteering);
    steering->port_ = port;
    steering->interface_ = value_of(devargs, "iface");
    if (steering->interface_.empty())
        return Error{ErrorCode::invalid, fmt::format("port {}: {} names no interface (iface=)", port, devargs)};
    steering->index_ = static_cast<int>(if_nametoindex(steering->interface_.c_str()));
    if (steering->index_ == 0)
        return Error{ErrorCode::not_found,
                     fmt::format("port {}: there is no interface {}", port, steering->interface_)};
    if (auto clear = clear_leftover(port, steering->interface_, steering->index_); !clear) return clear.error();
    steering->services_ = std::move(services);

    // The driver wants a file: one that is nowhere but in memory.
    steering->object_ = memfd_create("sekisho-steer", MFD_CLOEXEC);
    if (steering->object_ < 0) return steering->failed("a file for its XDP program", errno);
    const auto written = write(steering->object_, kSteerObject.data(), kSteerObject.size());
    if (written != static_cast<ssize_t>(kSteerObject.size()))
        return steering->failed("a file for its XDP program", written < 0 ? errno : ENOSPC);
    steering->devargs_ = fmt::format("{},xdp_prog=/proc/self/fd/{}", devargs, steering->object_);
    return steering;
}

XdpSteering::~XdpSteering() {
    for (const int fd : {object_, addresses_, counters_})
        if (fd >= 0) close(fd);
}

Expected<void> XdpSteering::begin() {
    const auto number = program_on(index_);
    if (!number)
        return Error{number.error().code, fmt::format("port {} ({}): {}", port_, interface_, number.error().words)};
    const Descriptor program(bpf_prog_get_fd_by_id(*number));
    if (program.get() < 0) return failed("its XDP program is not there", errno);
    const Descriptor owners(map_of_program(program.get(), "sk_owner"));
    const Descriptor services(map_of_program(program.get(), "sk_services"));
    addresses_ = map_of_program(program.get(), "sk_addresses");
    counters_ = map_of_program(program.get(), "sk_counters");
    if (owners.get() < 0 || services.get() < 0 || addresses_ < 0 || counters_ < 0)
        return failed("the maps of its XDP program", ENOENT);

    const std::uint32_t first = 0;
    steer_owner owner{};
    owner.process = static_cast<std::uint32_t>(getpid());
    owner.started = start_of(owner.process).value_or(0);
    if (bpf_map_update_elem(owners.get(), &first, &owner, BPF_ANY) != 0) return failed("saying whose it is", errno);
    const std::uint8_t yes = 1;
    for (const KernelService& service : services_) {
        steer_service key{};
        key.protocol = service.protocol;
        key.port = service.port;
        if (bpf_map_update_elem(services.get(), &key, &yes, BPF_ANY) != 0)
            return failed("the kernel's services", errno);
    }
    return refresh();
}

Expected<void> XdpSteering::refresh() {
    const std::vector<Address> now = addresses_of(interface_);
    if (now == known_) return {};
    const std::uint8_t yes = 1;
    for (const Address& gone : known_)
        if (!std::binary_search(now.begin(), now.end(), gone)) bpf_map_delete_elem(addresses_, gone.data());
    known_ = now;
    for (const Address& address : now)
        if (bpf_map_update_elem(addresses_, address.data(), &yes, BPF_ANY) != 0)
            return failed("the interface's addresses", errno);
    return {};
}

XdpSteering::Counters XdpSteering::counters() const {
    // A per-CPU map gives a value for every processor that there might be.
    std::vector<std::uint64_t> each(static_cast<std::size_t>(std::max(1, libbpf_num_possible_cpus())));
    std::array<std::uint64_t, STEER_COUNTERS> sums{};
    for (std::uint32_t counter = 0; counter < STEER_COUNTERS; ++counter)
        if (bpf_map_lookup_elem(counters_, &counter, each.data()) == 0)
            for (const std::uint64_t value : each) sums[counter] += value;
    return {sums[STEER_TO_PORT], sums[STEER_TO_KERNEL], sums[STEER_NO_SOCKET]};
}

}  // namespace sekisho::dataplane
