// One end of a tunnel for scapy_test.py: seals and opens what stdin says, one question a line, all bytes hexadecimal.
//
//   sa SUITE ESN OUTER KEY SEQUENCE    a fresh pair of SAs: aes_gcm_128, 0 or 1, 4 or 6; the next number, which is also
//                                      where the window begins (a packet with it is accepted at once, unseen)
//   seal INNER                         answers the outer packet, or "dropped REASON"
//   open OUTER                         answers the inner packet, "dummy", or "dropped REASON"
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <sstream>
#include <string>

#include "crypto/esp.hpp"
#include "net/headers.hpp"

using namespace sekisho;
using namespace sekisho::crypto;

namespace {

using Bytes = std::vector<std::uint8_t>;

Bytes bytes_of(const std::string& hex) {
    Bytes bytes;
    for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
        bytes.push_back(static_cast<std::uint8_t>(std::stoul(hex.substr(i, 2), nullptr, 16)));
    return bytes;
}

void print(const std::uint8_t* at, std::size_t length) {
    for (std::size_t i = 0; i < length; ++i) std::printf("%02x", at[i]);
    std::printf("\n");
}

void print_dropped(DropReason reason) {
    std::printf("dropped %s\n", std::string(name_of(reason)).c_str());
}

template <class T>
T must(Expected<T> made) {
    if (made) return std::move(*made);
    std::fprintf(stderr, "%s\n", made.error().words.c_str());
    std::exit(EXIT_FAILURE);
}

class Peer {
  public:
    Peer() : engine_(must(make_engine(fastest_engine()))), store_(prepared_bytes(fastest_engine())), esp_(*engine_) {}

    void sa(std::istringstream& words) {
        std::string suite, key;
        bool esn = false;
        int outer = 4;
        std::uint64_t sequence = 1;
        words >> suite >> esn >> outer >> key >> sequence;
        OutboundConfig outbound{Spi(0xabcd01), *suite_named(suite), esn};
        outbound.local = *IpAddress::parse(outer == 4 ? "192.0.2.1" : "2001:db8::1");
        outbound.peer = *IpAddress::parse(outer == 4 ? "198.51.100.2" : "2001:db8:1::2");
        out_ = must(OutboundSa::make(outbound, Secret(bytes_of(key)), *engine_, store_));
        out_->sequence().begin(sequence, out_->last_sequence());
        out_->sequence().extend(out_->last_sequence() + 1);
        InboundConfig inbound{Spi(0xabcd01), *suite_named(suite), esn};
        inbound.selectors = {{Prefix4(), Prefix4()}, {Prefix6(), Prefix6()}};
        in_ = must(InboundSa::make(inbound, Secret(bytes_of(key)), *engine_, store_));
        if (sequence > 1) {
            ReplayWindow::Verdict verdict;
            const std::uint64_t before = sequence - 1;
            in_->window().accept({&before, 1}, &verdict);
        }
    }

    void seal(std::istringstream& words) {
        std::string hex;
        words >> hex;
        const Bytes inner = bytes_of(hex);
        Bytes buffer(out_->headroom() + inner.size() + OutboundSa::kTailroom);
        std::copy(inner.begin(), inner.end(), buffer.begin() + static_cast<std::ptrdiff_t>(out_->headroom()));
        SealPacket packet;
        packet.data = buffer.data() + out_->headroom();
        packet.length = static_cast<std::uint32_t>(inner.size());
        packet.headroom = static_cast<std::uint16_t>(out_->headroom());
        packet.tailroom = OutboundSa::kTailroom;
        packet.sa = out_.get();
        esp_.seal({&packet, 1});
        if (packet.outcome == EspOutcome::done) return print(packet.data, packet.length);
        print_dropped(packet.reason);
    }

    void open(std::istringstream& words) {
        std::string hex;
        words >> hex;
        Bytes outer = bytes_of(hex);
        OpenPacket packet;
        const bool v4 = outer.at(0) >> 4 == 4;
        const std::size_t header = v4 ? sizeof(Ipv4Header) : sizeof(Ipv6Header);
        packet.esp = outer.data() + header;
        packet.length = static_cast<std::uint32_t>(outer.size() - header);
        packet.outer_marks = v4 ? outer[1] : static_cast<std::uint8_t>(outer[0] << 4 | outer[1] >> 4);
        packet.sa = in_.get();
        esp_.open({&packet, 1});
        if (packet.outcome == EspOutcome::done) return print(packet.inner, packet.inner_length);
        if (packet.outcome == EspOutcome::dropped) return print_dropped(packet.reason);
        std::printf("dummy\n");
    }

  private:
    std::unique_ptr<AeadEngine> engine_;
    KeyStore store_;
    Esp esp_;
    std::unique_ptr<OutboundSa> out_;
    std::unique_ptr<InboundSa> in_;
};

}  // namespace

int main() {
    Peer peer;
    for (std::string question; std::getline(std::cin, question);) {
        std::istringstream words(question);
        std::string what;
        words >> what;
        if (what == "sa") peer.sa(words);
        if (what == "seal") peer.seal(words);
        if (what == "open") peer.open(words);
    }
    return EXIT_SUCCESS;
}
