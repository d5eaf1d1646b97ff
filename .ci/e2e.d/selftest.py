"""Tests of the tests: what the end-to-end tests rely on finds what it should, and nothing else.

Needs none of our programs. The clients play against the mock cluster that librdkafka brings, strace against
a small server written here.
"""

import os
import socket
import sys
import time
import unittest
from unittest import mock

sys.dont_write_bytecode = True

import frames  # noqa: E402
import strace  # noqa: E402
import text  # noqa: E402
import verify  # noqa: E402
import wire  # noqa: E402
from clients import KcatProducer, PythonProducer, read_all, read_all_with_kcat  # noqa: E402
from confluent_kafka import Producer  # noqa: E402
from report import Report  # noqa: E402
from stage import Stage, run  # noqa: E402
from until import TimedOut, until  # noqa: E402

READ = {0: [(0, "a 0000001 x"), (1, "b 0000001 y"), (2, "a 0000003 z")], 1: [(0, "a 0000002 y")]}
SENT = ["a 0000001 x", "a 0000002 y", "a 0000003 z", "b 0000001 y"]
ACKNOWLEDGED = [(0, 0, "a 0000001 x"), (1, 0, "a 0000002 y"), (0, 2, "a 0000003 z")]


def problems(read, acknowledged=ACKNOWLEDGED, complete=("b 0000001 y",), sent=SENT):
    return list(verify.problems(read, acknowledged, complete, sent))


class Verification(unittest.TestCase):
    def test_what_is_as_promised_has_no_problems(self):
        self.assertEqual(problems(READ), [])

    def test_a_lost_acknowledged_record_is_found(self):
        read = {0: READ[0], 1: []}
        self.assertEqual(len(problems(read)), 1)
        self.assertIn("acknowledged at 1/0", problems(read)[0])

    def test_a_lost_line_without_a_known_offset_is_found(self):
        self.assertEqual(
            problems(READ, complete=["b 0000009 q"]), ["acknowledged and not there: 'b 0000009 q'"]
        )

    def test_a_line_read_twice_is_found(self):
        read = {0: READ[0], 1: [*READ[1], (1, "b 0000001 y")]}
        self.assertEqual(problems(read), ["read twice: at 0/1 and 1/1: 'b 0000001 y'"])

    def test_a_record_at_another_offset_than_acknowledged_is_found(self):
        read = {0: [(0, "b 0000001 y"), (1, "a 0000001 x"), (2, "a 0000003 z")], 1: READ[1]}
        self.assertEqual(len(problems(read)), 1)

    def test_a_gap_in_the_offsets_is_found(self):
        self.assertIn(
            "offset 3 where 2 comes next", problems({0: [*READ[0][:2], (3, "a 0000003 z")], 1: READ[1]})[0]
        )

    def test_lines_of_one_producer_out_of_order_are_found(self):
        read = {0: [(0, "a 0000003 z"), (1, "b 0000001 y"), (2, "a 0000001 x")], 1: READ[1]}
        self.assertEqual(problems(read, acknowledged=[]), ["partition 0: a 1 at offset 2 comes after 3"])

    def test_what_nobody_sent_is_found(self):
        read = {0: READ[0], 1: [*READ[1], (1, "\0torn")]}
        self.assertEqual(problems(read), ["at 1/1 is what nobody sent: '\\x00torn'"])


class Text(unittest.TestCase):
    def test_lines_are_numbered_and_all_different(self):
        lines = text.numbered("kcat", 2_000)
        self.assertEqual(len(set(lines)), 2_000)
        self.assertEqual(
            [text.producer_and_number(line) for line in lines], [("kcat", n) for n in range(1, 2_001)]
        )
        self.assertFalse(any("\n" in line for line in lines))


class Figures(unittest.TestCase):
    def test_a_figure_fails_only_at_ten_times_the_promise(self):
        report = Report()
        with mock.patch("builtins.print"):
            self.assertTrue(report.figure("ten times less a bit", 9.9, 1))
            self.assertFalse(report.figure("ten times", 10.0, 1))
        self.assertEqual((report.passed, report.failed), (1, 1))

    def test_waiting_ends_with_what_came_true_or_says_what_did_not(self):
        answers = iter([None, 0, "here"])
        self.assertEqual(until("an answer", lambda: next(answers), 5, every=0), "here")
        with self.assertRaisesRegex(TimedOut, "an answer"):
            until("an answer", lambda: None, 0)


