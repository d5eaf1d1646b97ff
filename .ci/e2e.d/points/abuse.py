"""Garbage, half a frame and a frame that declares 2 GiB, on every kind of port, under a running load.

The connection is closed, at once or, where it might still become something, after ten seconds; a line in
the log says so; nothing else notices.
"""

import re
import socket
import struct
import threading
import time
from dataclasses import dataclass

import frames
import peer
import text
import verify
from clients import PythonProducer, read_all
from cluster import Cluster
from until import TimedOut, until

TITLE = "abused ports"
SECONDS = 240
TOPIC = "lines"
PARTITIONS = 6
LINES_PER_SECOND = 500
AT_ONCE, UNFINISHED = 1.0, 10.0
MEMORY_KIB = 256 * 1024
GIB_2 = 2 * 1024**3
GARBAGE = bytes((37 * i + 165) % 256 for i in range(4096))
DAMAGED = frames.encode(frames.Frame(frames.RAFT, 0, peer.STRANGER, 101, b"header"))[:-1] + b"\0"
API_VERSIONS = struct.pack(">hhih", 18, 0, 1, 3) + b"e2e"


@dataclass
class Abuse:
    port: str
    what: str
    process: object
    address: int
    data: bytes
    promised: float
    stranger: int = None  # Passes the hand-shake first, as the node of this number.
    founders: tuple = ()
    seconds: float = None
    line: str = ""

    def connect(self):
        if self.stranger:
            connection = peer.connect(self.address, self.founders, self.stranger)
        else:
            connection = socket.create_connection(("127.0.0.1", self.address), timeout=10)
        connection.settimeout(10 * self.promised)
        return connection


def abuses(cluster):
    """Of the second broker and of a manager that may lead: every port, every kind."""
    broker, manager = cluster.brokers[2], cluster.managers[101]
    founders = tuple(cluster.managers)
    hello = peer.hello(founders, peer.STRANGER, bytes(16), peer.CONNECT)
    for port, process, address in (
        ("broker's peer port", broker, cluster.peer_port[2]),
        ("manager's peer port", manager, cluster.peer_port[101]),
    ):
        yield Abuse(port, "garbage", process, address, GARBAGE, AT_ONCE)
        yield Abuse(
            port, "an HTTP request", process, address, b"GET / HTTP/1.1\r\nHost: here\r\n\r\n", AT_ONCE
        )
        yield Abuse(port, "a frame of 2 GiB", process, address, struct.pack("<I", GIB_2) * 16, AT_ONCE)
        yield Abuse(port, "half a hand-shake", process, address, hello[:20], UNFINISHED)
        yield Abuse(port, "a damaged hand-shake", process, address, hello[:-1] + b"\0", AT_ONCE)
        yield Abuse(port, "nothing at all", process, address, b"", UNFINISHED)
    port, address = "manager's peer port, after the hand-shake,", cluster.peer_port[101]
    for stranger, (what, data, promised) in enumerate(
        (
            ("garbage", GARBAGE, AT_ONCE),
            ("a frame of 2 GiB", struct.pack("<I", GIB_2) + GARBAGE, AT_ONCE),
            ("a damaged frame", DAMAGED, AT_ONCE),
            ("half a frame", DAMAGED[:20], UNFINISHED),
        ),
        start=peer.STRANGER,
    ):
        yield Abuse(port, what, manager, address, data, promised, stranger, founders)
    port, address = "broker's Kafka port", cluster.kafka_port[2]
    yield Abuse(port, "garbage", broker, address, GARBAGE, AT_ONCE)
    yield Abuse(port, "an HTTP request", broker, address, b"GET / HTTP/1.1\r\nHost: here\r\n\r\n", AT_ONCE)
    yield Abuse(
        port, "a frame of 2 GiB", broker, address, struct.pack(">i", GIB_2 - 1) + API_VERSIONS, AT_ONCE
    )
    yield Abuse(port, "a frame of -2 GiB", broker, address, struct.pack(">i", -GIB_2) + API_VERSIONS, AT_ONCE)
    yield Abuse(port, "half a frame", broker, address, struct.pack(">i", 1000) + API_VERSIONS, UNFINISHED)
    yield Abuse(port, "half a length", broker, address, b"\0\0", UNFINISHED)
    port, address = "manager's HTTP port", cluster.http_port[101]
    yield Abuse(port, "garbage", manager, address, GARBAGE, AT_ONCE)
    yield Abuse(port, "half a request", manager, address, b"GET /cluster HTTP/1.1\r\nHo", UNFINISHED)


