"""Kafka clients as people use them: kcat, and librdkafka through confluent-kafka.

Both producers run in a thread of their own and take their lines at a given pace, so that a test can do
things to the cluster in the middle. Neither knows anything of this project.
"""

import os
import subprocess
import threading
import time
from dataclasses import dataclass

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Producer, TopicPartition

from stage import run

# Long enough for a whole cluster to be restarted: an unacknowledged line is a failure here.
DELIVERY_TIMEOUT_MS = 180_000
# Finds a new leader soon; the defaults wait for up to a second between questions.
EAGER = {
    "retry.backoff.ms": 20,
    "retry.backoff.max.ms": 100,
    "reconnect.backoff.ms": 20,
    "reconnect.backoff.max.ms": 100,
    "topic.metadata.refresh.fast.interval.ms": 50,
}


@dataclass
class Acknowledged:
    """One record whose acknowledgement came. Times are by time.monotonic()."""

    partition: int
    offset: int
    line: str
    sent: float
    at: float


class Pace:
    """So many lines a second, in small groups."""

    def __init__(self, per_second):
        self.per_second = per_second
        self.begin = time.monotonic()
        self.count = 0

    def next(self):
        self.count += 1
        due = self.begin + self.count / self.per_second
        ahead = due - time.monotonic()
        if ahead > 0.005:
            time.sleep(ahead)


class PythonProducer(threading.Thread):
    """Idempotent, acks=all; keeps what was acknowledged and where."""

    def __init__(self, bootstrap, topic, lines, per_second, config=None, partition=None):
        super().__init__(name="python-producer", daemon=True)
        self.producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "acks": "all",
                "enable.idempotence": True,
                "linger.ms": 2,
                "message.timeout.ms": DELIVERY_TIMEOUT_MS,
                "log_level": 0,
                **EAGER,
                **(config or {}),
            }
        )
        self.topic = topic
        self.lines = lines
        self.pace_per_second = per_second
        self.partition = partition
        self.acknowledged = []
        self.failed = []
        self.error = None
        self.enough = threading.Event()

    def run(self):
        try:
            pace = Pace(self.pace_per_second)
            for line in self.lines:
                if self.enough.is_set():
                    break
                pace.next()
                self._send(line)
            self.producer.flush(DELIVERY_TIMEOUT_MS / 1000 + 10)
        except Exception as error:  # Told by `finish`, in the thread of the test.
            self.error = error

    def _send(self, line):
        sent = time.monotonic()

        def delivered(error, message):
            if error is not None:
                self.failed.append((line, str(error)))
            else:
                self.acknowledged.append(
                    Acknowledged(message.partition(), message.offset(), line, sent, time.monotonic())
                )

        where = {} if self.partition is None else {"partition": self.partition}
        while True:
            try:
                self.producer.produce(self.topic, line.encode(), on_delivery=delivered, **where)
                break
            except BufferError:  # The queue is full: the cluster is behind.
                self.producer.poll(0.05)
        self.producer.poll(0)

    def stop(self):
        """No further lines; those sent are waited for."""
        self.enough.set()

    def finish(self, within):
        self.join(within)
        if self.error is not None:
            raise self.error
        if self.is_alive():
            raise TimeoutError(
                f"the Python producer still waits for acknowledgements after {within} s; "
                f"{len(self.acknowledged)} came, {len(self.failed)} failed"
            )

    def first_after(self, moment, partition=None):
        """The first acknowledgement of a record sent after that moment, or None.

        One sent before it may have been answered by the leader that was killed then.
        """
        later = (
            ack for ack in list(self.acknowledged) if ack.sent > moment and partition in (None, ack.partition)
        )
        return min(later, key=lambda ack: ack.at, default=None)

    def longest_silence(self):
        """The longest time in seconds between two acknowledgements."""
        times = sorted(ack.at for ack in self.acknowledged)
        return max((after - before for before, after in zip(times, times[1:])), default=0.0)


class KcatProducer(threading.Thread):
    """`kcat -P -l FILE`, where FILE is a pipe that this thread feeds."""

    def __init__(self, stage, bootstrap, topic, lines, per_second):
        super().__init__(name="kcat-producer", daemon=True)
        self.lines = lines
        self.pace_per_second = per_second
        self.book = stage.dir / "book.txt"
        os.mkfifo(self.book)
        eager = [
            part
            for key in ("retry.backoff.ms", "reconnect.backoff.ms", "reconnect.backoff.max.ms")
            for part in ("-X", f"{key}={EAGER[key]}")
        ]
        self.process = stage.process(
            "kcat",
            [
                "kcat",
                "-b",
                bootstrap,
                "-P",
                "-t",
                topic,
                "-X",
                "enable.idempotence=true",
                "-X",
                "acks=all",
                "-X",
                f"message.timeout.ms={DELIVERY_TIMEOUT_MS}",
                *eager,
                "-l",
                self.book,
            ],
        )
        self.fed = 0
        self.process.start()

    def run(self):
        try:
            with open(self.book, "w", encoding="utf-8", buffering=1) as pipe:
                pace = Pace(self.pace_per_second)
                for line in self.lines:
                    pace.next()
                    pipe.write(line + "\n")
                    self.fed += 1
        except BrokenPipeError:
            pass  # kcat has gone; its exit status says why.

    def finish(self, within):
        """The exit status: 0 means that every line was acknowledged."""
        try:
            return self.process.child.wait(within)
        except subprocess.TimeoutExpired:
            raise TimeoutError(
                f"kcat still runs after {within} s: {self.process.log_since()[-300:]}"
            ) from None


def consumer(bootstrap):
    # The group id is asked for by the client library; nothing here joins or commits to a group.
    return Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "reader",
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
            "enable.partition.eof": True,
            "check.crcs": True,
            "log_level": 0,
            **EAGER,
        }
    )


def read_all(bootstrap, topic, partitions, within=120):
    """Everything from offset 0 to the high watermark: partition to a list of (offset, line)."""
    reader = consumer(bootstrap)
    try:
        ends = {}
        for partition in range(partitions):
            low, high = reader.get_watermark_offsets(TopicPartition(topic, partition), timeout=30)
            assert low == 0, f"{topic}/{partition} starts at {low}"
            ends[partition] = high
        reader.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in ends])
        read = {partition: [] for partition in ends}
        unread = {partition for partition, end in ends.items() if end > 0}
        deadline = time.monotonic() + within
        while unread:
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"{topic}: not read to the end within {within} s: "
                    f"{ {p: (len(read[p]), ends[p]) for p in unread} } (read, high watermark)"
                )
            for message in reader.consume(10_000, timeout=0.2):
                if message.error():
                    if message.error().code() != KafkaError._PARTITION_EOF:
                        raise RuntimeError(f"{topic}/{message.partition()}: {message.error()}")
                    continue
                partition = message.partition()
                read[partition].append((message.offset(), message.value().decode()))
                if message.offset() >= ends[partition] - 1:
                    unread.discard(partition)
        return read
    finally:
        reader.close()


def read_all_with_kcat(bootstrap, topic, within=120):
    """The same by `kcat -C -e`; partitions without records are left out."""
    done = run(
        ["kcat", "-b", bootstrap, "-C", "-t", topic, "-o", "beginning", "-e", "-q", "-f", "%p %o %s\\n"],
        within=within,
        check=True,
    )
    read = {}
    for row in done.stdout.split("\n"):
        if row:
            partition, offset, line = row.split(" ", 2)
            read.setdefault(int(partition), []).append((int(offset), line))
    return read
