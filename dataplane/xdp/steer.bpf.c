// SPDX-License-Identifier: BSD-3-Clause
// What an AF_XDP port takes and what it leaves the kernel: an XDP program, one for each interface.
//
// The kernel gets what is sent to one of the interface's own addresses and asks for a service that the port's
// configuration leaves to it, besides fragments to those addresses (it puts them together), and ARP and neighbour
// discovery for them. Everything else is the port's, tagged frames always; on a queue without a socket it dies here, for
// what is meant for the hub must never be forwarded by the kernel. Reads headers within the frame's bounds only, and
// rewrites nothing. RFC 826, 791, 8200, 4861.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/in6.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "steer.h"

#define MAX_EXTENSION_HEADERS 4

struct ethernet {
    __u8 destination[6], source[6];
    __be16 type;
} __attribute__((packed));

struct arp {
    __be16 hardware, protocol;
    __u8 hardware_length, protocol_length;
    __be16 operation;
    __u8 sender_mac[6], sender[4], target_mac[6], target[4];
} __attribute__((packed));

struct ipv4 {
    __u8 version_length, service;
    __be16 length, identification, flags_offset;
    __u8 ttl, protocol;
    __be16 checksum;
    __u8 source[4], destination[4];
} __attribute__((packed));

struct ipv6 {
    __be32 version_class_label;
    __be16 length;
    __u8 next_header, hop_limit;
    __u8 source[16], destination[16];
} __attribute__((packed));

struct extension {
    __u8 next_header, length;
    __u8 rest[6];
} __attribute__((packed));

struct l4_ports {
    __be16 source, destination;
} __attribute__((packed));

struct neighbour_message {
    __u8 type, code;
    __be16 checksum;
    __be32 reserved;
    __u8 target[16];
} __attribute__((packed));

struct {
    __uint(type, BPF_MAP_TYPE_XSKMAP);
    __uint(max_entries, 64);
    __type(key, __u32);
    __type(value, __u32);
} xsks_map SEC(".maps");  // the driver looks for it by this name

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, STEER_MAX_ADDRESSES);
    __type(key, struct steer_address);
    __type(value, __u8);
} sk_addresses SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, STEER_MAX_SERVICES);
    __type(key, struct steer_service);
    __type(value, __u8);
} sk_services SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, STEER_COUNTERS);
    __type(key, __u32);
    __type(value, __u64);
} sk_counters SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct steer_owner);
} sk_owner SEC(".maps");  // which process put the program here

static __always_inline void count(__u32 what) {
    __u64 *counter = bpf_map_lookup_elem(&sk_counters, &what);
    if (counter) ++*counter;
}

// Until sekishod says that the program is its own, sockets are only on their way.
static __always_inline int has_begun(void) {
    __u32 first = 0;
    struct steer_owner *owner = bpf_map_lookup_elem(&sk_owner, &first);
    return owner && owner->process != 0;
}

static __always_inline int is_ours4(const __u8 *address) {
    struct steer_address key = {.bytes = {[10] = 0xff, [11] = 0xff}};
    __builtin_memcpy(key.bytes + 12, address, 4);
    return bpf_map_lookup_elem(&sk_addresses, &key) != 0;
}

static __always_inline int is_ours6(const __u8 *address) {
    struct steer_address key;
    __builtin_memcpy(key.bytes, address, 16);
    return bpf_map_lookup_elem(&sk_addresses, &key) != 0;
}

static __always_inline int is_left(__u8 protocol, __be16 port) {
    struct steer_service key = {.port = bpf_ntohs(port), .protocol = protocol};
    return bpf_map_lookup_elem(&sk_services, &key) != 0;
}

// The other end's port counts too: the kernel may have begun the conversation.
static __always_inline int is_service(__u8 protocol, const void *l4, const void *end) {
    const struct l4_ports *ports = l4;
    if (protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6) return is_left(IPPROTO_ICMP, 0);
    if (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP) return is_left(protocol, 0);
    if ((const void *)(ports + 1) > end) return 0;
    return is_left(protocol, ports->destination) || is_left(protocol, ports->source);
}

static __always_inline int is_kernels_arp(const void *at, const void *end) {
    const struct arp *arp = at;
    if ((const void *)(arp + 1) > end) return 0;
    return arp->protocol == bpf_htons(ETH_P_IP) && arp->protocol_length == 4 && is_ours4(arp->target);
}

static __always_inline int is_kernels_ipv4(const void *at, const void *end) {
    const struct ipv4 *ip = at;
    __u32 length;
    if ((const void *)(ip + 1) > end || !is_ours4(ip->destination)) return 0;
    if (ip->flags_offset & bpf_htons(0x3fff)) return 1;
    length = (ip->version_length & 0x0f) * 4;
    if (length < sizeof *ip) return 0;
    return is_service(ip->protocol, at + length, end);
}

static __always_inline int is_kernels_ipv6(const void *at, const void *end) {
    const struct ipv6 *ip = at;
    const struct neighbour_message *message;
    const struct extension *extension;
    __u8 protocol;
    int i;
    if ((const void *)(ip + 1) > end) return 0;
    protocol = ip->next_header;
    at = ip + 1;
    message = at;
    // Neighbour discovery: a solicitation goes to a group, and says only inside whom it is for.
    if (protocol == IPPROTO_ICMPV6 && (const void *)(message + 1) <= end && (message->type == 135 || message->type == 136))
        return is_ours6(message->target) || is_ours6(ip->destination);
    if (!is_ours6(ip->destination)) return 0;
#pragma unroll
    for (i = 0; i < MAX_EXTENSION_HEADERS; ++i) {
        if (protocol == IPPROTO_FRAGMENT) return 1;
        if (protocol != IPPROTO_HOPOPTS && protocol != IPPROTO_ROUTING && protocol != IPPROTO_DSTOPTS) break;
        extension = at;
        if ((const void *)(extension + 1) > end) return 0;
        protocol = extension->next_header;
        at += (extension->length + 1) * 8;
    }
    return is_service(protocol, at, end);
}

SEC("xdp")
int sekisho_steer(struct xdp_md *context) {
    const void *end = (const void *)(long)context->data_end;
    const struct ethernet *ethernet = (const void *)(long)context->data;
    int to_kernel = 0;
    int action;
    if ((const void *)(ethernet + 1) <= end) {
        if (ethernet->type == bpf_htons(ETH_P_IP))
            to_kernel = is_kernels_ipv4(ethernet + 1, end);
        else if (ethernet->type == bpf_htons(ETH_P_IPV6))
            to_kernel = is_kernels_ipv6(ethernet + 1, end);
        else if (ethernet->type == bpf_htons(ETH_P_ARP))
            to_kernel = is_kernels_arp(ethernet + 1, end);
    }
    if (to_kernel) {
        count(STEER_TO_KERNEL);
        return XDP_PASS;
    }
    action = bpf_redirect_map(&xsks_map, context->rx_queue_index, XDP_DROP);
    if (action == XDP_REDIRECT)
        count(STEER_TO_PORT);
    else if (has_begun())
        count(STEER_NO_SOCKET);
    return action;
}

char _license[] SEC("license") = "BSD";
