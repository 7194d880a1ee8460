"""What is measured, how rounds are summed up, and how it is printed.

Every figure has a direction, so a ratio above 1 always means that Cloister is ahead.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import numpy as np
import psutil

Figures = Mapping[str, float]


@dataclass(frozen=True)
class Metric:
    """A column: its key among the figures, its title, its decimals, and which way is better."""

    key: str
    title: str
    digits: int
    better: Literal["more", "less"] | None = None


METRICS = (
    Metric("wall", "wall s a request", 3, "less"),
    Metric("cpu", "CPU s a request", 3, "less"),
    Metric("rate", "tokens/s", 1, "more"),
    Metric("per_cpu", "tokens a CPU s", 1, "more"),
    Metric("valid_per_cpu", "valid answers a CPU s", 2, "more"),
    Metric("valid", "valid share", 2),
    Metric("first", "first token ms", 0, "less"),
    Metric("gap", "inter-token p95 ms", 1, "less"),
    Metric("quiet", "p95 quiet ms", 1, "less"),
    Metric("disturbed", "p95 disturbed ms", 1, "less"),
    Metric("slowdown", "disturbed / quiet", 2, "less"),
    Metric("stall", "longest stall ms", 0, "less"),
    Metric("newcomer", "its first token ms", 0, "less"),
    Metric("single", "tokens/s, one stream", 2, "more"),
    Metric("bandwidth", "share of bandwidth", 3, "more"),
    Metric("prompt", "tokens in", 0),
    Metric("length", "tokens out", 1),
    Metric("same", "same answers", 2),
    Metric("others", "other work, cores", 2),
)


@dataclass(frozen=True)
class Spread:
    """The median over the rounds, and the least and the most of them."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        found = sorted(values)
        return cls(statistics.median(found), found[0], found[-1])


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of the values lie, interpolated; NaN if there are none."""
    return float(np.quantile(values, share)) if values else float("nan")


def ratios(metric: Metric, ours: Sequence[Figures], theirs: Sequence[Figures]) -> Spread | None:
    """How many times better `ours` is than `theirs`, round by round; None if it says nothing."""
    if metric.better is None:
        return None
    pairs = [(a[metric.key], b[metric.key]) for a, b in zip(ours, theirs, strict=True)]
    if metric.better == "less":
        pairs = [(b, a) for a, b in pairs]
    if not all(a > 0 and b > 0 for a, b in pairs):
        return None
    return Spread.of(a / b for a, b in pairs)


def table(sides: Mapping[str, Sequence[Figures]]) -> str:
    """A Markdown table: medians of each side, then how the first compares with each other one."""
    have = [
        metric
        for metric in METRICS
        if any(metric.key in figures for rounds in sides.values() for figures in rounds)
    ]
    rows = [["", *(metric.title for metric in have)], ["---", *("---:" for _ in have)]]
    for name, rounds in sides.items():
        rows.append([name, *(_cell(metric, rounds) for metric in have)])
    (ours, first), *others = sides.items()
    for name, rounds in others:
        label = f"{ours} against {name}"
        rows.append([label, *(_comparison(metric, first, rounds) for metric in have)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _has(metric: Metric, rounds: Sequence[Figures]) -> bool:
    return all(metric.key in figures for figures in rounds)


def _cell(metric: Metric, rounds: Sequence[Figures]) -> str:
    if not _has(metric, rounds):
        return ""
    return f"{Spread.of(figures[metric.key] for figures in rounds).median:.{metric.digits}f}"


def _comparison(metric: Metric, ours: Sequence[Figures], theirs: Sequence[Figures]) -> str:
    if not (_has(metric, ours) and _has(metric, theirs)):
        return ""
    spread = ratios(metric, ours, theirs)
    if spread is None:
        return ""
    return f"{spread.median:.2f} ({spread.low:.2f} to {spread.high:.2f})"


class Clock:
    """Wall and CPU seconds of a process with all its descendants, and of everybody else.

    Used as a context manager around the work. A descendant that ends meanwhile takes its seconds
    with it; the servers under measurement keep theirs.
    """

    def __init__(self, process: int) -> None:
        """Count `process`, by its id."""
        self._root = psutil.Process(process)
        self._own = psutil.Process()
        self.wall = self.cpu = self.others = 0.0

    def __enter__(self) -> Self:
        """Start."""
        self._before = self._read()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop; `wall` and `cpu` are in seconds, `others` is in cores."""
        after = self._read()
        self.wall, self.cpu, own, machine = (
            end - start for start, end in zip(self._before, after, strict=True)
        )
        self.others = max(0.0, (machine - self.cpu - own) / self.wall)

    def _read(self) -> tuple[float, float, float, float]:
        tree = [self._root, *self._root.children(recursive=True)]
        busy = psutil.cpu_times()
        return (
            time.perf_counter(),
            sum(map(_seconds, tree)),
            _seconds(self._own),
            sum(busy) - busy.idle - busy.iowait - busy.guest - busy.guest_nice,
        )


def _seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def machine() -> str:
    """What this machine is, and how busy."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    name = next((line for line in lines if line.startswith("model name")), "unknown: processor")
    load = os.getloadavg()[0]
    return f"{os.cpu_count()} cores, {name.partition(':')[2].strip()}, load {load:.1f}"


def bandwidth(threads: int, megabytes: int = 256, repeats: int = 5) -> float:
    """Bytes per second that `threads` copies at once read and write; the best of `repeats`."""
    size = megabytes * 1_000_000 // 8
    pairs = [(np.ones(size), np.empty(size)) for _ in range(threads)]
    with ThreadPoolExecutor(threads) as pool:
        times = [_copy_all(pool, pairs) for _ in range(repeats + 1)]
    return 2 * 8 * size * threads / min(times[1:])  # the first one touches new pages


def _copy_all(pool: ThreadPoolExecutor, pairs: list[tuple[np.ndarray, np.ndarray]]) -> float:
    began = time.perf_counter()
    list(pool.map(lambda pair: np.copyto(pair[1], pair[0]), pairs))
    return time.perf_counter() - began
