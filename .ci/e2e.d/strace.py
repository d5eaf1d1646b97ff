"""strace around running servers: to slow their fdatasync(2) down, and to see what they do in which order.

A trace is written per thread (-ff), so that every call is one line with its begin and its duration. strace
stamps a call's end before it lets the thread go on, and its begin before the kernel acts: so if a send
really waits for an fdatasync, even in another process, the recorded end of the one is never after the
recorded begin of the other.
"""

import re
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

import frames
from until import until

ATTACHED_WITHIN = 30
DATA_CALLS = (
    "read,readv,recvfrom,recvmsg,write,writev,sendto,sendmsg,pwrite64,pwritev,pwritev2,fdatasync,fsync"
)
RECEIVES = {"read", "readv", "recvfrom", "recvmsg"}
SENDS = {"write", "writev", "sendto", "sendmsg"}
FILE_WRITES = {"pwrite64", "pwritev", "pwritev2", "write", "writev"}
STRING_BYTES = 8192
TRACED_DELAY = 0.05

_LINE = re.compile(
    r"^(?P<begin>\d+\.\d+) (?P<name>\w+)\((?P<fd>\d+)<(?P<target>[A-Za-z0-9]+:\[[^\]]*\]|[^>]*)>(?P<rest>.*)"
    r"\) += (?P<result>-?\d+|\?)[^<]*(?:<(?P<seconds>\d+\.\d+)>)?$"
)
_STRING = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')


@dataclass(frozen=True)
class Call:
    """One system call on a descriptor. `target` is a path or TCP:[LOCAL->REMOTE]; times are seconds since
    the epoch."""

    name: str
    target: str
    text: str
    result: int
    begin: float
    end: float

    @property
    def data(self):
        """The bytes read or written, in a trace with hex=True: all strings of the call, one after another."""
        return bytes.fromhex("".join(_STRING.findall(self.text)).replace("\\x", ""))

    @property
    def on_socket(self):
        return self.target.startswith("TCP")

    def on_connection(self, local_port, remote_port):
        return self.on_socket and bool(re.search(rf":{local_port}->.*:{remote_port}\]", self.target))


def parse(lines):
    """The calls that succeeded, in the order of their begins."""
    calls = []
    for line in lines:
        found = _LINE.match(line.rstrip("\n"))
        if found and found["result"] != "?" and int(found["result"]) >= 0 and found["seconds"]:
            begin = float(found["begin"])
            calls.append(
                Call(
                    found["name"],
                    found["target"],
                    found["rest"],
                    int(found["result"]),
                    begin,
                    begin + float(found["seconds"]),
                )
            )
    return sorted(calls, key=lambda call: call.begin)


def first_sync_covering(calls, marker):
    """The first fdatasync (or fsync) of a file that began after the text `marker` had been written to it,
    or None."""
    for write in calls:
        if write.name in FILE_WRITES and not write.on_socket and marker in write.text:
            for sync in calls:
                if (
                    sync.name in ("fdatasync", "fsync")
                    and sync.target == write.target
                    and sync.begin >= write.end
                ):
                    return sync
    return None


def answer_after(calls, marker, local_port, remote_port):
    """The first send on a connection after `marker` was received on it, or None."""
    arrived = next(
        (
            call
            for call in calls
            if call.name in RECEIVES and marker in call.text and call.on_connection(local_port, remote_port)
        ),
        None,
    )
    return arrived and next(
        (
            call
            for call in calls
            if call.name in SENDS
            and call.begin >= arrived.end
            and call.on_connection(local_port, remote_port)
        ),
        None,
    )


def votes_given(calls):
    """Each send that carries a granted vote, as (frame, send). A frame may be cut over several sends: it
    left with the last."""
    streams, votes = {}, []
    for call in calls:
        if call.name in SENDS and call.on_socket:
            stream = streams.setdefault(call.target, bytearray())
            stream += call.data[: call.result]
            found = frames.find(stream)
            votes += [(frame, call) for frame in found if frame.grants_a_vote]
            if found:
                stream.clear()
    return votes


def sync_before_vote(calls, vote, send):
    """What made the vote durable: the last fdatasync (or fsync) that covers a write to a file made after
    the vote was asked for, and that returned before the vote left. None if there is none."""
    asked = max(
        (
            call.end
            for call in calls
            if call.name in RECEIVES
            and call.on_socket
            and call.end <= send.begin
            and any(
                frame.variant == frames.VOTE and frame.term == vote.term and frame.group == vote.group
                for frame in frames.find(call.data[: call.result])
            )
        ),
        default=None,
    )
    if asked is None:
        return None
    return next(
        (
            sync
            for sync in reversed(calls)
            if sync.name in ("fdatasync", "fsync")
            and sync.end <= send.begin
            and any(
                write.name in FILE_WRITES
                and write.target == sync.target
                and write.begin >= asked
                and write.end <= sync.begin
                for write in calls
            )
        ),
        None,
    )


class Attached:
    """strace on all threads of a running server, from entry to exit of the `with` block."""

    def __init__(self, process, arguments):
        self.process = process
        self.arguments = arguments
        self.strace = None

    def __enter__(self):
        self.strace = subprocess.Popen(
            ["strace", "-f", "-qq", *self.arguments, "-p", str(self.process.pid)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        try:
            until(f"strace has attached to {self.process.name}", self._attached, ATTACHED_WITHIN, every=0.02)
        except BaseException:
            self.__exit__()
            raise
        return self

    def _attached(self):
        if self.strace.poll() is not None:
            raise OSError(f"strace ended: {self.strace.stderr.read().decode(errors='replace')[-300:]}")
        return all(
            re.search(rf"^TracerPid:\s+{self.strace.pid}$", status.read_text(), re.M)
            for status in Path(f"/proc/{self.process.pid}/task").glob("*/status")
        )

    def __exit__(self, *_):
        if self.strace.poll() is None:
            self.strace.send_signal(signal.SIGINT)
            try:
                self.strace.wait(30)
            except subprocess.TimeoutExpired:
                self.strace.kill()
                self.strace.wait()
        self.strace.stderr.close()


def slow_fdatasync(process, seconds):
    """While it is attached, every fdatasync(2) of the process returns so much later."""
    return Attached(
        process,
        [
            "-o",
            "/dev/null",
            "-e",
            "trace=fdatasync,fsync",
            "-e",
            f"inject=fdatasync,fsync:delay_exit={int(seconds * 1e6)}",
        ],
    )


class Traced(Attached):
    """Records what the process reads, writes and syncs; with `hex` so that Call.data gives the very bytes.

    Meanwhile each fdatasync takes a while to begin, so that what does not wait for it is well ahead of it.
    """

    def __init__(self, process, prefix, hex=False):
        self.prefix = Path(prefix)
        arguments = ["-ff", "-ttt", "-T", "-yy", "-s", STRING_BYTES, "-o", self.prefix]
        arguments += ["-e", f"trace={DATA_CALLS}", "-e", "signal=none"]
        arguments += ["-e", f"inject=fdatasync,fsync:delay_enter={int(TRACED_DELAY * 1e6)}"]
        super().__init__(process, [*map(str, arguments), *(["-xx"] if hex else [])])

    def calls(self):
        """Only after the `with` block: strace has written everything by then."""
        lines = []
        for thread in self.prefix.parent.glob(self.prefix.name + ".*"):
            lines += thread.read_text(errors="replace").splitlines()
        return parse(lines)
