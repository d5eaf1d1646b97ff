"""Two producers at once, while the broker that leads partition 0 and then the leading manager are killed.

Each acknowledged line is read back once, at its offset where that is known, in order per producer and
partition; after catch-up the Raft logs of all three replicas are the same text.
"""

import time

import text
import verify
from clients import KcatProducer, PythonProducer, read_all, read_all_with_kcat
from cluster import NOT_YET, Cluster
from until import until

TITLE = "a text through three brokers while leaders are killed"
SECONDS = 480
TOPIC = "lines"
PARTITIONS = 6
LINES_EACH = 60_000
LINES_PER_SECOND = 3_000
# Stages of the play, as shares of the Python client's lines that are acknowledged.
BROKER_DIES, BROKER_RETURNS, MANAGER_DIES, MANAGER_RETURNS = 0.15, 0.35, 0.5, 0.7
FAILOVER_PROMISED = 1.0


def play(stage, report):
    cluster = Cluster(stage).start().wait_ready()
    cluster.create_topic(TOPIC, PARTITIONS)
    leaders = cluster.wait_led(TOPIC, PARTITIONS)
    report.check(
        "`topic create` made a topic of six partitions, led by more than one broker",
        len(leaders) == PARTITIONS and len(set(leaders.values())) > 1,
        str(leaders),
    )

    by_kcat, by_client = text.numbered("kcat", LINES_EACH), text.numbered("client", LINES_EACH)
    client = PythonProducer(cluster.bootstrap, TOPIC, by_client, LINES_PER_SECOND)
    kcat = KcatProducer(stage, cluster.bootstrap, TOPIC, by_kcat, LINES_PER_SECOND)
    client.start()
    kcat.start()

    def wait_share(share):
        until(
            f"{share:.0%} of the client's lines are acknowledged",
            lambda: len(client.acknowledged) >= share * LINES_EACH or client.error or not client.is_alive(),
            120,
        )

    wait_share(BROKER_DIES)
    _kill_leading_broker(cluster, client, kcat, report, lambda: wait_share(BROKER_RETURNS))
    wait_share(MANAGER_DIES)
    _kill_leading_manager(cluster, kcat, report, lambda: wait_share(MANAGER_RETURNS))

    client.finish(within=200)
    status = kcat.finish(within=200)
    report.check(
        "kcat ended with 0: each of its lines was acknowledged",
        status == 0 and kcat.fed == LINES_EACH,
        f"exit status {status}, {kcat.fed} lines fed",
    )
    report.check(
        "each line of the Python client was acknowledged",
        len(client.acknowledged) == LINES_EACH,
        f"{len(client.acknowledged)} were, {len(client.failed)} failed: {client.failed[:3]}",
    )

    read = read_all(cluster.bootstrap, TOPIC, PARTITIONS)
    problems = verify.problems(
        read,
        [(ack.partition, ack.offset, ack.line) for ack in client.acknowledged],
        complete=by_kcat if status == 0 else (),
        sent={*by_kcat, *by_client},
    )
    report.check_none(
        f"each of {2 * LINES_EACH} acknowledged lines is read back once, at its offset, in order", problems
    )
    again = read_all_with_kcat(cluster.bootstrap, TOPIC)
    report.check(
        "kcat reads the same as the Python client",
        again == {partition: records for partition, records in read.items() if records},
        f"records per partition: {_counts(again)} and {_counts(read)}",
    )
    for partition in range(PARTITIONS):
        dump = cluster.wait_same_logs(TOPIC, partition)
        report.check(
            f"`log dump` of partition {partition} is the same on all three replicas, and not empty",
            len(dump.splitlines()) > 1,
            f"{len(dump.splitlines())} lines",
        )


def _kill_leading_broker(cluster, client, kcat, report, wait_for_progress):
    leader = cluster.leaders(TOPIC)[0]
    report.check(
        "both producers are in the middle of the text when the broker leading partition 0 dies",
        kcat.is_alive() and client.is_alive(),
        f"broker {leader}",
    )
    cluster.brokers[leader].kill()
    killed = time.monotonic()
    first = until(
        "a record sent after the kill is acknowledged in partition 0",
        lambda: client.first_after(killed, 0),
        60,
    )
    report.figure(
        "from SIGKILL of the broker leading a partition to its next acknowledged record",
        first.at - killed,
        FAILOVER_PROMISED,
    )
    wait_for_progress()
    now = cluster.leaders(TOPIC)
    report.check(
        "every partition is led by a living broker while one is dead",
        len(now) == PARTITIONS and leader not in now.values() and -1 not in now.values(),
        str(now),
    )
    cluster.brokers[leader].start()
    until(
        f"broker {leader} is back in Metadata of itself",
        lambda: len(cluster.leaders(TOPIC, via=cluster.kafka(leader))) == PARTITIONS,
        60,
        ignoring=NOT_YET,
    )


def _kill_leading_manager(cluster, kcat, report, wait_for_progress):
    leader = until("a manager leads", cluster.leading_manager, 30, ignoring=NOT_YET)
    report.check(
        "kcat is in the middle of the text when the leading manager dies",
        kcat.is_alive(),
        f"manager {leader}",
    )
    cluster.managers[leader].kill()
    killed = time.monotonic()
    successor = until(
        "another manager leads", lambda: cluster.leading_manager(other_than=leader), 60, ignoring=NOT_YET
    )
    report.figure(
        "from SIGKILL of the leading manager to another one that leads", time.monotonic() - killed, 1.0
    )
    cluster.create_topic("made-meanwhile", 1)
    report.check(
        "a topic can be created while a manager is dead", bool(cluster.wait_led("made-meanwhile", 1))
    )
    wait_for_progress()
    cluster.managers[leader].start()
    until(
        "the restarted manager follows the new leader",
        lambda: cluster.cluster_page(leader).get("leader") == successor,
        60,
        ignoring=NOT_YET,
    )
    report.check("the restarted manager follows the new leader and is healthy", cluster.healthy(leader))


def _counts(read):
    return {partition: len(records) for partition, records in sorted(read.items())}