class Frames(unittest.TestCase):
    ASK = frames.Frame(frames.RAFT, 0, 101, 102, bytes([frames.VOTE, 0xAC, 0x02, 7, 3, 0]))
    YES = frames.Frame(frames.RAFT, 0, 102, 101, bytes([frames.VOTE_REPLY, 0xAC, 0x02, 1, 0]))
    NO = frames.Frame(frames.RAFT, 0, 102, 101, bytes([frames.VOTE_REPLY, 0xAC, 0x02, 0, 0]))

    def test_frames_are_found_wherever_they_begin(self):
        data = (
            b"hello"
            + frames.encode(self.ASK)
            + frames.encode(self.YES)
            + b"\0" * 50
            + frames.encode(self.NO)[:-1]
        )
        self.assertEqual(frames.find(data), [self.ASK, self.YES])

    def test_a_flipped_bit_is_no_frame(self):
        data = bytearray(frames.encode(self.YES))
        data[42] ^= 1
        self.assertEqual(frames.find(data), [])

    def test_a_granted_vote_is_told_from_a_refused_one(self):
        self.assertEqual(
            (self.YES.grants_a_vote, self.NO.grants_a_vote, self.ASK.grants_a_vote), (True, False, False)
        )
        self.assertEqual((self.YES.term, self.ASK.term), (300, 300))


def traced(begin, name, target, text="", result=1, seconds="0.001000"):
    return f"{begin:.6f} {name}(7<{target}>{text}) = {result} <{seconds}>"


def hexed(data):
    return ', "' + "".join(f"\\x{byte:02x}" for byte in data) + '"'


class Traces(unittest.TestCase):
    SOCKET, FILE = "TCP:[127.0.0.1:9092->127.0.0.1:4000]", "/data/groups/1/0.seg"

    def produce(self, *order):
        times = {name: float(begin) for begin, name in enumerate(order, 1)}
        return strace.parse(
            [
                traced(times["receive"], "recvfrom", self.SOCKET, ', "..marker..", 4096'),
                traced(
                    times["write"], "pwritev2", self.FILE, ', [{iov_base="..marker..", iov_len=10}], 1, 0'
                ),
                traced(times["sync"], "fdatasync", self.FILE, result=0, seconds="0.500000"),
                traced(times["send"], "sendto", self.SOCKET, ', "..", 2'),
            ]
        )

    def test_an_answer_after_the_sync_is_told_from_one_before_it(self):
        for order, waits in (
            (("receive", "write", "sync", "send"), True),
            (("receive", "write", "send", "sync"), False),
        ):
            calls = self.produce(*order)
            sync = strace.first_sync_covering(calls, "marker")
            answer = strace.answer_after(calls, "marker", 9092, 4000)
            self.assertEqual(sync.end <= answer.begin, waits)

    def test_a_sync_that_began_before_the_write_covers_nothing(self):
        self.assertIsNone(
            strace.first_sync_covering(self.produce("receive", "sync", "write", "send"), "marker")
        )

    def test_a_sync_of_another_file_covers_nothing(self):
        calls = strace.parse(
            [traced(1, "pwrite64", self.FILE, ', "marker", 6, 0'), traced(2, "fdatasync", "/data/other")]
        )
        self.assertIsNone(strace.first_sync_covering(calls, "marker"))

    def test_calls_that_failed_or_did_not_end_are_left_out(self):
        self.assertEqual(
            strace.parse(
                [
                    "1.000000 fdatasync(7</data/x>) = -1 EIO (Input/output error) <0.000100>",
                    "2.000000 recvfrom(5<TCP:[127.0.0.1:1->127.0.0.1:2]>,  <detached ...>",
                    "nonsense",
                ]
            ),
            [],
        )

    def vote(self, *order):
        ask, yes = frames.encode(Frames.ASK), frames.encode(Frames.YES)
        lines = {
            "asked": ("recvfrom", self.SOCKET, hexed(ask), len(ask)),
            "write": ("pwrite64", self.FILE, hexed(b"v"), 1),
            "sync": ("fdatasync", self.FILE, "", 0),
            "vote": ("sendto", self.SOCKET, hexed(yes), len(yes)),
        }
        return strace.parse(traced(begin, *lines[name]) for begin, name in enumerate(order, 1))

    def test_a_vote_is_durable_only_if_written_and_synced_between_question_and_answer(self):
        for order, durable in (
            (("asked", "write", "sync", "vote"), True),
            (("asked", "write", "vote", "sync"), False),
            (("write", "asked", "sync", "vote"), False),
            (("asked", "sync", "write", "vote"), False),
        ):
            calls = self.vote(*order)
            [(vote, send)] = strace.votes_given(calls)
            self.assertEqual(strace.sync_before_vote(calls, vote, send) is not None, durable, order)


SERVER = """
import os, socket, sys
file = os.open(sys.argv[2], os.O_RDWR | os.O_CREAT)
with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as server:
    connection, _ = server.accept()
    while data := connection.recv(1000):
        os.pwritev(file, [b"head", data], 0)
        os.fdatasync(file)
        connection.send(b"done")
"""


