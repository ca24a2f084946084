// Takes ESP in UDP for the kernel on a port: a socket that says UDP_ENCAP (RFC 3948), as an IKE daemon has one, and
// nothing else. For the peer of tests/system/qemu_esp_test.py. udp_encapsulation PORT; ends when it is ended.
#include <arpa/inet.h>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <linux/udp.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int count, char** words) {
    const int port = count == 2 ? std::atoi(words[1]) : 0;
    if (port <= 0 || port > 65535) return 2;
    const int number = ::socket(AF_INET, SOCK_DGRAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    const int kind = UDP_ENCAP_ESPINUDP;
    if (number < 0 || ::bind(number, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        ::setsockopt(number, IPPROTO_UDP, UDP_ENCAP, &kind, sizeof kind) != 0) {
        std::perror("udp_encapsulation");
        return 1;
    }
    for (;;) ::pause();
}
