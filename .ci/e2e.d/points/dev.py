"""What a newcomer does: one command, then any Kafka client.

Three independent ones: kcat (an old librdkafka), confluent-kafka (a new one) and kafka-python (none of it).
"""

import os
import signal
import time

from kafka import KafkaConsumer, KafkaProducer
from kafka import TopicPartition as Partition

import text
import verify
from clients import PythonProducer, read_all, read_all_with_kcat
from cluster import NOT_YET
from stage import binary, run
from until import until

TITLE = "broker dev, and three unmodified clients"
SECONDS = 240
READY_PROMISED = 2.0
STOP_WITHIN = 20
LINES = 2_000


class Dev:
    """`broker dev` on twelve free ports in a row."""

    def __init__(self, stage, report, name, *flags):
        self.base = _twelve_in_a_row(stage)
        self.bootstrap = ",".join(f"127.0.0.1:{self.base + offset}" for offset in range(3))
        self.temporary = stage.dir / f"{name}-tmp"
        self.temporary.mkdir()
        self.process = stage.process(
            name,
            [binary("broker"), "dev", "--base-port", self.base, *flags],
            env={"TMPDIR": str(self.temporary)},
        )
        self.report = report

    def start(self):
        """Ready is what it says it is: once the lines to copy are printed, kcat finds the cluster at the
        first try."""
        begin = time.monotonic()
        self.process.start()
        until("the lines to copy are printed", lambda: "topic describe" in self.printed(), 60, every=0.005)
        self.report.figure("from `broker dev` to the lines to copy", time.monotonic() - begin, READY_PROMISED)
        listed = run(["kcat", "-b", f"127.0.0.1:{self.base}", "-L"], within=20)
        self.report.check(
            "kcat -L lists three brokers at once",
            " 3 brokers:" in listed.stdout,
            f"{len(listed.stdout.splitlines())} lines {listed.stderr}",
        )
        return self

    def printed(self):
        return self.process.log_since()

    def interrupt(self):
        """Ctrl-C."""
        self.process.signal(signal.SIGINT)
        status = self.process.child.wait(STOP_WITHIN)
        self.report.check("Ctrl-C ends it cleanly", status == 0, f"exit status {status}")


def play(stage, report):
    dev = Dev(stage, report, "dev").start()
    lacking = [
        word
        for word in (f"127.0.0.1:{dev.base}", "kcat", "python3 -c", "broker topic")
        if word not in dev.printed()
    ]
    report.check(
        "it prints where things are, and lines for kcat, Python and the CLI", not lacking, ", ".join(lacking)
    )

    _kcat(stage, report, dev.bootstrap)
    _confluent(report, dev.bootstrap)
    _kafka_python(report, dev.bootstrap)
    _topics(report, f"127.0.0.1:{dev.base}")
    dev.interrupt()
    report.check(
        "the temporary directory is gone", not os.listdir(dev.temporary), str(os.listdir(dev.temporary))
    )

    keeping = Dev(stage, report, "dev-data", "--data", stage.dir / "kept").start()
    _kcat(stage, report, keeping.bootstrap)
    keeping.interrupt()
    again = Dev(stage, report, "dev-again", "--data", stage.dir / "kept")
    again.base, again.bootstrap, again.process.argv = keeping.base, keeping.bootstrap, keeping.process.argv
    again.start()
    read = until(
        "the topic's leaders are back",
        lambda: read_all_with_kcat(again.bootstrap, "book"),
        60,
        ignoring=NOT_YET,
    )
    report.check(
        "with --data what was written is there after a restart", sum(map(len, read.values())) == LINES
    )
    again.interrupt()


def _kcat(stage, report, bootstrap):
    book = stage.dir / "lines.txt"
    lines = text.numbered("kcat", LINES)
    book.write_text("\n".join(lines) + "\n", encoding="utf-8")
    produced = run(
        ["kcat", "-b", bootstrap, "-P", "-t", "book", "-X", "enable.idempotence=true", "-l", book], within=60
    )
    report.check(
        "kcat produces to a topic that is made on first use", produced.returncode == 0, produced.stderr[-300:]
    )
    read = read_all_with_kcat(bootstrap, "book")
    report.check_none("kcat reads back what it wrote", verify.problems(read, [], complete=lines, sent=lines))


def _confluent(report, bootstrap):
    lines = text.numbered("confluent", LINES)
    producer = PythonProducer(
        bootstrap, "by-confluent", lines, per_second=100_000, config={"compression.type": "lz4"}
    )
    producer.start()
    producer.finish(within=60)
    partitions = 1 + max((ack.partition for ack in producer.acknowledged), default=0)
    read = read_all(bootstrap, "by-confluent", partitions)
    acknowledged = [(ack.partition, ack.offset, ack.line) for ack in producer.acknowledged]
    report.check_none(
        "confluent-kafka (idempotent, lz4) reads back what it wrote",
        verify.problems(read, acknowledged, complete=lines, sent=lines),
    )


def _kafka_python(report, bootstrap):
    lines = text.numbered("kafka-python", LINES)
    producer = KafkaProducer(bootstrap_servers=bootstrap.split(","), acks="all", compression_type="gzip")
    futures = [(line, producer.send("by-kafka-python", line.encode())) for line in lines]
    producer.flush(60)
    acknowledged = [
        (done.partition, done.offset, line)
        for line, done in ((line, future.get(60)) for line, future in futures)
    ]
    producer.close(10)

    consumer = KafkaConsumer(
        bootstrap_servers=bootstrap.split(","),
        enable_auto_commit=False,
        group_id=None,
        consumer_timeout_ms=20_000,
    )
    partitions = [
        Partition("by-kafka-python", number)
        for number in sorted(consumer.partitions_for_topic("by-kafka-python"))
    ]
    consumer.assign(partitions)
    consumer.seek_to_beginning()
    read, missing = {partition.partition: [] for partition in partitions}, len(lines)
    for record in consumer:
        read[record.partition].append((record.offset, record.value.decode()))
        missing -= 1
        if missing == 0:
            break
    consumer.close()
    report.check_none(
        "kafka-python (idempotent, gzip) reads back what it wrote",
        verify.problems(read, acknowledged, complete=lines, sent=lines),
    )


def _topics(report, bootstrap):
    def topic(*words):
        return run([binary("broker"), "topic", *words, "--bootstrap", bootstrap])

    made = topic("create", "by-hand", "--partitions", "3")
    listed, described = topic("list"), topic("describe", "by-hand")
    gone, after = topic("delete", "by-hand", "--yes"), topic("list")
    report.check(
        "`broker topic` creates, lists, describes and deletes",
        made.returncode
        == listed.returncode
        == described.returncode
        == gone.returncode
        == after.returncode
        == 0
        and "by-hand" in listed.stdout
        and "by-hand" not in after.stdout,
        "\n".join(done.stderr[-200:] for done in (made, listed, described, gone, after) if done.stderr),
    )
    report.check(
        "a topic that is not there is refused (exit status 1)", topic("describe", "nowhere").returncode == 1
    )


def _twelve_in_a_row(stage):
    for _ in range(200):
        base = stage.port()
        if all(stage.is_free(base + offset) for offset in range(1, 12)):
            return base
    raise OSError("no twelve free ports in a row")
