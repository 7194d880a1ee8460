"""A log host on a real socket: it gets every record in order, and can not hold the log up."""

from __future__ import annotations

import signal
import socket
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Self

import pytest

from audit.client import AuditClient, RecordType
from audit.forward.destination import Destination
from audit.forward.errors import DestinationError
from audit.forward.forwarder import BATCH
from audit.forward.position import read_position
from audit.note import VerifierKey
from audit.syslog import parse_line
from tests.service.audit.harness import Writer
from tests.support.loghost import RECORD, LogHost
from tests.support.wait import wait_until


class Forwarding:
    """The forwarder's process."""

    def __init__(self, writer: Writer, to: str, *options: str) -> None:
        self.state = writer.root / "position.json"
        command = [sys.executable, "-m", "audit.forward", "--dir", str(writer.log)]
        command += ["--state", str(self.state), "--to", to, "--host", "cloister-test", *options]
        self._errors = (writer.root / "forward-errors").open("ab")
        self.process = subprocess.Popen(command, stderr=self._errors)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            assert self.process.wait(20) == 0
        finally:
            self.process.kill()
            self._errors.close()


def append(client: AuditClient, count: int) -> int:
    """Append records and return the index of the last."""
    for _ in range(count):
        receipt = client.append(
            RecordType.PROMPT, actor="m.keller", meta={"task": "t"}, content={"text": "geheim"}
        )
    return receipt.index


def test_each_record_is_told_in_order_and_nothing_of_its_content(
    writer: Writer, client: AuditClient
) -> None:
    last = append(client, 5)
    with LogHost() as host, Forwarding(writer, f"tcp://127.0.0.1:{host.port}"):
        wait_until(lambda: host.indices == list(range(last + 1)), 20, "the records so far")
        last = append(client, BATCH + 10)
        wait_until(lambda: host.indices == list(range(last + 1)), 20, "the records since")
    text = "\n".join(host.lines)
    for word in ("geheim", "m.keller", "triage"):
        assert word not in text
    first = RECORD.match(host.lines[0])
    assert first is not None
    assert (first["id"], first["type"]) == ("EPOCH-OPEN", "epoch-open")


def test_a_log_host_is_a_witness_once_a_minute(writer: Writer, client: AuditClient) -> None:
    append(client, 3)
    with LogHost() as host, Forwarding(writer, f"tcp://127.0.0.1:{host.port}"):
        wait_until(lambda: any("CHECKPOINT" in line for line in host.lines), 20, "a checkpoint")
    (line,) = [line for line in host.lines if "CHECKPOINT" in line]
    note = parse_line(line)
    assert note is not None
    assert VerifierKey.parse(writer.status().vkey).verify(note).size == 4


def test_a_host_that_goes_away_gets_the_rest_when_it_is_back(
    writer: Writer, client: AuditClient
) -> None:
    host = LogHost()
    with Forwarding(writer, f"tcp://127.0.0.1:{host.port}") as forwarding:
        last = append(client, 3)
        wait_until(lambda: host.indices == list(range(last + 1)), 20, "the first records")
        host.close()
        last = append(client, 3)
        wait_until(lambda: read_position(forwarding.state).reason, 20, "the host is missed")
        assert "127.0.0.1" in read_position(forwarding.state).reason
        last = append(client, 3)
        with LogHost(port=host.port) as again:
            wait_until(lambda: last in again.indices, 40, "the rest")
            assert sorted(set(host.indices + again.indices)) == list(range(last + 1))
            wait_until(lambda: not read_position(forwarding.state).reason, 20, "all is well")
            assert read_position(forwarding.state).next == last + 1


def test_a_host_that_hangs_holds_nothing_up(writer: Writer, client: AuditClient) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        with Forwarding(writer, f"tcp://127.0.0.1:{deaf.getsockname()[1]}") as forwarding:
            append(client, 40)
            wait_until(forwarding.state.exists, 20, "the forwarder")
            last = append(client, 200)
            assert writer.status().health == "ok"
            assert writer.status().size == last + 1
            wait_until(
                lambda: "takes no lines" in read_position(forwarding.state).reason, 40, "the host"
            )
            assert read_position(forwarding.state).next < last


def test_a_restart_goes_on_where_it_stopped(writer: Writer, client: AuditClient) -> None:
    last = append(client, 3)
    with LogHost() as host:
        with Forwarding(writer, f"tcp://127.0.0.1:{host.port}"):
            wait_until(lambda: last in host.indices, 20, "the first records")
        told = len(host.indices)
        last = append(client, 3)
        with Forwarding(writer, f"tcp://127.0.0.1:{host.port}"):
            wait_until(lambda: last in host.indices, 20, "the next records")
        assert host.indices == list(range(last + 1))
        assert told == last - 2


def test_udp_gets_a_datagram_a_record(writer: Writer, client: AuditClient) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as host:
        host.bind(("127.0.0.1", 0))
        host.settimeout(20)
        append(client, 2)
        with Forwarding(writer, f"udp://127.0.0.1:{host.getsockname()[1]}"):
            lines = [host.recv(65536).decode() for _ in range(4)]
    assert [bool(RECORD.match(line)) for line in lines] == [True, True, True, False]
    assert "CHECKPOINT" in lines[3]


@pytest.fixture
def certificate(root: Path) -> tuple[Path, Path]:
    key, certificate = root / "host.key", root / "host.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ed25519", "-nodes", "-days", "1"]
    command += ["-subj", "/CN=loghost", "-addext", "subjectAltName=DNS:loghost"]
    command += ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    return key, certificate


def test_tls_tells_only_the_host_that_its_certificate_names(
    writer: Writer, client: AuditClient, certificate: tuple[Path, Path]
) -> None:
    key, pem = certificate
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, key)
    last = append(client, 3)
    with LogHost(context) as host:
        to = f"tls://127.0.0.1:{host.port}"
        with Forwarding(writer, to, "--ca", str(pem)) as forwarding:
            wait_until(lambda: read_position(forwarding.state).reason, 20, "another name")
            assert "certificate" in read_position(forwarding.state).reason
            assert host.lines == []
        with Forwarding(writer, to, "--ca", str(pem), "--name", "loghost"):
            wait_until(lambda: host.indices == list(range(last + 1)), 20, "the records")


@pytest.mark.parametrize(
    "text",
    [
        "10.0.0.5:514", "http://10.0.0.5:514", "tcp://loghost:514", "tcp://10.0.0.5",
        "tcp://10.0.0.5:0", "tcp://10.0.0.5:99999", "tcp://10.0.0.5:514/x", "tcp://u@10.0.0.5:514",
    ],
)  # fmt: skip
def test_what_is_no_address_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(DestinationError, match="Give tcp://ADDRESS:PORT"):
        Destination.parse(text)


def test_an_address_reads_as_it_was_written() -> None:
    for text in ("tcp://10.0.0.5:514", "tls://[fd00::5]:6514", "udp://127.0.0.1:514"):
        assert str(Destination.parse(text)) == text


def test_the_forwarder_ends_with_a_remedy_where_the_address_is_wrong(root: Path) -> None:
    command = [sys.executable, "-m", "audit.forward", "--dir", str(root), "--host", "h"]
    command += ["--state", str(root / "p"), "--to", "tcp://loghost:514"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 2
    assert "IP address" in done.stderr
    assert "Traceback" not in done.stderr
