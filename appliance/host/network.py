"""What our processes listen on and whom they talk to, as the kernel says."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import pairwise
from typing import Any

import psutil

Address = tuple[str, int]


def family(manager: int) -> list[psutil.Process]:
    """The manager and everything that it started, at any depth."""
    try:
        first = psutil.Process(manager)
        return [first, *first.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def listening(processes: Iterable[psutil.Process]) -> set[Address]:
    """Addresses of TCP that the processes listen on, and of UDP that they are bound to."""
    return {
        local
        for one in _sockets(processes)
        if (local := _address(one.laddr)) and _address(one.raddr) is None
    }


def outside(processes: Iterable[psutil.Process]) -> set[Address]:
    """Whom the processes talk to, beyond this machine."""
    return {
        peer
        for one in _sockets(processes)
        if (peer := _address(one.raddr)) and not _is_loopback(peer[0])
    }


def runs_module(process: psutil.Process, module: str) -> bool:
    """Whether a process is `python -m` this module; one that has ended is none."""
    with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        return ("-m", module) in pairwise(process.cmdline())
    return False


def written(addresses: Iterable[Address]) -> str:
    """Addresses for people."""
    return ", ".join(f"{host}:{port}" for host, port in sorted(addresses)) or "nothing"


def _sockets(processes: Iterable[psutil.Process]) -> Iterator[psutil._ntuples.pconn]:
    for process in processes:
        # A worker may end while we look; the audit writer lets only root look into it.
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            yield from process.net_connections("inet")


def _address(given: tuple[Any, ...]) -> Address | None:
    """An end of a socket; psutil gives an empty tuple for an end that there is not."""
    return (str(given[0]), int(given[1])) if given else None


def _is_loopback(address: str) -> bool:
    plain = ipaddress.ip_address(address)
    mapped = getattr(plain, "ipv4_mapped", None)
    return (mapped or plain).is_loopback
