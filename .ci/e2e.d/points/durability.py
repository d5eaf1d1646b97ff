"""No answer before the disk: what an fdatasync(2) has to do with the answer to a produce, and with a vote.

Two kinds of evidence. *Slowed*: with every fdatasync of certain nodes returning late, no answer may be
early. That needs no knowledge of formats, and an answer that does not wait cannot hide. *Traced*: the
system calls themselves, in order. strace stamps the return of a call before the thread goes on, and the
begin of a call before it takes effect: an answer that waits for an fdatasync is never stamped before that
one's return.
"""

import contextlib
import time
import uuid

import strace
import wire
from cluster import NOT_YET, Cluster
from until import TimedOut, until

TITLE = "nothing is answered before it is durable"
SECONDS = 420
TOPIC = "lines"
DELAY = 0.2
RECORDS = 15
TRACED_RECORDS = 5
VOTE_TRIALS = 2
VOTE_DELAY_MIN = 2.0


def play(stage, report):
    cluster = Cluster(stage).start().wait_ready()
    cluster.create_topic(TOPIC, 1)
    _slowed_produce(cluster, report)
    _traced_produce(stage, cluster, report)
    for trial in range(VOTE_TRIALS):
        _slowed_vote(cluster, report, trial)
    _traced_vote(stage, cluster, report)


def _leader_and_followers(cluster):
    leader = cluster.wait_led(TOPIC, 1)[0]
    return leader, [broker for broker in cluster.brokers if broker != leader]


def _slowed_produce(cluster, report):
    """In every pair of brokers there is one of any majority: with two of three slowed no answer may be
    faster."""
    leader, (one, other) = _leader_and_followers(cluster)
    usual = _produce_times(cluster, leader, RECORDS)
    report.check(
        "without a delay answers are faster than 200 ms, so that the delay shows",
        min(usual) < DELAY / 2,
        f"median {_median(usual):.4f} s",
    )
    for slowed in ([leader, one], [leader, other], [one, other]):
        kind = "the leader and a follower" if leader in slowed else "both followers"
        with _slowed(cluster, slowed):
            times = _produce_times(cluster, leader, RECORDS)
        report.check(
            f"with every fdatasync of {kind} 200 ms late no answer is faster",
            min(times) >= DELAY,
            f"fastest {min(times):.3f} s, median {_median(times):.3f} s, {RECORDS} records",
        )
    for slowed, kind in ([leader], "the leader"), ([one], "one follower"):
        with _slowed(cluster, slowed):
            times = _produce_times(cluster, leader, RECORDS)
        report.note(
            f"median answer with every fdatasync of {kind} alone 200 ms late", f"{_median(times):.4f} s"
        )


@contextlib.contextmanager
def _slowed(cluster, brokers):
    with contextlib.ExitStack() as stack:
        for broker in brokers:
            stack.enter_context(strace.slow_fdatasync(cluster.brokers[broker], DELAY))
        yield


def _produce_times(cluster, leader, count):
    with wire.Connection(cluster.kafka(leader)) as connection:
        return [connection.produce(TOPIC, 0, f"record {number}".encode())[1] for number in range(count)]


def _traced_produce(stage, cluster, report):
    leader, _ = _leader_and_followers(cluster)
    port = cluster.kafka_port[leader]
    markers = [f"marker-{uuid.uuid4()}" for _ in range(TRACED_RECORDS)]
    with wire.Connection(cluster.kafka(leader)) as connection:
        connection.produce(TOPIC, 0, b"the connection works")
        own_port = connection.local_port
        with contextlib.ExitStack() as stack:
            traces = {
                broker: stack.enter_context(strace.Traced(process, stage.dir / f"trace-{broker}"))
                for broker, process in cluster.brokers.items()
            }
            for marker in markers:
                connection.produce(TOPIC, 0, marker.encode())
            # The last answer may leave its trace only with the next call.
            connection.produce(TOPIC, 0, b"the end of the trace")
    calls = {broker: trace.calls() for broker, trace in traces.items()}
    for number, marker in enumerate(markers, 1):
        answer = strace.answer_after(calls[leader], marker, port, own_port)
        syncs = {broker: strace.first_sync_covering(seen, marker) for broker, seen in calls.items()}
        if answer is None:
            report.check(f"traced record {number}: its answer is in the trace", False, f"of broker {leader}")
            continue
        ahead = {broker: answer.begin - sync.end for broker, sync in syncs.items() if sync}
        covered = sum(by >= 0 for by in ahead.values())
        report.check(
            f"traced record {number}: an fdatasync that covers it has returned on two of three before its answer leaves",
            covered >= 2,
            "before the answer, in ms, by broker: "
            + ", ".join(f"{broker}: {by * 1000:.2f}" for broker, by in sorted(ahead.items())),
        )


