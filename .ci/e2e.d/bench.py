"""What acknowledged records cost, as ratios to what the disk itself can do, all measured in one run.

The disk first, then the same disk under three brokers: everything is on one machine, so its disk takes each
record three times and its processors run the brokers, the managers and the load. Ratios travel to other
machines; the figures do not.
"""

import argparse
import os
import platform
import shutil
import signal
import sys
import tempfile
import time

sys.dont_write_bytecode = True

import text  # noqa: E402
import wire  # noqa: E402
from clients import EAGER, PythonProducer  # noqa: E402
from cluster import NOT_YET, Cluster  # noqa: E402
from confluent_kafka import Producer  # noqa: E402
from stage import Stage, target_directory  # noqa: E402
from until import until  # noqa: E402

KIB, MIB = 1024, 1024 * 1024
RECORD_BYTES = KIB
REPLICAS = 3
FAILOVER_RATE = 500


def main():
    words = argparse.ArgumentParser(
        prog=".ci/bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    words.add_argument("--no-build", action="store_true", help="take the programs as they are")
    words.add_argument("--seconds", type=float, default=10, help="of each load (default: 10)")
    words.add_argument("--partitions", type=int, default=6, help="of the topic for throughput (default: 6)")
    words.add_argument("--failovers", type=int, default=5, help="how often a leader is killed (default: 5)")
    given = words.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped by SIGTERM"))

    say(
        f"{os.cpu_count()} cores, {platform.machine()}, Linux {platform.release()}; records of {RECORD_BYTES} bytes, "
        f"acks=all, {REPLICAS} replicas, loads of {given.seconds:g} s"
    )
    disk = measure_disk(min(given.seconds, 5))
    with Stage("bench") as stage:
        cluster = Cluster(stage).start().wait_ready()
        cluster.create_topic("one", 1)
        cluster.create_topic("many", given.partitions)
        cluster.wait_led("one", 1)
        cluster.wait_led("many", given.partitions)
        depth_one = measure_depth_one(cluster, given.seconds)
        full = load(cluster.bootstrap, "many", given.seconds, per_second=None)
        half = load(cluster.bootstrap, "many", given.seconds, per_second=max(1, full.records_per_second / 2))
        after = measure_disk(min(given.seconds, 5))
        failovers = measure_failovers(cluster, given.failovers)
    print(tables(disk, after, depth_one, full, half, given.partitions, failovers))


def say(text):
    print(f"<!-- {text} -->", flush=True)


class Disk:
    """fdatasyncs of a fresh 4 KiB each, and bytes written in one go."""

    def __init__(self, sync_times, bytes_per_second):
        self.sync_times = sync_times
        self.syncs_per_second = len(sync_times) / sum(sync_times)
        self.bytes_per_second = bytes_per_second


def measure_disk(seconds):
    top = target_directory() / "e2e"
    top.mkdir(parents=True, exist_ok=True)
    room = tempfile.mkdtemp(prefix="disk-", dir=top)
    try:
        return Disk(
            _sync_times(os.path.join(room, "syncs"), seconds), _sequential(os.path.join(room, "sequential"))
        )
    finally:
        shutil.rmtree(room)


def _sync_times(path, seconds):
    file = os.open(path, os.O_WRONLY | os.O_CREAT)
    block, times, end = os.urandom(4 * KIB), [], time.monotonic() + seconds
    while (begin := time.monotonic()) < end:
        os.pwrite(file, block, len(times) * len(block))
        os.fdatasync(file)
        times.append(time.monotonic() - begin)
    os.close(file)
    return times


def _sequential(path, total=512 * MIB):
    file = os.open(path, os.O_WRONLY | os.O_CREAT)
    block, begin = os.urandom(MIB), time.monotonic()
    for position in range(0, total, MIB):
        os.pwrite(file, block, position)
    os.fdatasync(file)
    os.close(file)
    return total / (time.monotonic() - begin)


def measure_depth_one(cluster, seconds):
    """One record at a time on one connection: the seconds of each answer."""
    times, end = [], time.monotonic() + seconds
    value = os.urandom(RECORD_BYTES)
    with wire.Connection(cluster.kafka(cluster.wait_led("one", 1)[0])) as connection:
        while time.monotonic() < end:
            times.append(connection.produce("one", 0, value)[1])
    return times


class Load:
    def __init__(self, times, seconds, failed):
        self.times = times
        self.failed = failed
        self.records_per_second = len(times) / seconds
        self.bytes_per_second = self.records_per_second * RECORD_BYTES


def load(bootstrap, topic, seconds, per_second):
    """An idempotent producer as fast as it goes, or at a rate; times are from produce() to the
    acknowledgement."""
    times, failed, value = [], [], os.urandom(RECORD_BYTES)
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "acks": "all",
            "enable.idempotence": True,
            "linger.ms": 2,
            "queue.buffering.max.messages": 20_000,
            "batch.size": 256 * KIB,
            "log_level": 0,
            **EAGER,
        }
    )
    # The client takes half a second to fetch its producer id and to connect; that is no answer's time.
    for partition in producer.list_topics(topic, timeout=20).topics[topic].partitions:
        producer.produce(topic, value, partition=partition)
    producer.flush(20)

    def delivered(error, message):
        if error:
            failed.append(str(error))
        else:
            times.append(message.latency())

    begin = time.monotonic()
    sent = 0
    while (now := time.monotonic()) < begin + seconds:
        due = sent + 200 if per_second is None else int((now - begin) * per_second)
        while sent < due:
            try:
                producer.produce(topic, value, on_delivery=delivered)
                sent += 1
            except BufferError:
                break
        producer.poll(0.001 if per_second is None else 0.002)
    producer.flush(60)
    return Load(times, time.monotonic() - begin, failed)


