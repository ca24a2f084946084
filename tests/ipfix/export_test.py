"""sekisho-ipfix as it is run: a translation log on one side, a collector on the other that decodes RFC 7011 by itself.

By TCP and UDP; a collector that is away, dies and comes back; the program killed and started again; days that change.
"""
import contextlib
import datetime
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

ELEMENTS = {323: "time", 236: "operator", 371: "institution", 284: "translation", 225: "address", 8: "host",
            361: "first_port", 362: "last_port", 7: "host_port", 227: "map_port", 230: "event", 4: "protocol"}
JAPAN = datetime.timezone(datetime.timedelta(hours=9))
DAY = datetime.datetime(2026, 4, 1, 9, 0, 0, tzinfo=JAPAN)


class Decoder:
    """One Transport Session."""

    def __init__(self):
        self.templates, self.records, self.messages, self.first_sequence = {}, [], 0, None

    def message(self, data):
        version, length, _, sequence, self.domain = struct.unpack("!HHIII", data[:16])
        assert (version, length) == (10, len(data)), (version, length, len(data))
        if self.first_sequence is None:
            self.first_sequence = sequence
        assert sequence == self.first_sequence + len(self.records), (sequence, len(self.records))
        self.messages += 1
        at = 16
        while at < length:
            number, size = struct.unpack("!HH", data[at:at + 4])
            body, at = data[at + 4:at + size], at + size
            if number == 2:
                self.template_set(body)
            else:
                self.data_set(self.templates[number], body)

    def template_set(self, body):
        while len(body) >= 4:
            number, count = struct.unpack("!HH", body[:4])
            fields = [struct.unpack("!HH", body[4 + 4 * i:8 + 4 * i]) for i in range(count)]
            assert all(element in ELEMENTS for element, _ in fields), fields
            self.templates[number], body = fields, body[4 + 4 * count:]

    def data_set(self, fields, body):
        at = 0
        while at < len(body):
            record = {}
            for element, size in fields:
                if size == 0xFFFF:
                    size, at = body[at], at + 1
                value, at = body[at:at + size], at + size
                name = ELEMENTS[element]
                if name in ("operator", "institution", "translation"):
                    record[name] = value.decode()
                elif name in ("address", "host"):
                    record[name] = socket.inet_ntoa(value)
                else:
                    record[name] = int.from_bytes(value, "big")
            self.records.append(record)


class Collector:
    """Takes sessions until it is stopped; by UDP everything is one."""

    def __init__(self, transport, port=0):
        kind = socket.SOCK_STREAM if transport == "tcp" else socket.SOCK_DGRAM
        self.transport, self.socket = transport, socket.socket(socket.AF_INET, kind)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(("127.0.0.1", port))
        self.port, self.sessions, self.errors, self.running = self.socket.getsockname()[1], [], [], True
        self.connections = []
        if transport == "tcp":
            self.socket.listen()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        try:
            self.socket.settimeout(0.1)
            if self.transport == "udp":
                self.sessions.append(Decoder())
            while self.running:
                try:
                    if self.transport == "udp":
                        self.sessions[0].message(self.socket.recv(65536))
                    else:
                        connection, _ = self.socket.accept()
                        self.connections.append(connection)
                        self.sessions.append(Decoder())
                        threading.Thread(target=self.talk, args=(connection, self.sessions[-1]), daemon=True).start()
                except socket.timeout:
                    pass
        except Exception as error:  # the test's own thread fails with it
            self.errors.append(error)

    def talk(self, connection, decoder):
        try:
            with connection.makefile("rb") as stream:
                while header := stream.read(4):
                    length = struct.unpack("!HH", header)[1]
                    decoder.message(header + stream.read(length - 4))
        except (ConnectionError, ValueError):
            pass
        except Exception as error:
            self.errors.append(error)

    def records(self):
        return [record for session in self.sessions for record in session.records]

    def stop(self):
        self.running = False
        self.thread.join()
        for connection in self.connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        self.socket.close()


