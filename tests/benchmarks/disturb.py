"""A long prompt that arrives among running streams, and what it does to their pace."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Semaphore

from tests.benchmarks.drive import Address, Answer, Request, ask
from tests.benchmarks.weights import BenchmarkError

_SETTLE = 4  # events of each stream before its pace counts; one may carry several tokens
_QUIET = 8  # further events of each stream before the newcomer is sent
_PATIENCE = 900  # seconds


@dataclass(frozen=True)
class Disturbed:
    """The streams, the newcomer, and the gaps between events in seconds.

    Args:
        quiet: while all streams ran, before the newcomer.
        disturbed: that overlap with the time from the newcomer's start to its first token.
    """

    streams: list[Answer]
    newcomer: Answer
    quiet: list[float]
    disturbed: list[float]


def disturb(address: Address, running: Sequence[Request], newcomer: Request) -> Disturbed:
    """Start the streams, send the newcomer when all of them have settled, and time the gaps.

    Raises:
        BenchmarkError: the streams ended before the newcomer had its first token.
    """
    settled = Semaphore(0)

    def watch(count: int) -> None:
        if count == _SETTLE + _QUIET:
            settled.release()

    def stream(request: Request) -> Answer:
        try:
            return ask(address, request, watch)
        finally:
            settled.release()  # one that ends too early must not be waited for

    with ThreadPoolExecutor(len(running)) as pool:
        futures = [pool.submit(stream, request) for request in running]
        for _ in running:
            if not settled.acquire(timeout=_PATIENCE):
                raise BenchmarkError("the running streams came to no pace.")
        late = ask(address, newcomer)
        streams = [future.result() for future in futures]
    return sort_gaps(streams, late)


def sort_gaps(streams: list[Answer], newcomer: Answer) -> Disturbed:
    """Tell the gaps before the newcomer from those during its prompt.

    Raises:
        BenchmarkError: no stream ran during it.
    """
    all_run = max(stream.arrivals[_SETTLE - 1] for stream in streams)
    arrived, served = newcomer.began, newcomer.arrivals[0]
    gaps = [gap for stream in streams for gap in stream.gaps]
    quiet = [end - start for start, end in gaps if all_run <= start and end <= arrived]
    disturbed = [end - start for start, end in gaps if end > arrived and start < served]
    if not quiet or min(stream.arrivals[-1] for stream in streams) < served:
        raise BenchmarkError("the streams ended before the newcomer was served.")
    return Disturbed(streams, newcomer, quiet, disturbed)
