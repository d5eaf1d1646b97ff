"""All six processes killed at once, in the middle of a stream of records, and started again on the same
disks."""

import time

import text
import verify
from clients import PythonProducer, read_all
from cluster import Cluster
from until import until

TITLE = "all six processes killed at once and restarted"
SECONDS = 300
TOPIC = "lines"
PARTITIONS = 6
LINES = 20_000
LINES_PER_SECOND = 4_000
LEADERS_PROMISED = 10.0


def play(stage, report):
    cluster = Cluster(stage).start().wait_ready()
    cluster.create_topic(TOPIC, PARTITIONS)
    cluster.wait_led(TOPIC, PARTITIONS)
    lines = text.numbered("client", LINES)
    client = PythonProducer(cluster.bootstrap, TOPIC, lines, LINES_PER_SECOND)
    client.start()
    until(
        "half of the lines are acknowledged",
        lambda: len(client.acknowledged) >= LINES / 2 or not client.is_alive(),
        60,
    )
    report.require("records are on their way when all are killed", client.is_alive())
    cluster.kill_all()
    before = list(client.acknowledged)

    begin = time.monotonic()
    cluster.start()
    cluster.wait_led(TOPIC, PARTITIONS, within=10 * LEADERS_PROMISED)
    report.figure(
        "from the restart of all six to a leader for each partition",
        time.monotonic() - begin,
        LEADERS_PROMISED,
    )

    client.finish(within=200)
    report.check(
        "the same producer went on and has each line acknowledged",
        len(client.acknowledged) == LINES,
        f"{len(client.acknowledged)} of {LINES}; {len(client.failed)} failed: {client.failed[:3]}",
    )
    first = client.first_after(begin)
    report.note(
        "from the restart of all six to the next acknowledged record",
        f"{first.at - begin:.3f} s" if first else "none",
    )
    read = read_all(cluster.bootstrap, TOPIC, PARTITIONS)
    acknowledged = [(ack.partition, ack.offset, ack.line) for ack in client.acknowledged]
    report.check_none(
        f"each of the {len(before)} lines acknowledged before the kill is there, and each of those after it, once",
        verify.problems(read, acknowledged, sent=lines),
    )
    for partition in range(PARTITIONS):
        cluster.wait_same_logs(TOPIC, partition)
    report.check("`log dump` is the same on all three replicas of each partition", True)
