// `sekishod --check`: what stands in the way of starting, in words that say what to do about it.
//
// Looks at the system only; starts nothing and leaves nothing behind. Control thread, before the engine is started.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

#include "dataplane/engine.hpp"
#include "dataplane/environment.hpp"

namespace sekisho::dataplane {
namespace {

constexpr std::uint64_t kDescriptors = 1024;  // of a NIC's receive queue: each keeps a buffer

bool is_pci(const std::string& device) {
    // 0000:03:00.0
    return std::count(device.begin(), device.end(), ':') >= 1 && device.find('.') != std::string::npos;
}

void check_memory(const EngineConfig& config, std::vector<std::string>& found) {
    const unsigned free_megabytes = free_hugepage_megabytes();
    if (config.hugepages.value_or(false) && free_megabytes < config.memory_megabytes)
        found.push_back(
            fmt::format("hugepages: {} MB are free, {} MB are asked for; reserve more "
                        "(sysctl vm.nr_hugepages={}) or start with --no-huge, a slower mode",
                        free_megabytes, config.memory_megabytes, (config.memory_megabytes + 1) / 2));
    const std::uint64_t buffers = std::uint64_t{config.buffers} * 2500 >> 20;  // a buffer and its headers, about
    if (buffers > config.memory_megabytes)
        found.push_back(fmt::format("memory: {} packet buffers need about {} MB of the {} MB", config.buffers, buffers,
                                    config.memory_megabytes));
}

// What NICs keep in their receive queues must leave as many buffers again for packets on their way.
void check_buffers(const EngineConfig& config, std::vector<std::string>& found) {
    const auto is_nic = [](const PortSpec& port) { return is_pci(port.devargs.substr(0, port.devargs.find(','))); };
    const auto nics = static_cast<std::uint64_t>(std::count_if(config.ports.begin(), config.ports.end(), is_nic));
    const std::uint64_t workers = std::max<std::uint64_t>(1, config.workers);
    const std::uint64_t kept = nics * workers * kDescriptors;
    if (2 * kept > config.buffers)
        found.push_back(
            fmt::format("buffers: {} NICs with a queue for each of {} workers keep {} of the {} packet "
                        "buffers; give --buffers {}",
                        nics, workers, kept, config.buffers, 2 * kept));
}

void check_pci(const PortSpec& port, const std::string& device, std::vector<std::string>& found) {
    const std::filesystem::path sys = "/sys/bus/pci/devices/" + device;
    if (!std::filesystem::exists(sys)) {
        found.push_back(fmt::format("port {}: there is no PCI device {}", port.name, device));
        return;
    }
    std::error_code none;
    const std::string driver = std::filesystem::read_symlink(sys / "driver", none).filename().string();
    if (driver != "vfio-pci" && !driver.starts_with("mlx"))
        found.push_back(fmt::format("port {}: {} is bound to {}, not to vfio-pci", port.name, device,
                                    driver.empty() ? "no driver" : driver));
    if (!std::filesystem::exists("/dev/vfio/vfio"))
        found.push_back(
            fmt::format("port {}: /dev/vfio/vfio is missing; load vfio-pci and turn the IOMMU on", port.name));
}

// The value of `key=` in devargs, or "".
std::string argument(const std::string& devargs, const std::string& key) {
    const std::size_t at = devargs.find("," + key + "=");
    if (at == std::string::npos) return "";
    const std::size_t begin = at + key.size() + 2;
    return devargs.substr(begin, devargs.find(',', begin) - begin);
}

void check_virtual(const PortSpec& port, const std::string& device, std::vector<std::string>& found) {
    const std::string interface = argument(port.devargs, "iface");
    if (device.starts_with("net_tap")) {
        if (access("/dev/net/tun", R_OK | W_OK) != 0)
            found.push_back(fmt::format("port {}: /dev/net/tun cannot be opened; load tun, or run as root", port.name));
        if (interface.size() >= 16)
            found.push_back(fmt::format("port {}: iface={} is longer than 15 characters", port.name, interface));
    }
    const bool on_interface = device.starts_with("net_af_packet") || device.starts_with("net_af_xdp");
    if (on_interface && !std::filesystem::exists("/sys/class/net/" + interface))
        found.push_back(fmt::format("port {}: there is no network interface \"{}\"", port.name, interface));
    if (device.starts_with("net_pcap")) {
        const std::string file = argument(port.devargs, "rx_pcap");
        if (!file.empty() && access(file.c_str(), R_OK) != 0)
            found.push_back(fmt::format("port {}: {} cannot be read", port.name, file));
    }
}

void check_ports(const EngineConfig& config, std::vector<std::string>& found) {
    if (config.ports.empty()) found.emplace_back("ports: none is configured; give --port NAME=DEVARGS");
    std::set<std::string> names;
    std::set<std::string> devices;
    for (const PortSpec& port : config.ports) {
        const std::string device = port.devargs.substr(0, port.devargs.find(','));
        if (!names.insert(port.name).second)
            found.push_back(fmt::format("port {}: the name is given twice", port.name));
        if (!devices.insert(device).second)
            found.push_back(fmt::format("port {}: device {} is another port's already", port.name, device));
        if (is_pci(device))
            check_pci(port, device, found);
        else
            check_virtual(port, device, found);
    }
}

// Whether every processor that --lcores names is one that we may use.
void check_lcores(const EngineConfig& config, std::vector<std::string>& found) {
    const std::vector<int> usable = usable_processors();
    const std::string& lcores = config.lcores;
    for (std::size_t at = lcores.find('@'); at != std::string::npos; at = lcores.find('@', at + 1)) {
        const int processor = std::atoi(lcores.c_str() + at + 1);
        if (std::find(usable.begin(), usable.end(), processor) == usable.end())
            found.push_back(
                fmt::format("lcores: processor {} of \"{}\" is not one that this process may use", processor, lcores));
    }
}

}  // namespace

std::vector<std::string> missing(const EngineConfig& config) {
    std::vector<std::string> found;
    if (geteuid() != 0)
        found.emplace_back("permission: not root; ports and memory need CAP_NET_ADMIN, CAP_SYS_RAWIO and CAP_IPC_LOCK");
    check_memory(config, found);
    check_buffers(config, found);
    check_lcores(config, found);
    check_ports(config, found);
    const auto engines = crypto::engines_here();
    if (std::find(engines.begin(), engines.end(), config.esp_engine) == engines.end())
        found.push_back("ESP: this processor cannot run " + std::string(name_of(config.esp_engine)));
    return found;
}

}  // namespace sekisho::dataplane