def play(stage, report):
    cluster = Cluster(stage).start().wait_ready()
    cluster.create_topic(TOPIC, PARTITIONS)
    leaders = cluster.wait_led(TOPIC, PARTITIONS)
    lines = text.numbered("client", LINES_PER_SECOND * 200)
    client = PythonProducer(cluster.bootstrap, TOPIC, lines, LINES_PER_SECOND)
    client.start()
    until("the load runs", lambda: len(client.acknowledged) > LINES_PER_SECOND, 60)
    pids = {process.name: process.pid for process in cluster.nodes.values()}
    memory = {process.name: process.status("VmHWM") for process in cluster.nodes.values()}
    manager = cluster.leading_manager()

    everything = list(abuses(cluster))
    threads = [threading.Thread(target=commit, args=(abuse,), daemon=True) for abuse in everything]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for abuse in everything:
        where = f"{abuse.what} on a {abuse.port}"
        if abuse.seconds is None:
            report.check(f"{where} is closed", False, f"not within {10 * abuse.promised:g} s")
        else:
            report.figure(f"{where} is closed", abuse.seconds, abuse.promised, listed=False)
        report.check(f"{where} leaves a line in the log", bool(abuse.line), abuse.line[:200])

    for promised in (AT_ONCE, UNFINISHED):
        latest = max(
            (abuse for abuse in everything if abuse.promised == promised),
            key=lambda abuse: abuse.seconds or 0,
        )
        report.note(
            f"the latest of those to be closed within {promised:g} s",
            f"{latest.seconds or 0:.3f} s: {latest.what}, {latest.port}",
        )

    sent = len(client.acknowledged)
    until("the load still runs", lambda: len(client.acknowledged) > sent + LINES_PER_SECOND, 60)
    client.stop()
    client.finish(within=60)
    report.check(
        "nothing else noticed: each record was acknowledged", not client.failed, str(client.failed[:3])
    )
    report.note("longest time between two acknowledgements meanwhile", f"{client.longest_silence():.3f} s")
    read = read_all(cluster.bootstrap, TOPIC, PARTITIONS)
    acknowledged = [(ack.partition, ack.offset, ack.line) for ack in client.acknowledged]
    report.check_none(
        "each is read back once, at its offset, in order", verify.problems(read, acknowledged, sent=lines)
    )
    report.check(
        "the same processes run",
        all(process.alive and process.pid == pids[process.name] for process in cluster.nodes.values()),
    )
    report.check(
        "the same brokers lead, and the same manager",
        (cluster.leaders(TOPIC), cluster.leading_manager()) == (leaders, manager),
    )
    grown = {
        process.name: process.status("VmHWM") - memory[process.name] for process in cluster.nodes.values()
    }
    report.check(
        "no process took memory for what was declared", max(grown.values()) < MEMORY_KIB, f"KiB more: {grown}"
    )


def commit(abuse):
    """Sends it, waits for the close, then for the line in the log. In a thread of its own."""
    before = abuse.process.log_size()
    with abuse.connect() as connection:
        own_port = connection.getsockname()[1]
        begin = time.monotonic()
        try:
            connection.sendall(abuse.data)
            while connection.recv(
                65536
            ):  # An answer, such as frames to a new node, is fine; the close counts.
                connection.settimeout(max(0.001, begin + 10 * abuse.promised - time.monotonic()))
        except (ConnectionResetError, BrokenPipeError):
            pass
        except TimeoutError:
            return
        abuse.seconds = time.monotonic() - begin
    try:
        abuse.line = until(
            "a line in the log", lambda: log_line(abuse.process.log_since(before), own_port), 5
        )
    except TimedOut:
        pass


def log_line(log, own_port):
    """The line that says that this connection was closed. It is named by its remote port: others are closed
    meanwhile."""
    return next(
        (
            line
            for line in log.splitlines()
            if re.search(rf":{own_port}\b", line) and re.search(r"\b(close|refuse)", line)
        ),
        None,
    )
