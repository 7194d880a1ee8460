"""A host and its neighbours as network namespaces: real packets, no machine's own network."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

_HOLD = ["unshare", "--net", "sh", "-c", "ip link set lo up && echo up && exec cat"]


@dataclass(frozen=True)
class Namespace:
    """A network namespace that lives as long as the process that holds it."""

    holder: subprocess.Popen[str]

    def run(self, command: Sequence[str], given: str = "") -> subprocess.CompletedProcess[str]:
        """Run a program in it; its exit status may be anything."""
        inside = ["nsenter", f"--net=/proc/{self.holder.pid}/ns/net", *command]
        return subprocess.run(
            inside, input=given, capture_output=True, text=True, check=False, timeout=30
        )

    @contextmanager
    def started(self, command: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
        """A program in it, which ends when its standard input does."""
        inside = ["nsenter", f"--net=/proc/{self.holder.pid}/ns/net", *command]
        with subprocess.Popen(
            inside, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            yield process

    def ip(self, *words: str) -> None:
        """ip(8) in it; must succeed."""
        done = self.run(["ip", *words])
        assert done.returncode == 0, done.stderr


@contextmanager
def namespace() -> Iterator[Namespace]:
    """A new namespace with its loopback up."""
    with subprocess.Popen(
        _HOLD, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "up\n"
        yield Namespace(holder)


def join(one: Namespace, name: str, address: str, other: Namespace, its: str) -> None:
    """A cable between two, with an address at each end.

    Args:
        one: gets the interface `name` with `address` (with prefix length).
        name: of the interface; the other end is called `up0`.
        address: at this end.
        other: gets `up0` with the address `its`.
        its: at the other end.
    """
    peer = ["peer", "name", "up0", "netns", str(other.holder.pid)]
    one.ip("link", "add", name, "type", "veth", *peer)
    for end, device, where in ((one, name, address), (other, "up0", its)):
        end.ip("address", "add", where, "dev", device)
        end.ip("link", "set", device, "up")
