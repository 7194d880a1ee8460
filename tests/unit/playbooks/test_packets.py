"""What the packet filter lets through, with real packets between network namespaces."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator

import pytest

from tests.support.netns import Namespace, join, namespace
from tests.support.playbooks import rendered

NFT = shutil.which("nft", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(NFT is None or os.geteuid() != 0, reason="needs nft, and root"),
]
SERVICE = 900  # user id that stands for a service's account
# Says for each place "ok", or the error's name.
PROBE = """
import os, socket, sys
os.setuid(int(sys.argv[1]))
for place in sys.argv[3:]:
    address, port = place.split(":")
    with socket.socket(socket.AF_INET, getattr(socket, sys.argv[2])) as probe:
        probe.settimeout(0.5)
        try:
            probe.connect((address, int(port)))
            if sys.argv[2] == "SOCK_DGRAM":
                probe.send(b"x")
                probe.recv(1)
            print("ok")
        except OSError as error:
            print(type(error).__name__)
"""
SERVE = """
import socket, sys
listeners = [socket.create_server(("0.0.0.0", int(port))) for port in sys.argv[1:]]
print("listening", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def network() -> Iterator[tuple[Namespace, Namespace, Namespace]]:
    """A host with the ruleset, a client that is named in it, and somebody else."""
    with namespace() as host, namespace() as client, namespace() as other:
        join(host, "clients", "192.0.2.1/24", client, "192.0.2.7/24")
        join(host, "others", "203.0.113.1/24", other, "203.0.113.7/24")
        host.ip("route", "add", "default", "via", "203.0.113.7")
        text = rendered(
            "network",
            "nftables.conf.j2",
            network_clients=["192.0.2.0/24"],
            network_administrators=["192.0.2.9"],
        )
        # The accounts of a host are not there: numbers stand for them.
        for number, name in enumerate(("audit", "engine", "web")):
            text = text.replace(f'"cloister-{name}"', str(SERVICE + number))
        loaded = host.run([str(NFT), "--file", "-"], text)
        assert loaded.returncode == 0, loaded.stderr
        yield host, client, other


def probe(where: Namespace, *places: str, user: int = 0, kind: str = "SOCK_STREAM") -> list[str]:
    """What becomes of a connection to each place, as some user."""
    done = where.run([sys.executable, "-c", PROBE, str(user), kind, *places])
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def counters(host: Namespace) -> dict[str, int]:
    listed = json.loads(host.run([str(NFT), "--json", "list", "counters"]).stdout)["nftables"]
    found = [each["counter"] for each in listed if "counter" in each]
    return {each["name"]: each["packets"] for each in found}


@pytest.mark.parametrize("user", [0, SERVICE])
@pytest.mark.parametrize("kind", ["SOCK_STREAM", "SOCK_DGRAM"])
def test_the_host_begins_no_connection_and_each_attempt_is_counted(
    network: tuple[Namespace, Namespace, Namespace], user: int, kind: str
) -> None:
    host, _, _ = network
    before = counters(host)
    places = [
        f"{address}:{port}"
        for address in ("192.0.2.7", "203.0.113.7", "198.51.100.1")
        for port in (53, 123, 443)
    ]
    assert "ok" not in probe(host, *places, user=user, kind=kind)
    after = counters(host)
    counted = "out_denied" if user == 0 else "out_denied_service"
    assert after[counted] - before[counted] >= 9
    assert after["out_reply"] == before["out_reply"]


def test_only_named_clients_come_in_and_only_to_the_pages(
    network: tuple[Namespace, Namespace, Namespace],
) -> None:
    host, client, other = network
    with host.started([sys.executable, "-c", SERVE, "443", "22", "8080"]) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == "listening\n"
        pages, ssh, loopback = "192.0.2.1:443", "192.0.2.1:22", "192.0.2.1:8080"
        assert probe(client, pages, ssh, loopback) == ["ok", "TimeoutError", "TimeoutError"]
        assert "ok" not in probe(other, "203.0.113.1:443", "203.0.113.1:22")
        assert probe(host, "127.0.0.1:8080") == ["ok"]
    found = counters(host)
    assert found["in_https"] == 1
    assert found["out_reply"] >= 1
    assert found["in_denied"] >= 4


def test_a_named_destination_is_reached_and_nothing_else_there(
    network: tuple[Namespace, Namespace, Namespace],
) -> None:
    host, _, _ = network
    probe(host, "192.0.2.123:123", "192.0.2.123:124", kind="SOCK_DGRAM")
    found = counters(host)
    assert found["out_time"] == 1
    assert found["out_denied"] >= 1
