"""Sockets on both sides of a hub, one process: a socket stays in the namespace in which it was made.

    port_block_talk.py CASE INSIDE-NAMESPACE INSIDE-ADDRESS OUTSIDE-NAMESPACE OUTSIDE-ADDRESS

Inside is behind a port block; the outside address has a service at 443 that says first whom it sees.
"""
import ctypes
import errno
import os
import socket
import sys
import time

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000
IP_MTU_DISCOVER, IP_PMTUDISC_DO, IP_MTU = 10, 2, 14
CASE, INSIDE, INSIDE_ADDRESS, OUTSIDE, OUTSIDE_ADDRESS = sys.argv[1:]


def made_in(namespace, kind, address, port=0):
    """A socket of that namespace, bound."""
    handle = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    if LIBC.setns(handle, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")
    os.close(handle)
    made = socket.socket(socket.AF_INET, kind)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    made.settimeout(3)
    made.bind((address, port))
    return made


def finds_mtu(sender, words):
    """Sends 1,400 bytes with DF until the kernel knows better."""
    sender.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO)
    for _ in range(20):
        try:
            sender.send(bytes(1372))
        except OSError as error:
            if error.errno == errno.EMSGSIZE:
                assert sender.getsockopt(socket.IPPROTO_IP, IP_MTU) == 1300, sender.getsockopt(socket.IPPROTO_IP, IP_MTU)
                return
            raise
        time.sleep(0.1)
    raise AssertionError(words)


def asked():
    """A question by UDP that has arrived, from both sides, connected."""
    server = made_in(OUTSIDE, socket.SOCK_DGRAM, OUTSIDE_ADDRESS, 5201)
    client = made_in(INSIDE, socket.SOCK_DGRAM, INSIDE_ADDRESS)
    client.connect((OUTSIDE_ADDRESS, 5201))
    client.send(b"?")
    server.connect(server.recvfrom(10)[1])
    return client, server


def endpoint(port):
    """Of a connection to the service from that port, which goes on: as whom it sees us."""
    client = made_in(INSIDE, socket.SOCK_STREAM, INSIDE_ADDRESS, port)
    client.connect((OUTSIDE_ADDRESS, 443))
    address, lent = client.makefile("rb").readline().split()
    return client, (address.decode(), int(lent))


def simultaneous():
    keeps, lent = endpoint(6000)
    outside = made_in(OUTSIDE, socket.SOCK_STREAM, OUTSIDE_ADDRESS, 4444)
    outside.setblocking(False)
    assert outside.connect_ex(lent) == errno.EINPROGRESS
    time.sleep(0.3)  # its SYN has been dropped by the filter, silently
    assert outside.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
    inside = made_in(INSIDE, socket.SOCK_STREAM, INSIDE_ADDRESS, 6000)
    inside.connect((OUTSIDE_ADDRESS, 4444))
    outside.settimeout(3)
    inside.sendall(b"forth")
    assert outside.recv(10) == b"forth"
    outside.sendall(b"back")
    assert inside.recv(10) == b"back"
    keeps.close()


def opened():
    keeps, lent = endpoint(6100)
    listener = made_in(INSIDE, socket.SOCK_STREAM, INSIDE_ADDRESS, 6100)
    listener.listen()
    outside = made_in(OUTSIDE, socket.SOCK_STREAM, OUTSIDE_ADDRESS)
    outside.connect(lent)
    inside, peer = listener.accept()
    assert peer[0] == OUTSIDE_ADDRESS, peer
    outside.sendall(b"forth")
    assert inside.recv(10) == b"forth"
    inside.sendall(b"back")
    assert outside.recv(10) == b"back"
    keeps.close()


if CASE == "path-mtu":
    finds_mtu(asked()[0], "who is behind the block is not told")
elif CASE == "path-mtu-back":
    finds_mtu(asked()[1], "who answers is not told")
elif CASE == "simultaneous":
    simultaneous()
elif CASE == "opened":
    opened()
