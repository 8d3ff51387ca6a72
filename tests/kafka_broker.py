"""A real Apache Kafka broker in a process of its own, with what tests do to it.

Needs Java 17 and Maven (Debian: ``apt-get install default-jre-headless maven``). The broker's
libraries are fetched once, as ``tests/kafka/pom.xml`` pins them, into ``PLIMSOLL_KAFKA_JARS`` or a
folder of the user's cache. It is one node in KRaft mode, with a listener without any security, one
with SASL (PLAIN and SCRAM) and one with TLS by a certificate authority made on the spot.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import socket
import subprocess
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition

POM = Path(__file__).parent / "kafka" / "pom.xml"
NEEDS = "(Debian: apt-get install default-jre-headless maven)"
# A broker that does not answer by then will not; on a busy machine it needs ten seconds.
START_S = 90.0
USER, PASSWORD = "alice", "open-sesame"
SCRAM_USER, SCRAM_PASSWORD = "bob", "hunter2"

PROPERTIES = """
process.roles=broker,controller
node.id={node}
controller.quorum.voters={voters}
listeners=PLAINTEXT://127.0.0.1:{plain},CONTROLLER://127.0.0.1:{controller},\
SASL://127.0.0.1:{sasl},TLS://127.0.0.1:{tls}
advertised.listeners=PLAINTEXT://127.0.0.1:{plain},SASL://127.0.0.1:{sasl},TLS://127.0.0.1:{tls}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL:SASL_PLAINTEXT,TLS:SSL
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs={folder}/data
auto.create.topics.enable=false
offsets.topic.replication.factor={replicas}
offsets.topic.num.partitions=1
transaction.state.log.replication.factor={replicas}
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
group.initial.rebalance.delay.ms=0
log.cleaner.dedupe.buffer.size=2097152
log.cleaner.backoff.ms=200
log.segment.delete.delay.ms=0
file.delete.delay.ms=0
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=300
num.network.threads=2
num.io.threads=2
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256
listener.name.sasl.plain.sasl.jaas.config=\
org.apache.kafka.common.security.plain.PlainLoginModule required user_{user}="{password}";
listener.name.sasl.scram-sha-256.sasl.jaas.config=\
org.apache.kafka.common.security.scram.ScramLoginModule required;
ssl.keystore.type=PEM
ssl.keystore.location={folder}/server.pem
ssl.truststore.type=PEM
ssl.truststore.location={folder}/ca.pem
"""


def jars() -> Path:
    """The folder with the broker's libraries, fetched if they are not there yet."""
    java, maven = shutil.which("java"), shutil.which("mvn")
    if java is None:
        pytest.skip(f"no Java to run a Kafka broker {NEEDS}")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    digest = hashlib.sha256(POM.read_bytes()).hexdigest()[:12]
    folder = Path(
        os.environ.get("PLIMSOLL_KAFKA_JARS") or cache / "plimsoll-tests" / f"kafka-{digest}"
    )
    done = folder / "complete"
    if done.exists():
        return folder
    if maven is None:
        pytest.skip(f"no Maven to fetch the Kafka broker with {NEEDS}")
    folder.mkdir(parents=True, exist_ok=True)
    fetched = subprocess.run(
        [maven, "-q", "-B", "-f", str(POM), "dependency:copy-dependencies",
         f"-DoutputDirectory={folder}", "-DincludeScope=runtime"],
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    if fetched.returncode:
        pytest.skip(f"Maven could not fetch the Kafka broker: {fetched.stdout[-500:]}")
    done.touch()
    return folder


@dataclass(frozen=True, slots=True)
class Ports:
    """Where one broker listens."""

    plain: int
    controller: int
    sasl: int
    tls: int


class Broker:
    """A broker that is started, killed and started again on the same folder and ports."""

    def __init__(self, folder: Path, nodes: Sequence[Ports] = (), node: int = 1) -> None:
        """The broker number ``node`` of ``nodes``, by default the only one."""
        self.folder = folder
        self.jars = jars()
        self.node = node
        self.nodes = nodes or ports(1)
        self.ports = self.nodes[node - 1]
        self._process: subprocess.Popen[bytes] | None = None
        self._certify()
        self._format()

    @property
    def address(self) -> str:
        """Where it answers anybody."""
        return f"127.0.0.1:{self.ports.plain}"

    @property
    def sasl_address(self) -> str:
        """Where it wants a user and a password."""
        return f"127.0.0.1:{self.ports.sasl}"

    @property
    def tls_address(self) -> str:
        """Where it speaks TLS."""
        return f"127.0.0.1:{self.ports.tls}"

    @property
    def ca(self) -> Path:
        """The certificate of the authority that signed the broker's."""
        return self.folder / "ca.pem"

    def start(self, *, wait: bool = True) -> None:
        """Starts it; returns when it answers."""
        with (self.folder / "broker.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*self._java("kafka.Kafka", "256m"), str(self.folder / "server.properties")],
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        if wait:
            self.wait()

    def wait(self) -> None:
        """Returns when it answers."""
        end = time.monotonic() + START_S
        while time.monotonic() < end:
            assert self._process is not None
            if self._process.poll() is not None:
                break
            try:
                with socket.create_connection(("127.0.0.1", self.ports.plain), timeout=1):
                    pass
                with closing(KafkaAdminClient(bootstrap_servers=self.address,
                                              bootstrap_timeout_ms=5000)) as admin:  # fmt: skip
                    admin.list_topics()
            except Exception:  # noqa: BLE001  # not yet: whatever it is, the log tells in the end
                time.sleep(0.1)
            else:
                return
        pytest.fail(f"the Kafka broker does not answer: {self.said()[-2000:]}")

    def said(self) -> str:
        """What the broker wrote about itself."""
        return (self.folder / "broker.log").read_text(encoding="utf-8", errors="replace")

    def kill(self) -> None:
        """Ends it with signal 9."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def move(self, elsewhere: Ports) -> None:
        """Has it listen elsewhere from its next start on; its controller stays where it is."""
        settings = self.folder / "server.properties"
        text = settings.read_text(encoding="utf-8")
        for name in ("plain", "sasl", "tls"):
            text = text.replace(f":{getattr(self.ports, name)}", f":{getattr(elsewhere, name)}")
        settings.write_text(text, encoding="utf-8")
        self.ports = replace(elsewhere, controller=self.ports.controller)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Holds it still: connections stay open, and nothing is answered."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    @contextmanager
    def admin(self) -> Iterator[Any]:
        """A client that may create and delete."""
        with closing(KafkaAdminClient(bootstrap_servers=self.address)) as client:
            yield client

    @contextmanager
    def producer(self, **options: Any) -> Iterator[Any]:
        """A client that sends; everything has arrived when the block ends."""
        producer = KafkaProducer(
            **{"bootstrap_servers": self.address, "linger_ms": 5, "batch_size": 1 << 17} | options
        )
        try:
            yield producer
            if "transactional_id" not in options:
                producer.flush()
        finally:
            producer.close()

    def create(self, topic: str, partitions: int = 1, **configs: str) -> str:
        """The name of a new topic; dots of its settings are written as ``_``."""
        named = {name.replace("_", "."): value for name, value in configs.items()}
        wanted = {
            "num_partitions": partitions,
            "replication_factor": len(self.nodes),
            "configs": named,
        }
        with self.admin() as admin:
            admin.create_topics({topic: wanted})
            admin.wait_for_topics([topic])
        return topic

    def delete(self, topic: str) -> None:
        """Returns when the topic is gone."""
        with self.admin() as admin:
            admin.delete_topics([topic])
            end = time.monotonic() + START_S
            while topic in admin.list_topics():
                assert time.monotonic() < end, f"{topic} is still there"
                time.sleep(0.05)

    def grow(self, topic: str, partitions: int) -> None:
        """Gives a topic more partitions."""
        with self.admin() as admin:
            admin.create_partitions({topic: partitions})
            end = time.monotonic() + START_S
            while len(admin.describe_topics([topic])[0]["partitions"]) < partitions:
                assert time.monotonic() < end, f"{topic} did not grow"
                time.sleep(0.05)

    def forget(self, topic: str, partition: int, before: int) -> None:
        """Does what retention does: deletes all messages before an offset."""
        with self.admin() as admin:
            admin.delete_records({TopicPartition(topic, partition): before})

    def send(
        self,
        topic: str,
        values: Iterable[bytes | None],
        *,
        partition: int = 0,
        key: bytes | None = None,
        headers: Sequence[tuple[str, bytes]] = (),
        **options: Any,
    ) -> None:
        """Sends messages to one partition, in order."""
        with self.producer(**options) as producer:
            for value in values:
                producer.send(topic, value, key, headers=list(headers), partition=partition)

    def send_events(
        self, topic: str, n: int, *, partitions: int = 1, first: int = 0, **options: Any
    ) -> list[bytes]:
        """Sends ``n`` events of our own format, spread over the partitions; gives them back."""
        events = [event(number) for number in range(first, first + n)]
        with self.producer(**options) as producer:
            for number, value in enumerate(events):
                producer.send(topic, value, partition=number % partitions)
        return events

    def ends(self, topic: str, partitions: int = 1) -> Mapping[int, int]:
        """The next offset of each partition."""
        with closing(KafkaConsumer(bootstrap_servers=self.address)) as consumer:
            ends = consumer.end_offsets([TopicPartition(topic, n) for n in range(partitions)])
        return {where.partition: offset for where, offset in ends.items()}

    def _java(self, main: str, heap: str) -> list[str]:
        return [
            "java", f"-Xmx{heap}", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            "-cp", f"{self.jars}/*", main,
        ]  # fmt: skip

    def _format(self) -> None:
        voters = ",".join(
            f"{number}@127.0.0.1:{each.controller}" for number, each in enumerate(self.nodes, 1)
        )
        (self.folder / "server.properties").write_text(
            PROPERTIES.format(
                **asdict(self.ports), node=self.node, voters=voters, replicas=len(self.nodes),
                folder=self.folder, user=USER, password=PASSWORD,
            ),
            encoding="utf-8",
        )  # fmt: skip
        # All brokers of a cluster must be told the same one.
        cluster = urlsafe_b64encode(hashlib.md5(voters.encode()).digest()).decode().rstrip("=")
        subprocess.run(
            [*self._java("kafka.tools.StorageTool", "128m"), "format", "-t", cluster,
             "-c", str(self.folder / "server.properties"), "--add-scram",
             f"SCRAM-SHA-256=[name={SCRAM_USER},password={SCRAM_PASSWORD}]"],
            check=True,
            capture_output=True,
        )  # fmt: skip

    def _certify(self) -> None:
        if shutil.which("openssl") is None:
            pytest.skip("no openssl to make a certificate with (Debian: apt-get install openssl)")
        (self.folder / "san").write_text("subjectAltName=IP:127.0.0.1", encoding="utf-8")
        authority = "req -x509 -newkey rsa:2048 -nodes -days 2 -keyout ca.key -out ca.pem"
        sign = "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2"
        for command in (
            f"{authority} -subj /CN=tests -addext keyUsage=critical,keyCertSign,cRLSign",
            "req -newkey rsa:2048 -nodes -keyout server.key -out server.csr -subj /CN=broker",
            f"{sign} -out server.crt -extfile san",
        ):
            subprocess.run(
                ["openssl", *command.split()], cwd=self.folder, check=True, capture_output=True
            )
        (self.folder / "server.pem").write_bytes(
            b"".join((self.folder / name).read_bytes() for name in ("server.key", "server.crt"))
        )


def event(number: int) -> bytes:
    """An order of our own format that differs from every other number's."""
    return (
        f'{{"id":"o-{number}","time":{1_779_357_600_000 + number},"type":"order.submitted",'
        f'"service":"order-api","version":"1.{number % 2}.0","outcome":"ok","value":12.5,'
        f'"subject":"INV-{number % 997}","attributes":{{"warehouse":"W{number % 7}",'
        f'"partner":"P{number % 31}","country":"United Kingdom"}}}}'
    ).encode()


def ports(nodes: int) -> list[Ports]:
    """Free ports for some brokers."""
    sockets = [socket.socket() for _ in range(4 * nodes)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        free = [each.getsockname()[1] for each in sockets]
        return [Ports(*free[first : first + 4]) for first in range(0, 4 * nodes, 4)]
    finally:
        for each in sockets:
            each.close()


@contextmanager
def cluster(folder: Path, nodes: int = 3) -> Iterator[list[Broker]]:
    """Brokers that keep every message on all of them."""
    free = ports(nodes)
    brokers: list[Broker] = []
    try:
        for node in range(1, nodes + 1):
            (folder / str(node)).mkdir()
            brokers.append(Broker(folder / str(node), free, node))
        for broker in brokers:
            broker.start(wait=False)
        for broker in brokers:
            broker.wait()
        yield brokers
    finally:
        for broker in brokers:
            broker.kill()


_STARTED = pytest.StashKey[Broker]()


@pytest.fixture(scope="session")
def kafka_broker(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Broker:
    """One broker for all tests of a session, whichever folder asks for it; each test makes topics
    of its own."""
    started = request.config.stash.get(_STARTED, None)
    if started is None:
        started = request.config.stash[_STARTED] = Broker(tmp_path_factory.mktemp("kafka"))
        request.config.add_cleanup(started.kill)
        started.start()
    return started