class Servers(unittest.TestCase):
    """strace and signals on a real process."""

    def setUp(self):
        self.stage = Stage("selftest")
        self.addCleanup(self.stage.__exit__, None, None, None)
        self.port = self.stage.port()
        self.server = self.stage.process(
            "server", [sys.executable, "-c", SERVER, self.port, self.stage.dir / "f"]
        ).start()
        self.client = until(
            "the server listens",
            lambda: socket.create_connection(("127.0.0.1", self.port)),
            20,
            ignoring=OSError,
        )
        self.client.settimeout(20)
        self.addCleanup(self.client.close)

    def ask(self, data=b"marker"):
        begin = time.monotonic()
        self.client.sendall(data)
        self.assertEqual(self.client.recv(10), b"done")
        return time.monotonic() - begin

    def test_a_slowed_fdatasync_shows_in_the_answer_and_only_while_it_is_slowed(self):
        with strace.slow_fdatasync(self.server, 0.2):
            self.assertGreaterEqual(self.ask(), 0.2)
        self.assertLess(self.ask(), 0.2)

    def test_a_trace_shows_the_sync_before_the_answer(self):
        for hex in (False, True):
            with strace.Traced(self.server, self.stage.dir / f"trace-{hex}", hex=hex) as trace:
                self.ask()
            calls = trace.calls()
            if hex:
                self.assertIn(b"headmarker", [call.data for call in calls])
            else:
                sync = strace.first_sync_covering(calls, "marker")
                answer = strace.answer_after(calls, "marker", self.port, self.client.getsockname()[1])
                self.assertLessEqual(sync.end, answer.begin)

    def test_a_paused_process_does_nothing_and_a_killed_one_is_gone(self):
        self.server.pause()
        self.client.settimeout(0.2)
        self.client.sendall(b"x")
        with self.assertRaises(TimeoutError):
            self.client.recv(10)
        self.server.resume()
        self.client.settimeout(20)
        self.assertEqual(self.client.recv(10), b"done")
        self.server.kill()
        self.assertFalse(self.server.alive)


class Clients(unittest.TestCase):
    """Against librdkafka's mock cluster of three brokers."""

    @classmethod
    def setUpClass(cls):
        cls.cluster = Producer({"test.mock.num.brokers": 3, "bootstrap.servers": "mock", "log_level": 0})
        brokers = cls.cluster.list_topics(timeout=20).brokers.values()
        cls.bootstrap = ",".join(f"{broker.host}:{broker.port}" for broker in brokers)
        cls.address = {broker.id: f"{broker.host}:{broker.port}" for broker in brokers}

    def test_two_producers_at_once_and_two_readers_agree(self):
        lines = {name: text.numbered(name, 1_000) for name in ("kcat", "client")}
        with Stage("selftest") as stage:
            kcat = KcatProducer(stage, self.bootstrap, "both", lines["kcat"], per_second=5_000)
            client = PythonProducer(self.bootstrap, "both", lines["client"], per_second=5_000)
            kcat.start()
            client.start()
            client.finish(60)
            self.assertEqual(kcat.finish(60), 0)
        partitions = len(self.cluster.list_topics("both", timeout=20).topics["both"].partitions)
        read = read_all(self.bootstrap, "both", partitions)
        acknowledged = [(ack.partition, ack.offset, ack.line) for ack in client.acknowledged]
        self.assertEqual(len(acknowledged), 1_000)
        sent = {*lines["kcat"], *lines["client"]}
        self.assertEqual(list(verify.problems(read, acknowledged, complete=lines["kcat"], sent=sent)), [])
        again = read_all_with_kcat(self.bootstrap, "both")
        self.assertEqual(again, {partition: records for partition, records in read.items() if records})

    def test_the_bare_connection_produces_what_a_client_reads(self):
        self.cluster.produce("bare", b"first", partition=0)
        self.cluster.flush(20)
        metadata = self.cluster.list_topics("bare", timeout=20).topics["bare"].partitions
        with wire.Connection(self.address[metadata[0].leader]) as connection:
            self.assertEqual(
                [connection.produce("bare", 0, value)[0] for value in (b"second", b"third")], [1, 2]
            )
        self.assertEqual(read_all(self.bootstrap, "bare", 1)[0], [(0, "first"), (1, "second"), (2, "third")])

    def test_crc32c_is_castagnolis(self):
        self.assertEqual(wire.crc32c(b"123456789"), 0xE3069283)


class Commands(unittest.TestCase):
    def test_the_points_are_listed_and_others_refused(self):
        here = os.path.dirname(os.path.abspath(__file__))
        self.assertIn("three ATMs", run([sys.executable, here, "--help"], check=True).stdout)
        self.assertEqual(run([sys.executable, here, "nonsense"]).returncode, 2)


def main():
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(
        unittest.defaultTestLoader.loadTestsFromModule(sys.modules[__name__])
    )
    failed = len(result.failures) + len(result.errors)
    print(f"{result.testsRun - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