class Log:
    def __init__(self, directory):
        self.directory, self.second, self.day = directory, 0, DAY

    def write(self, what, again=None, **fields):
        self.second += 0 if again else 1
        now = (self.day + datetime.timedelta(seconds=self.second)).isoformat()
        line = {"time": now, "what": what, **fields}
        if what.endswith(".open"):
            line["opened"] = again or now
        with open(f"{self.directory}/translations-{self.day.date()}.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        return now

    def block(self, what, port, host="10.2.1.7", again=None):
        return self.write("block." + what, again, address="100.64.200.1", first_port=port, last_port=port + 255, generation=7,
                          host=host, institution="mori-pharmacy", operator="kita", translation="kita-shared")

    def server(self, what):
        return self.write("static." + what, address="100.64.200.2", first_port=8443, last_port=8443, generation=7, host="10.2.1.9",
                          host_port=443, protocol="tcp", institution="mori-pharmacy", operator="kita",
                          translation="kita-shared")


def milliseconds(text):
    return int(datetime.datetime.fromisoformat(text).timestamp() * 1000)


def until(true, words):
    for _ in range(150):
        if true():
            return
        time.sleep(0.1)
    raise AssertionError(words)


class Hub:
    """A directory with the log and the cursor, and the program over it."""

    def __init__(self, program, transport, port):
        self.directory = tempfile.mkdtemp(prefix="sekisho-ipfix.")
        self.log, self.process = Log(self.directory), None
        self.command = [program, "--collector", f"{transport}:127.0.0.1:{port}", "--state-dir", self.directory,
                        "--cursor", self.directory + "/cursor", "--domain", "7", "--templates-every", "1"]

    def start(self):
        self.process = subprocess.Popen(self.command, stderr=subprocess.PIPE, text=True)

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        said = self.process.communicate(timeout=10)[1]
        assert self.process.returncode == (0 if number == signal.SIGTERM else -number), said
        self.process = None
        return said

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process:
            self.process.kill()
            print(self.process.communicate()[1])
        shutil.rmtree(self.directory)


def ports(collector):
    return [(record["event"], record.get("first_port", record.get("map_port"))) for record in collector.records()]


def everything(program, transport):
    collector = Collector(transport)
    with Hub(program, transport, collector.port) as hub:
        hub.log.write("start", generation=7)
        opened, hub_wide = hub.log.block("open", 1024), hub.log.block("open", 2048, host=None)
        served, closed = hub.log.server("open"), hub.log.block("close", 1024)
        hub.start()
        until(lambda: len(collector.records()) == 4, "four events")
        common = {"operator": "kita", "institution": "mori-pharmacy", "translation": "kita-shared", "address": "100.64.200.1"}
        block = {**common, "host": "10.2.1.7", "first_port": 1024, "last_port": 1279}
        assert collector.records() == [
            {**block, "time": milliseconds(opened), "event": 16},
            {**common, "time": milliseconds(hub_wide), "event": 16, "first_port": 2048, "last_port": 2303},
            {**common, "time": milliseconds(served), "event": 8, "address": "100.64.200.2", "host": "10.2.1.9",
             "host_port": 443, "map_port": 8443, "protocol": 6},
            {**block, "time": milliseconds(closed), "event": 17},
        ], collector.records()
        assert collector.sessions[0].domain == 7
        # Many at once; another day repeats what is in force, and leaves out what is not.
        first = hub.log.block("open", 4096)
        for port in range(300):
            hub.log.block("open", 8192 + 8 * port)
            hub.log.block("close", 8192 + 8 * port)
        hub.log.day += datetime.timedelta(days=1)
        hub.log.write("start", generation=7)
        hub.log.block("open", 4096, again=first)
        until(lambda: len(collector.records()) == 607, "what the new day left out")
        assert sorted(ports(collector)[-2:]) == [(9, 8443), (17, 2048)]
        assert collector.sessions[0].messages > 20  # 26 events fit one
        said = hub.end()
        assert "607 events sent, 0 waiting, 0 sent again, 0 lost" in said, said
    collector.stop()
    assert not collector.errors, collector.errors


def comes_and_goes(program):
    """By TCP nothing is lost: not while the collector is away, not when it dies, not over a kill -9 of ours."""
    collector = Collector("tcp")
    port = collector.port
    collector.stop()
    with Hub(program, "tcp", port) as hub:
        hub.log.write("start", generation=7)
        hub.log.block("open", 1024)
        hub.start()
        time.sleep(0.7)
        collector = Collector("tcp", port)
        until(lambda: ports(collector) == [(16, 1024)], "what waited for a collector")
        until(lambda: os.path.exists(hub.directory + "/cursor"), "a cursor")
        collector.stop()
        hub.log.block("close", 1024)
        hub.log.block("open", 2048)
        time.sleep(0.5)
        second = Collector("tcp", port)
        until(lambda: ports(second)[-2:] == [(17, 1024), (16, 2048)], "what happened meanwhile")
        assert second.sessions[0].first_sequence == 0
        time.sleep(1)
        hub.end(signal.SIGKILL)
        hub.log.block("close", 2048)
        hub.start()
        until(lambda: ports(second)[-1:] == [(17, 2048)], "what came while we were killed")
        assert ports(second).count((16, 2048)) == 1, "and nothing twice that had arrived"
        hub.end()
        second.stop()
        assert not collector.errors + second.errors, collector.errors + second.errors


def nobody_listens(program):
    """By UDP a refusal is seen, and counted."""
    collector = Collector("udp")
    port = collector.port
    collector.stop()
    with Hub(program, "udp", port) as hub:
        hub.log.write("start", generation=7)
        hub.log.block("open", 1024)
        hub.start()
        time.sleep(1.5)
        said = hub.end()
        assert "Connection refused" in said and " 0 failures" not in said, said


def refused(program):
    for words in ([], ["--collector", "sctp:host"], ["--collector", "tcp:host", "--domain", "x"]):
        assert subprocess.run([program, *words], capture_output=True, check=False).returncode == 2, words


everything(sys.argv[1], "tcp")
everything(sys.argv[1], "udp")
comes_and_goes(sys.argv[1])
nobody_listens(sys.argv[1])
refused(sys.argv[1])