class Failover:
    """Seconds from SIGKILL of the broker that leads a partition."""

    def __init__(self, led, served, client):
        self.led = led  # Another broker is its leader in the Metadata of one that lives.
        self.served = served  # That leader has acknowledged a record.
        self.client = (
            client  # A running librdkafka producer had a record acknowledged that it sent after the kill.
        )


def measure_failovers(cluster, trials):
    return [_failover(cluster) for _ in range(trials)]


def _failover(cluster):
    client = PythonProducer(
        cluster.bootstrap, "one", text.numbered("client", FAILOVER_RATE * 120), FAILOVER_RATE
    )
    client.start()
    until("the load runs", lambda: len(client.acknowledged) > FAILOVER_RATE / 2, 60)
    leader = cluster.wait_led("one", 1)[0]
    survivor = cluster.kafka(next(broker for broker in cluster.brokers if broker != leader))
    cluster.brokers[leader].kill()
    killed = time.monotonic()
    successor = until(
        "another broker leads",
        lambda: _successor(cluster, leader, survivor),
        60,
        every=0.005,
        ignoring=NOT_YET,
    )
    led = time.monotonic() - killed
    not_yet = (OSError, wire.ProduceError)
    until("it takes a record", lambda: _takes_a_record(cluster, successor), 60, every=0.005, ignoring=not_yet)
    served = time.monotonic() - killed
    first = until("the next acknowledged record", lambda: client.first_after(killed), 60, every=0.01)
    client.stop()
    client.finish(60)
    cluster.brokers[leader].start()
    until("it is back", lambda: cluster.leaders("one", via=cluster.kafka(leader)), 60, ignoring=NOT_YET)
    cluster.wait_same_logs("one", 0)
    return Failover(led, served, first.at - killed)


def _successor(cluster, killed, survivor):
    leader = cluster.leaders("one", via=survivor)[0]
    return leader if leader not in (-1, killed) else None


def _takes_a_record(cluster, leader):
    with wire.Connection(cluster.kafka(leader)) as connection:
        connection.produce("one", 0, b"the next record")
    return True


def quantile(times, share):
    ordered = sorted(times)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def tables(disk, after, depth_one, full, half, partitions, failovers):
    sync_p50, sync_p99 = quantile(disk.sync_times, 0.5), quantile(disk.sync_times, 0.99)
    ms = "{:.2f} ms".format
    rows = [
        (
            "the disk: 4 KiB written and fdatasynced, one after another",
            f"{disk.syncs_per_second:,.0f}/s (after the run {after.syncs_per_second:,.0f}/s)",
            ms(sync_p50 * 1e3),
            ms(sync_p99 * 1e3),
            "1",
        ),
        (
            "the disk: 512 MiB in one go, one fdatasync",
            f"{disk.bytes_per_second / MIB:,.0f} MiB/s (after the run {after.bytes_per_second / MIB:,.0f})",
            "",
            "",
            "1",
        ),
        (
            "acks=all, one record at a time, one partition",
            f"{len(depth_one) / sum(depth_one):,.0f} records/s",
            ms(quantile(depth_one, 0.5) * 1e3),
            ms(quantile(depth_one, 0.99) * 1e3),
            f"p50 {quantile(depth_one, 0.5) / sync_p50:.1f} fdatasyncs, p99 {quantile(depth_one, 0.99) / sync_p99:.1f} of theirs",
        ),
    ]
    for name, measured in (
        (f"acks=all, as fast as it goes, {partitions} partitions", full),
        (f"acks=all, half of that rate, {partitions} partitions", half),
    ):
        written = measured.bytes_per_second * REPLICAS / disk.bytes_per_second
        rows.append(
            (
                name,
                f"{measured.records_per_second:,.0f} records/s, {measured.bytes_per_second / MIB:.1f} MiB/s",
                ms(quantile(measured.times, 0.5) * 1e3),
                ms(quantile(measured.times, 0.99) * 1e3),
                f"{measured.records_per_second / disk.syncs_per_second:.1f} records for each fdatasync the disk can do; "
                f"{written:.0%} of the sequential rate, {REPLICAS} copies counted"
                + (f"; {len(measured.failed)} FAILED" if measured.failed else ""),
            )
        )
    lines = ["| what | rate | p50 | p99 | against the disk |", "|---|---|---|---|---|"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    if failovers:
        lines += [
            "",
            "| seconds from SIGKILL of a partition's leader | median | worst | trials |",
            "|---|---|---|---|",
        ]
        for name, times in (
            ("to another leader in Metadata", [each.led for each in failovers]),
            ("to its first acknowledged record", [each.served for each in failovers]),
            (
                "to the next acknowledged record of a running librdkafka producer",
                [each.client for each in failovers],
            ),
        ):
            trials = ", ".join(f"{seconds:.3f}" for seconds in times)
            lines.append(f"| {name} | {quantile(times, 0.5):.3f} | {max(times):.3f} | {trials} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
