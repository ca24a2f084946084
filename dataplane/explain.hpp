// Why a packet goes where it goes: an imagined packet through the real stages and the real tables, each decision in
// words.
//
// Nothing is sent, held or counted for real: the packet walks on a state of its own. Control thread, on the tables that
// are published; DPDK must be running, for the packet's buffer.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "dataplane/associations.hpp"
#include "dataplane/tables.hpp"
#include "net/drop_reason.hpp"
#include "net/expected.hpp"

struct rte_mempool;

namespace sekisho::dataplane {

// A packet that has not been sent. Source and destination of one family; the source as its sender has it, in operator
// space, the destination in hub space.
struct ImaginedPacket {
    AttachmentId attachment;
    IpAddress source = Ipv4Address();
    IpAddress destination = Ipv4Address();
    std::uint8_t protocol = 6;
    std::uint16_t source_port = 40000;
    std::uint16_t destination_port = 0;
    std::uint8_t tcp_flags = 0x02;  // SYN
    std::uint8_t icmp_type = 8;     // for ICMPv6 128 is meant by an echo request, 129 by a reply
    std::uint8_t ttl = 64;
    std::uint16_t length = 0;  // of the IP packet, in bytes; 0: as short as it can be
    bool dont_fragment = true;
};

struct Explanation {
    struct Step {
        std::string stage;  // as in kStages
        std::string words;  // what was looked up and what it gave
    };
    // Names behind the numbers of the tables; control/ knows them.
    struct Names {
        virtual ~Names() = default;
        virtual std::string attachment(AttachmentId id) const = 0;
        virtual std::string institution(InstitutionId id) const = 0;
        virtual std::string vrf(VrfId id) const = 0;
    };

    std::vector<Step> steps;
    std::optional<DropReason> dropped;  // nullopt: it leaves
    std::string error;                  // the ICMP error that its sender gets, or empty
    // When it leaves: by which attachment, with which addresses, to which next hop.
    std::optional<AttachmentId> egress;  // of a sealed packet: the tunnel's
    std::string source;
    std::string destination;
    std::string next_hop;
};

// `associations`: the node's, if it has any; no sequence number is taken. `pool` is the node's pool of packet buffers.
// The error: mixed families, no such attachment, no buffer.
Expected<Explanation> explain(const Tables& tables, const Associations* associations, const ImaginedPacket& packet,
                              const Explanation::Names& names, rte_mempool* pool);

}  // namespace sekisho::dataplane
