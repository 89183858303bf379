"""Runs a cluster of real Apache Kafka brokers (KRaft) on loopback for as long as its standard input is open.

    kafka_cluster.py LIBS BROKERS [NAME=VALUE ...]

LIBS is a directory of jars from setup.sh; further arguments are broker settings. The one that is none of Kafka's,
`test.listeners=SASL_SSL,SASL_PLAINTEXT`, adds listeners of those protocols, which the settings are to configure. Prints `ready HOST:PORT,...`
once all brokers serve. Then it takes commands, one per line, and answers each with `ok ...` or `error ...`:

    create TOPIC PARTITIONS REPLICAS [NAME=VALUE ...]
    delete TOPIC                  and waits until no broker lists it
    empty TOPIC                   waits until nothing is in it, also of a former topic of its name
    config TOPIC NAME=VALUE ...   changes a topic's settings
    kill N                        SIGKILL to broker N, counted from 1
    start N                       starts it again and waits until it serves
    freeze N                      SIGSTOP to broker N
    thaw N                        SIGCONT to it
    quota BYTES                   what a client may produce per second, from now on
    leaders TOPIC N               how many partitions broker N leads
    await TOPIC REPLICAS          waits until every partition has so many replicas in sync
    partitions TOPIC              how many partitions the topic has
    where PROTOCOL                the addresses of that further listener
    scram USER PASSWORD           lets the user in by SCRAM, with both hashes

At the end of its input it kills what it started and removes its files.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    ConfigResource,
    NewTopic,
    OffsetSpec,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

DEADLINE_SECONDS = 90
CLUSTER_ID = "bG9nZHJpdmUtdGVzdHMtMQ"


def free_ports(count):
    """Ports that nobody listens on. All are held at once, so that they differ."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


