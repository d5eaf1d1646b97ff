"""Three managers and some brokers, each a process of its own, and what can be asked about them from outside.

Leaders are looked up as any client does, in Metadata by way of kcat; the leading manager by GET /cluster.
"""

import json

from stage import CommandFailed, binary, http_get, run
from until import until

READY_WITHIN = 60
# kcat waits up to a second before it calls again where nothing listened yet; that would be in our figures.
KCAT_EAGER = ("-X", "reconnect.backoff.ms=20", "-X", "reconnect.backoff.max.ms=50")
# What a question may end in while nodes are down.
NOT_YET = (CommandFailed, OSError, ValueError, KeyError)


class Cluster:
    def __init__(self, stage, managers=(101, 102, 103), brokers=(1, 2, 3)):
        self.stage = stage
        self.peer_port = {node: stage.port() for node in (*managers, *brokers)}
        self.http_port = {manager: stage.port() for manager in managers}
        self.kafka_port = {broker: stage.port() for broker in brokers}
        listed = ",".join(f"{node}=127.0.0.1:{self.peer_port[node]}" for node in managers)
        self.managers = {
            node: stage.process(
                f"manager-{node}",
                [
                    binary("manager"),
                    "serve",
                    "--id",
                    node,
                    "--listen",
                    f"127.0.0.1:{self.peer_port[node]}",
                    "--http",
                    f"127.0.0.1:{self.http_port[node]}",
                    "--managers",
                    listed,
                    "--data",
                    self.data(node),
                ],
            )
            for node in managers
        }
        self.brokers = {
            node: stage.process(
                f"broker-{node}",
                [
                    binary("broker"),
                    "serve",
                    "--id",
                    node,
                    "--listen",
                    f"127.0.0.1:{self.peer_port[node]}",
                    "--kafka",
                    f"127.0.0.1:{self.kafka_port[node]}",
                    "--managers",
                    listed,
                    "--data",
                    self.data(node),
                ],
            )
            for node in brokers
        }

    @property
    def nodes(self):
        return {**self.managers, **self.brokers}

    def data(self, node):
        return self.stage.dir / f"data-{node}"

    def kafka(self, node):
        return f"127.0.0.1:{self.kafka_port[node]}"

    @property
    def bootstrap(self):
        return ",".join(self.kafka(node) for node in self.brokers)

    def start(self):
        for process in self.nodes.values():
            process.start()
        return self

    def wait_ready(self):
        """Until a manager leads and Metadata lists every broker. Nothing to wait for without brokers but
        the leader."""
        until("a manager leads", self.leading_manager, READY_WITHIN, ignoring=NOT_YET)
        if self.brokers:
            until("Metadata lists every broker", self._all_brokers_listed, READY_WITHIN, ignoring=NOT_YET)
        return self

    def _all_brokers_listed(self):
        return all(
            sorted(broker["id"] for broker in self.metadata(via=self.kafka(node))["brokers"])
            == sorted(self.brokers)
            for node in self.brokers
        )

    def kill_all(self):
        """All at once."""
        self.stage.kill_all()

    def cluster_page(self, manager):
        """GET /cluster of one manager, as a dictionary."""
        status, body = http_get(f"http://127.0.0.1:{self.http_port[manager]}/cluster")
        if status != 200:
            raise ValueError(f"GET /cluster of manager {manager}: status {status}")
        return json.loads(body)

    def healthy(self, manager):
        return http_get(f"http://127.0.0.1:{self.http_port[manager]}/healthz")[0] == 200

    def leading_manager(self, other_than=None):
        """The manager that every running manager with an opinion names as the leader, or None."""
        named = set()
        for manager, process in self.managers.items():
            if process.alive:
                try:
                    named.add(self.cluster_page(manager).get("leader"))
                except OSError:
                    pass
        named -= {None, other_than}
        return named.pop() if len(named) == 1 else None

    def metadata(self, via=None):
        """What `kcat -L -J` says, of any broker that answers."""
        return json.loads(
            run(
                ["kcat", "-b", via or self.bootstrap, "-L", "-J", "-m", "5", *KCAT_EAGER],
                within=20,
                check=True,
            ).stdout
        )

    def leaders(self, topic, via=None):
        """Partition to leading broker; a partition without a leader maps to -1."""
        for entry in self.metadata(via)["topics"]:
            if entry["topic"] == topic:
                return {part["partition"]: part["leader"] for part in entry["partitions"]}
        return {}

    def wait_led(self, topic, partitions, within=READY_WITHIN):
        """Until every partition has a leader that runs; returns them."""

        def led():
            leaders = self.leaders(topic)
            whole = len(leaders) == partitions and all(
                leader in self.brokers and self.brokers[leader].alive for leader in leaders.values()
            )
            return leaders if whole else None

        return until(
            f"each of the {partitions} partitions of {topic} has a leader",
            led,
            within,
            every=0.02,
            ignoring=NOT_YET,
        )

    def create_topic(self, name, partitions, replicas=3, via=None):
        via = via or next(node for node, process in self.brokers.items() if process.alive)
        run(
            [
                binary("broker"),
                "topic",
                "create",
                name,
                "--partitions",
                partitions,
                "--replicas",
                replicas,
                "--bootstrap",
                self.kafka(via),
            ],
            check=True,
        )

    def dump(self, broker, topic, partition):
        """The Raft log of one replica, as text."""
        return run(
            [binary("broker"), "log", "dump", self.data(broker), "--topic", topic, "--partition", partition],
            within=120,
            check=True,
        ).stdout

    def wait_same_logs(self, topic, partition, within=60):
        """Until all replicas of a partition have the same log; returns its text."""

        def same():
            texts = {self.dump(broker, topic, partition) for broker in self.brokers}
            return texts.pop() if len(texts) == 1 else None

        return until(
            f"the logs of {topic}/{partition} are the same on all brokers",
            same,
            within,
            every=0.3,
            ignoring=NOT_YET,
        )
