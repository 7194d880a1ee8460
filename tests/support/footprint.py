"""What a process holds: file descriptors, threads, memory."""

from __future__ import annotations

from dataclasses import dataclass

import psutil


@dataclass(frozen=True)
class Footprint:
    """Counts of one process at one time; `resident` is in bytes."""

    descriptors: int
    threads: int
    resident: int

    @classmethod
    def of(cls, process: psutil.Process) -> Footprint:
        """What the process holds now."""
        with process.oneshot():
            return cls(process.num_fds(), process.num_threads(), process.memory_info().rss)