class Cluster:
    def __init__(self, libs, count, settings):
        self.libs = libs
        self.settings = dict(pair.split("=", 1) for pair in settings)
        further = self.settings.pop("test.listeners", "")
        self.further = {name: free_ports(count) for name in further.split(",") if name}
        self.root = tempfile.mkdtemp(prefix="logdrive-kafka-")
        ports = free_ports(2 * count)
        self.ports = ports[:count]
        self.voters = ",".join(
            f"{i + 1}@127.0.0.1:{port}" for i, port in enumerate(ports[count:])
        )
        self.controller_ports = ports[count:]
        self.processes = {}
        self.bootstrap = ",".join(f"127.0.0.1:{port}" for port in self.ports)
        self.admin = None

    def home(self, number):
        return os.path.join(self.root, str(number))

    def where(self, protocol):
        return ",".join(f"127.0.0.1:{port}" for port in self.further[protocol])

    def scram(self, user, password):
        # One request each: a broker takes only one change of a user at a time.
        for mechanism in [ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512]:
            info = ScramCredentialInfo(mechanism, 4096)
            wanted = UserScramCredentialUpsertion(user, info, password.encode())
            self.admin.alter_user_scram_credentials([wanted])[user].result(DEADLINE_SECONDS)

    def configure(self, number):
        replicas = min(3, len(self.ports))
        further = [(name, ports[number - 1]) for name, ports in self.further.items()]
        clients = [("PLAINTEXT", self.ports[number - 1]), *further]
        listeners = [f"{name}://127.0.0.1:{port}" for name, port in clients]
        protocols = ["CONTROLLER:PLAINTEXT", *(f"{name}:{name}" for name, _ in clients)]
        settings = {
            "process.roles": "broker,controller",
            "node.id": number,
            "controller.quorum.voters": self.voters,
            "listeners": ",".join(
                [*listeners, f"CONTROLLER://127.0.0.1:{self.controller_ports[number - 1]}"]
            ),
            "advertised.listeners": ",".join(listeners),
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": ",".join(protocols),
            "inter.broker.listener.name": "PLAINTEXT",
            "log.dirs": os.path.join(self.home(number), "data"),
            "num.partitions": 4,
            "default.replication.factor": replicas,
            "min.insync.replicas": max(1, replicas - 1),
            "offsets.topic.num.partitions": 1,
            "offsets.topic.replication.factor": replicas,
            "transaction.state.log.num.partitions": 1,
            "transaction.state.log.replication.factor": replicas,
            "transaction.state.log.min.isr": 1,
            "group.initial.rebalance.delay.ms": 0,
            # A dead broker is noticed in seconds, and a dead follower leaves the ISR as fast.
            "broker.session.timeout.ms": 6000,
            "replica.lag.time.max.ms": 6000,
            "log.cleaner.enable": "false",
        }
        settings.update(self.settings)
        os.makedirs(self.home(number))
        path = os.path.join(self.home(number), "server.properties")
        with open(path, "w") as file:
            file.writelines(f"{name}={value}\n" for name, value in settings.items())
        return path

    def java(self, number, *arguments, **options):
        command = [
            "java",
            "-Xmx400m",
            "-Xms64m",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            "-cp",
            os.path.join(self.libs, "*"),
            *arguments,
        ]
        log = open(os.path.join(self.home(number), "log"), "ab")
        with log:
            # Its own group: a Ctrl-C in the terminal is ours to handle, not the broker's.
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, **options
            )

    def format(self, number):
        path = self.configure(number)
        return self.java(
            number, "kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", path
        )

    def launch(self, number):
        path = os.path.join(self.home(number), "server.properties")
        self.processes[number] = self.java(number, "kafka.Kafka", path)

    def log_tail(self, number):
        with open(os.path.join(self.home(number), "log"), errors="replace") as file:
            return file.read()[-2000:]

    def start_all(self):
        numbers = range(1, len(self.ports) + 1)
        for process, number in [(self.format(number), number) for number in numbers]:
            if process.wait() != 0:
                raise RuntimeError(f"format of broker {number} failed: {self.log_tail(number)}")
        for number in numbers:
            self.launch(number)
        self.admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})
        self.wait(lambda: len(self.brokers()) == len(self.ports), "not all brokers serve")

    def brokers(self, admin=None):
        for number, process in self.processes.items():
            if process.poll() is not None:
                raise RuntimeError(f"broker {number} ended: {self.log_tail(number)}")
        try:
            return (admin or self.admin).list_topics(timeout=5).brokers
        except KafkaException:
            return {}

    def wait(self, condition, complaint):
        end = time.monotonic() + DEADLINE_SECONDS
        while not condition():
            if time.monotonic() > end:
                raise RuntimeError(f"{complaint} after {DEADLINE_SECONDS} s")
            time.sleep(0.2)

    def partitions(self, topic):
        try:
            # Asking for all topics creates none.
            known = self.admin.list_topics(timeout=5).topics.get(topic)
        except KafkaException:
            return {}
        return known.partitions if known else {}

    def create(self, topic, partitions, replicas, *settings):
        config = dict(pair.split("=", 1) for pair in settings)
        new = NewTopic(topic, int(partitions), int(replicas), config=config)

        def created():
            try:
                self.admin.create_topics([new])[topic].result(DEADLINE_SECONDS)
            except KafkaException as error:
                # The controller may be moving; an attempt that was not answered may have worked.
                return error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS
            return True

        self.wait(created, f"{topic} cannot be created")
        self.wait_for_replicas(topic, replicas)

    def wait_for_replicas(self, topic, replicas):
        def in_sync():
            partitions = self.partitions(topic).values()
            return partitions and all(
                len(one.isrs) == int(replicas) and one.leader >= 0 for one in partitions
            )

        self.wait(in_sync, f"{topic} has not {replicas} replicas in sync")

    def config(self, topic, *settings):
        pairs = dict(pair.split("=", 1) for pair in settings)
        resource = ConfigResource(ConfigResource.Type.TOPIC, topic, set_config=pairs)
        self.admin.alter_configs([resource])[resource].result(DEADLINE_SECONDS)

    def delete(self, topic):
        self.admin.delete_topics([topic])[topic].result(DEADLINE_SECONDS)
        # Asked for by name it would be created anew, where brokers may do so.
        listed = lambda: topic in self.admin.list_topics(timeout=5).topics
        self.wait(lambda: not listed(), f"{topic} is still there")

    def wait_until_empty(self, topic):
        def is_empty():
            newest = {TopicPartition(topic, one): OffsetSpec.latest() for one in self.partitions(topic)}
            try:
                found = [one.result(DEADLINE_SECONDS) for one in self.admin.list_offsets(newest).values()]
            except KafkaException:
                return False
            return found and all(one.offset == 0 for one in found)

        self.wait(is_empty, f"{topic} is not empty")

    def quota(self, bytes_per_second):
        change = self.java(
            1, "kafka.admin.ConfigCommand", "--bootstrap-server", self.bootstrap, "--alter",
            "--add-config", f"producer_byte_rate={bytes_per_second}",
            "--entity-type", "clients", "--entity-default",
        )
        if change.wait(DEADLINE_SECONDS) != 0:
            raise RuntimeError(f"the quota was not set: {self.log_tail(1)}")

    def kill(self, number):
        process = self.processes.pop(int(number))
        process.kill()
        process.wait()

    def start(self, number):
        number = int(number)
        self.launch(number)
        # It is asked itself: what the others say of it may be of the time before it was killed.
        own = AdminClient({"bootstrap.servers": f"127.0.0.1:{self.ports[number - 1]}", "log_level": 0})
        self.wait(lambda: number in self.brokers(own), f"broker {number} does not serve")

    def stop(self):
        for process in self.processes.values():
            # Also one that is frozen dies of it.
            process.kill()
            process.wait()
        shutil.rmtree(self.root, ignore_errors=True)

    def obey(self, command, *arguments):
        match command:
            case "create":
                self.create(*arguments)
            case "delete":
                self.delete(*arguments)
            case "empty":
                self.wait_until_empty(*arguments)
            case "config":
                self.config(*arguments)
            case "kill":
                self.kill(*arguments)
            case "start":
                self.start(*arguments)
            case "freeze":
                self.processes[int(arguments[0])].send_signal(signal.SIGSTOP)
            case "thaw":
                self.processes[int(arguments[0])].send_signal(signal.SIGCONT)
            case "quota":
                self.quota(*arguments)
            case "leaders":
                topic, number = arguments
                # A busy cluster may not answer in time.
                self.wait(lambda: self.partitions(topic), f"{topic} is not described")
                leaders = [one.leader for one in self.partitions(topic).values()]
                return f" {leaders.count(int(number))}"
            case "await":
                self.wait_for_replicas(*arguments)
            case "where":
                return f" {self.where(*arguments)}"
            case "scram":
                self.scram(*arguments)
            case "partitions":
                return f" {len(self.partitions(*arguments))}"
            case _:
                raise ValueError(f"unknown command {command}")
        return ""


def end(_signal, _frame):
    raise SystemExit(1)


def main():
    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    libs, count, *settings = sys.argv[1:]
    cluster = Cluster(libs, int(count), settings)
    try:
        cluster.start_all()
        print("ready", cluster.bootstrap, flush=True)
        for line in sys.stdin:
            try:
                print(f"ok{cluster.obey(*line.split())}", flush=True)
            except Exception as error:
                text = " ".join(str(error).split())
                print(f"error {text}", flush=True)
    finally:
        cluster.stop()


main()
