// SPDX-License-Identifier: BSD-3-Clause
// What sekishod and its XDP program say to each other in maps; for C and C++.
#ifndef SEKISHO_DATAPLANE_XDP_STEER_H
#define SEKISHO_DATAPLANE_XDP_STEER_H

#include <linux/types.h>

#define STEER_PROGRAM "sekisho_steer" /* the program's name, by which a leftover is known */
#define STEER_MAX_ADDRESSES 64
#define STEER_MAX_SERVICES 64

/* Key of sk_addresses: an address of the interface, IPv4 as ::ffff:a.b.c.d. */
struct steer_address {
    __u8 bytes[16];
};
/* Key of sk_services: port in host order, 0 for a protocol without ports; IPPROTO_ICMP stands for ICMPv6 too. */
struct steer_service {
    __u16 port;
    __u8 protocol;
    __u8 zero;
};
/* Indices of sk_counters, in frames. */
enum { STEER_TO_PORT, STEER_TO_KERNEL, STEER_NO_SOCKET, STEER_COUNTERS };
/* sk_owner: the process, and when it started (field 22 of /proc/PID/stat): numbers of processes are used again. */
struct steer_owner {
    __u64 started;
    __u32 process;
    __u32 zero;
};

#endif
