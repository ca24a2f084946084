// Opening, starting and closing DPDK devices, and the two calls that move frames.
#include "dataplane/port.hpp"

#include <array>
#include <bit>
#include <cstring>
#include <vector>

#include <fmt/format.h>
#include <rte_dev.h>
#include <rte_ethdev.h>

namespace sekisho::dataplane {
namespace {

constexpr std::uint16_t kDescriptors = 1024;

Error failed(const PortSpec& spec, const char* step, int code) {
    return {ErrorCode::unavailable,
            fmt::format("port {} ({}): {}: {}", spec.name, spec.devargs, step, rte_strerror(code < 0 ? -code : code))};
}

constexpr std::uint64_t kRssTypes = RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP;

DeviceAbilities abilities_of(const rte_eth_dev_info& info, std::uint16_t most_queues) {
    DeviceAbilities abilities;
    const std::uint16_t most = most_queues == 0 ? std::uint16_t{0xffff} : most_queues;
    abilities.receive_queues = std::min(info.max_rx_queues, most);
    abilities.transmit_queues = std::min(info.max_tx_queues, most);
    // net_tap names types and hashes nothing by itself: the kernel chooses the queue, by flow.
    const bool hashes = info.driver_name != nullptr && std::strcmp(info.driver_name, "net_tap") != 0;
    abilities.rss_types = hashes ? info.flow_type_rss_offloads : 0;
    abilities.rss_key_bytes = info.hash_key_size;
    abilities.lock_free_transmit = (info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_MT_LOCKFREE) != 0;
    return abilities;
}

// A Toeplitz key whose bytes repeat by two hashes (a, b) and (b, a) alike, addresses and ports (Woo and Park, 2012).
std::vector<std::uint8_t> symmetric_key(std::size_t bytes) {
    std::vector<std::uint8_t> key(bytes);
    for (std::size_t i = 0; i < bytes; ++i) key[i] = i % 2 == 0 ? 0x6d : 0x5a;
    return key;
}

Expected<void> configure(const PortSpec& spec, std::uint16_t device, const PortPlan& plan, std::size_t key_bytes) {
    rte_eth_conf conf{};
    std::vector<std::uint8_t> key;
    if (plan.rss_types != 0) {
        conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
        conf.rx_adv_conf.rss_conf.rss_hf = plan.rss_types;
        if (plan.rss_symmetric) {
            key = symmetric_key(key_bytes);
            conf.rx_adv_conf.rss_conf.rss_key = key.data();
            conf.rx_adv_conf.rss_conf.rss_key_len = static_cast<std::uint8_t>(key.size());
        }
    }
    if (plan.shares_transmit) conf.txmode.offloads |= RTE_ETH_TX_OFFLOAD_MT_LOCKFREE;
    if (const int code = rte_eth_dev_configure(device, plan.receive_queues, plan.transmit_queues, &conf); code != 0)
        return failed(spec, "configure", code);
    return {};
}

// As many descriptors as the device allows, up to ours.
Expected<void> set_up_queues(const PortSpec& spec, std::uint16_t device, const PortPlan& plan, rte_mempool* pool) {
    std::uint16_t receive = kDescriptors;
    std::uint16_t transmit = kDescriptors;
    if (const int code = rte_eth_dev_adjust_nb_rx_tx_desc(device, &receive, &transmit); code != 0)
        return failed(spec, "descriptor counts", code);
    const auto socket = static_cast<unsigned>(std::max(0, rte_eth_dev_socket_id(device)));
    for (std::uint16_t queue = 0; queue < plan.receive_queues; ++queue)
        if (const int code = rte_eth_rx_queue_setup(device, queue, receive, socket, nullptr, pool); code != 0)
            return failed(spec, "receive queue", code);
    for (std::uint16_t queue = 0; queue < plan.transmit_queues; ++queue)
        if (const int code = rte_eth_tx_queue_setup(device, queue, transmit, socket, nullptr); code != 0)
            return failed(spec, "transmit queue", code);
    return {};
}

// The device takes frames for any MAC address: an attachment's is not the device's own.
void listen_to_all(std::uint16_t device) {
    // Some virtual devices know neither and give everything anyway.
    static_cast<void>(rte_eth_promiscuous_enable(device));
    static_cast<void>(rte_eth_allmulticast_enable(device));
}

}  // namespace

Expected<std::unique_ptr<Port>> Port::open(const PortSpec& spec, std::size_t workers, rte_mempool* pool) {
    const std::string device_name = spec.devargs.substr(0, spec.devargs.find(','));
    std::uint16_t device = 0;
    if (rte_eth_dev_get_port_by_name(device_name.c_str(), &device) == 0)
        return Error{ErrorCode::exists,
                     fmt::format("port {}: device {} is another port already", spec.name, device_name)};
    std::unique_ptr<XdpSteering> steering;
    if (XdpSteering::wanted_by(spec.devargs)) {
        auto prepared = XdpSteering::prepare(spec.name, spec.devargs, spec.kernel_services);
        if (!prepared) return prepared.error();
        steering = std::move(*prepared);
    }
    if (const int code = rte_dev_probe((steering ? steering->devargs() : spec.devargs).c_str()); code != 0)
        return failed(spec, "no such device, or its driver refused", code);
    if (rte_eth_dev_get_port_by_name(device_name.c_str(), &device) != 0)
        return Error{ErrorCode::not_found,
                     fmt::format("port {}: {} is not an Ethernet device", spec.name, spec.devargs)};

    std::unique_ptr<Port> port(new Port(spec, device));
    port->steering_ = std::move(steering);
    rte_eth_dev_info info{};
    if (const int code = rte_eth_dev_info_get(device, &info); code != 0)
        return failed(spec, "device information", code);
    if (info.max_rx_queues == 0 || info.max_tx_queues == 0)
        return Error{ErrorCode::limit,
                     fmt::format("port {}: the device has no queue to receive or to send", spec.name)};
    port->plan_ = plan_port(abilities_of(info, spec.queues), workers, kRssTypes);
    if (auto done = configure(spec, device, port->plan_, info.hash_key_size); !done) return done.error();
    // A device that cannot change its MTU (net_ring, net_pcap) has none that could be exceeded.
    if (const int code = rte_eth_dev_set_mtu(device, spec.mtu); code != 0 && code != -ENOTSUP)
        return failed(spec, "set the MTU", code);
    if (auto ready = set_up_queues(spec, device, port->plan_, pool); !ready) return ready.error();
    if (port->steering_)
        if (auto steers = port->steering_->begin(); !steers) return steers.error();
    if (const int code = rte_eth_dev_start(device); code != 0) return failed(spec, "start", code);
    listen_to_all(device);
    return port;
}

Port::~Port() {
    rte_eth_dev_stop(device_);
    rte_eth_dev_close(device_);
}

PortInfo Port::info() const {
    PortInfo result;
    result.name = spec_.name;
    result.devargs = spec_.devargs;
    result.plan = plan_;
    rte_eth_dev_info info{};
    if (rte_eth_dev_info_get(device_, &info) == 0 && info.driver_name != nullptr) result.driver = info.driver_name;
    rte_ether_addr mac{};
    if (rte_eth_macaddr_get(device_, &mac) == 0) {
        MacAddress::Bytes bytes;
        std::memcpy(bytes.data(), mac.addr_bytes, bytes.size());
        result.mac = MacAddress(bytes);
    }
    rte_eth_dev_get_mtu(device_, &result.mtu);
    rte_eth_link link{};
    if (rte_eth_link_get_nowait(device_, &link) == 0) {
        result.link_up = link.link_status == RTE_ETH_LINK_UP;
        result.link_mbps = link.link_speed == RTE_ETH_SPEED_NUM_UNKNOWN ? 0 : link.link_speed;
    }
    rte_eth_stats stats{};
    if (rte_eth_stats_get(device_, &stats) == 0) {
        result.received = stats.ipackets;
        result.missed = stats.imissed;
        result.receive_errors = stats.ierrors;
        result.no_buffer = stats.rx_nombuf;
        result.transmit_errors = stats.oerrors;
    }
    if (steering_) result.xdp = steering_->counters();
    return result;
}

std::unique_ptr<const RssMap> Port::rss_map(PortId self, std::size_t workers) const {
    if (plan_.spreads || plan_.receive_queues < 2) return nullptr;
    rte_eth_dev_info info{};
    if (rte_eth_dev_info_get(device_, &info) != 0 || !std::has_single_bit(info.reta_size)) return nullptr;
    // 1. The key, and what is hashed by it.
    constexpr std::uint64_t kTcpAndUdp = RTE_ETH_RSS_NONFRAG_IPV4_TCP | RTE_ETH_RSS_NONFRAG_IPV4_UDP;
    std::array<std::uint8_t, 255> key{};
    rte_eth_rss_conf conf{};
    conf.rss_key = key.data();
    conf.rss_key_len = info.hash_key_size != 0 ? info.hash_key_size : std::uint8_t{40};
    if (rte_eth_dev_rss_hash_conf_get(device_, &conf) != 0 || (conf.rss_hf & kTcpAndUdp) != kTcpAndUdp ||
        conf.rss_key_len < RssMap::kKey)
        return nullptr;
    // 2. The queues.
    constexpr std::size_t kGroup = RTE_ETH_RETA_GROUP_SIZE;
    std::vector<rte_eth_rss_reta_entry64> table((info.reta_size + kGroup - 1) / kGroup);
    for (rte_eth_rss_reta_entry64& group : table) group.mask = ~std::uint64_t{0};
    if (rte_eth_dev_rss_reta_query(device_, table.data(), info.reta_size) != 0) return nullptr;
    std::vector<WorkerId> by_hash;
    for (std::size_t i = 0; i < info.reta_size; ++i) {
        const std::uint16_t queue = table[i / kGroup].reta[i % kGroup];
        by_hash.push_back(plan_.worker_of(self, QueueId(queue), workers));
    }
    return std::make_unique<const RssMap>(std::span(key).first<RssMap::kKey>(), std::move(by_hash));
}

std::size_t Port::receive(QueueId queue, std::span<rte_mbuf*> frames) const noexcept {
    return rte_eth_rx_burst(device_, queue.value(), frames.data(), static_cast<std::uint16_t>(frames.size()));
}

std::size_t Port::transmit(QueueId queue, std::span<rte_mbuf*> frames) const noexcept {
    return rte_eth_tx_burst(device_, queue.value(), frames.data(), static_cast<std::uint16_t>(frames.size()));
}

}  // namespace sekisho::dataplane