def _slowed_vote(cluster, report, trial):
    """Of two surviving managers each needs the other. With one's fdatasync late by D, nobody leads before D
    is over: that one's vote is late if it votes, and its own vote for itself is late if it stands."""
    usual = _manager_failover(cluster)
    delay = max(VOTE_DELAY_MIN, 4 * usual)
    leader = until("a manager leads", cluster.leading_manager, 30, ignoring=NOT_YET)
    survivors = [manager for manager in cluster.managers if manager != leader]
    slowed = survivors[trial % 2]
    early = None
    with strace.slow_fdatasync(cluster.managers[slowed], delay):
        begin = time.monotonic()
        cluster.managers[leader].kill()
        try:
            early = until(
                "another manager leads",
                lambda: cluster.leading_manager(other_than=leader),
                delay - (time.monotonic() - begin),
                every=0.02,
                ignoring=NOT_YET,
            )
        except TimedOut:
            pass
        took = time.monotonic() - begin
    successor = until(
        "another manager leads", lambda: cluster.leading_manager(other_than=leader), 60, ignoring=NOT_YET
    )
    report.check(
        f"no manager is elected before a vote is durable (trial {trial + 1})",
        early is None or took >= delay,
        f"fdatasync of {slowed} late by {delay:.1f} s, usual election {usual:.2f} s; "
        + (f"{early} led after {took:.2f} s" if early else f"{successor} leads only after that"),
    )
    _restart_manager(cluster, leader)


def _manager_failover(cluster):
    """Kills the leading manager, brings it back; returns the seconds until another one led."""
    leader = until("a manager leads", cluster.leading_manager, 30, ignoring=NOT_YET)
    begin = time.monotonic()
    cluster.managers[leader].kill()
    until(
        "another manager leads",
        lambda: cluster.leading_manager(other_than=leader),
        60,
        every=0.02,
        ignoring=NOT_YET,
    )
    took = time.monotonic() - begin
    _restart_manager(cluster, leader)
    return took


def _restart_manager(cluster, manager):
    cluster.managers[manager].start()
    until(
        f"manager {manager} follows",
        lambda: cluster.healthy(manager) and cluster.leading_manager(),
        60,
        ignoring=NOT_YET,
    )


def _traced_vote(stage, cluster, report):
    """The survivors of a killed leading manager: in the voter's trace, asked, written, synced, then sent."""
    leader = until("a manager leads", cluster.leading_manager, 30, ignoring=NOT_YET)
    survivors = [manager for manager in cluster.managers if manager != leader]
    with contextlib.ExitStack() as stack:
        traces = {
            manager: stack.enter_context(
                strace.Traced(cluster.managers[manager], stage.dir / f"trace-{manager}", hex=True)
            )
            for manager in survivors
        }
        cluster.managers[leader].kill()
        until(
            "another manager leads", lambda: cluster.leading_manager(other_than=leader), 60, ignoring=NOT_YET
        )
    votes = 0
    for manager, trace in traces.items():
        calls = trace.calls()
        for vote, send in strace.votes_given(calls):
            votes += 1
            sync = strace.sync_before_vote(calls, vote, send)
            report.check(
                f"traced vote of manager {manager} in term {vote.term}: written after it was asked for, and the "
                "fdatasync has returned before the vote leaves",
                sync is not None,
                f"{(send.begin - sync.end) * 1000:.2f} ms before"
                if sync
                else "no such fdatasync in the trace",
            )
    report.check("the trace of the survivors shows a vote", votes > 0, f"{votes} votes")
    _restart_manager(cluster, leader)


def _median(times):
    return sorted(times)[len(times) // 2]
