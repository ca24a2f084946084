#!/usr/bin/python3
"""The soak's traffic: UDP flows in both families that are answered, datagrams in fragments among them, and counted.

    soak_traffic.py echo                          answers on port 5000 until it is ended
    soak_traffic.py send SECONDS RATE ADDRESS...  RATE datagrams a second over all flows; prints {sent, answered} as JSON

Every datagram has a number of its own, so that an answer that comes twice, or was never asked for, is not counted as one.
"""
import json
import random
import select
import socket
import struct
import sys
import time

PORT = 5000
FLOWS = 32  # for each address
LARGE = 3000  # bytes: leaves in three fragments
LARGE_EACH = 50  # datagrams, one of which is large
BUFFER = 8 << 20
LINGER = 2.0  # seconds in which late answers count


def open_socket(family):
    made = socket.socket(family, socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUFFORCE if hasattr(socket, "SO_RCVBUFFORCE") else 33, BUFFER)
    # Fragments, never "too long": what the MTU cannot carry whole is cut by the sender.
    made.setsockopt(socket.IPPROTO_IP, 10, 0) if family == socket.AF_INET else made.setsockopt(socket.IPPROTO_IPV6, 23, 0)
    return made


def echo():
    sockets = []
    for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        made = open_socket(family)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind((address, PORT))
        sockets.append(made)
    while True:
        for ready in select.select(sockets, [], [])[0]:
            data, peer = ready.recvfrom(65535)
            try:
                ready.sendto(data, peer)
            except OSError:  # the line is down: one answer less
                pass


def send(seconds, rate, addresses):
    chooser = random.Random(11)
    flows = []
    for address in addresses:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        for _ in range(FLOWS):
            flow = open_socket(family)
            flow.connect((address, PORT))
            flow.setblocking(False)
            flows.append(flow)
    waiting, sent, answered = set(), 0, 0
    poller = select.poll()
    by_descriptor = {}
    for flow in flows:
        poller.register(flow, select.POLLIN)
        by_descriptor[flow.fileno()] = flow
    start = time.monotonic()
    end = start + seconds
    while (now := time.monotonic()) < end + LINGER and (now < end or waiting):
        while now < end and sent < (now - start) * rate:
            size = LARGE if sent % LARGE_EACH == 0 else chooser.randrange(16, 1200)
            try:
                chooser.choice(flows).send(struct.pack("!Q", sent) + bytes(size - 8))
            except OSError:  # an ICMP error about an earlier one: told once, and this one was not sent
                continue
            waiting.add(sent)
            sent += 1
        for descriptor, _ in poller.poll(1):
            try:
                while True:
                    number = struct.unpack_from("!Q", by_descriptor[descriptor].recv(65535))[0]
                    if number in waiting:
                        waiting.remove(number)
                        answered += 1
            except OSError:
                pass
    print(json.dumps({"sent": sent, "answered": answered}))


if sys.argv[1] == "echo":
    echo()
else:
    send(float(sys.argv[2]), float(sys.argv[3]), sys.argv[4:])
