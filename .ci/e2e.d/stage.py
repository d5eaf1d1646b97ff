"""Where a test plays: a directory, ports, and processes that are gone when it ends, however it ends.

Servers are started in a session of their own, so that a kill reaches also what wraps them, and die with
this process. Ports are taken below the range from which the kernel serves outgoing connections: else
another connection could sit on the port of a server that is down for a moment.
"""

import ctypes
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

from until import until

LOG_LINES_SHOWN = 25
PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def repository():
    return Path(__file__).resolve().parent.parent.parent


def target_directory():
    return Path(os.environ.get("CARGO_TARGET_DIR") or repository() / "target").resolve()


def binary(name):
    """The path of one of our programs. E2E_BIN names another directory to take them from."""
    path = Path(os.environ.get("E2E_BIN") or target_directory() / "release") / name
    if not path.exists():
        raise FileNotFoundError(f"{path} is not there. Hint: cargo build --workspace --release")
    return str(path)


def _die_with_parent():
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Process:
    """A server that may be killed and started again. Its output goes to one log file, over all its lives."""

    def __init__(self, name, argv, log, env=None):
        self.name = name
        self.argv = [str(arg) for arg in argv]
        self.log = Path(log)
        self.env = {**os.environ, **(env or {})}
        self.child = None

    def start(self):
        assert not self.alive, f"{self.name} runs already"
        with open(self.log, "ab") as log:
            log.write(f"--- start: {' '.join(self.argv)}\n".encode())
            log.flush()
            self.child = subprocess.Popen(
                self.argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self.env,
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )
        return self

    @property
    def pid(self):
        return self.child.pid

    @property
    def alive(self):
        return self.child is not None and self.child.poll() is None

    def signal(self, number):
        try:
            os.killpg(self.child.pid, number)
        except ProcessLookupError:
            pass

    def kill(self):
        """SIGKILL, and waits until the process is gone."""
        if self.child is not None:
            self.signal(signal.SIGKILL)
            self.child.wait()

    def pause(self):
        """SIGSTOP, and waits until every thread has stopped."""
        self.signal(signal.SIGSTOP)
        until(
            f"{self.name} stops",
            lambda: all(state in "Tt" for state in self._thread_states()),
            10,
            every=0.005,
        )

    def resume(self):
        self.signal(signal.SIGCONT)

    def _thread_states(self):
        for stat in Path(f"/proc/{self.pid}/task").glob("*/stat"):
            yield stat.read_text().rsplit(")", 1)[1].split()[0]

    def status(self, field):
        """A field of /proc/PID/status in KiB, such as VmRSS."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1])
        raise KeyError(field)

    def log_size(self):
        return self.log.stat().st_size

    def log_since(self, position=0):
        with open(self.log, "rb") as log:
            log.seek(position)
            return log.read().decode(errors="replace")


class Stage:
    """One directory of processes and ports. Use it as a context manager."""

    def __init__(self, name):
        top = target_directory() / "e2e"
        top.mkdir(parents=True, exist_ok=True)
        self.dir = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=top))
        self.processes = []
        self.keep = bool(os.environ.get("E2E_KEEP"))
        self._ports = set()

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        self.kill_all()
        if not self.keep:
            shutil.rmtree(self.dir, ignore_errors=True)

    def process(self, name, argv, env=None):
        """A process that is not started yet."""
        process = Process(name, argv, self.dir / f"{name}.log", env)
        self.processes.append(process)
        return process

    def kill_all(self):
        """All at once: first the signals, then the waiting."""
        for process in self.processes:
            if process.child is not None:
                process.signal(signal.SIGKILL)
        for process in self.processes:
            if process.child is not None:
                process.child.wait()

    def port(self):
        """A free port on the loopback address, given out once."""
        first_outgoing = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
        for _ in range(1000):
            port = random.randrange(10_000, max(first_outgoing, 11_000))
            if port not in self._ports and self.is_free(port):
                self._ports.add(port)
                return port
        raise OSError("no free port found")

    @staticmethod
    def is_free(port):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return True
            except OSError:
                return False

    def logs(self):
        """The end of every log, for a report of what went wrong."""
        for process in self.processes:
            if process.log.exists():
                lines = process.log_since().splitlines()[-LOG_LINES_SHOWN:]
                yield "\n".join([f"--- end of {process.log.name}", *(f"    {line[:220]}" for line in lines)])


def run(argv, within=60, env=None, check=False):
    """A command to its end. Returns it with `stdout` and `stderr` as text; raises when it takes longer than
    `within` seconds or, with `check`, when it fails."""
    done = subprocess.run(
        [str(arg) for arg in argv],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=within,
        env={**os.environ, **(env or {})},
        encoding="utf-8",
        errors="replace",
    )
    if check and done.returncode:
        raise CommandFailed(argv, done)
    return done


class CommandFailed(Exception):
    def __init__(self, argv, done):
        words = " ".join(str(arg) for arg in argv)
        super().__init__(
            f"{words}: exit status {done.returncode}: {done.stderr.strip()[-500:] or done.stdout.strip()[-500:]}"
        )


def http_get(url, within=2):
    """Status and body."""
    try:
        with urllib.request.urlopen(url, timeout=within) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(errors="replace")
