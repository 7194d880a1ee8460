"""How much memory this machine has left for a process of ours.

The lesser of what the kernel can give without swapping, and what the control groups of this
process leave (Linux: Documentation/admin-guide/cgroup-v1/memory.rst and cgroup-v2.rst). Pages that
only mirror a file count as free in both, since the kernel drops them when it needs to.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class _Names:
    """What the files of a memory controller are called."""

    limits: tuple[str, ...]
    usage: str
    cached: tuple[str, ...]  # keys of memory.stat


_V1 = _Names(
    ("memory.limit_in_bytes",),
    "memory.usage_in_bytes",
    ("total_inactive_file", "total_active_file"),
)
_V2 = _Names(("memory.max", "memory.high"), "memory.current", ("inactive_file", "active_file"))


def available_memory(proc: Path = Path("/proc"), cgroups: Path = Path("/sys/fs/cgroup")) -> int:
    """Bytes that new processes may take before anything has to give way.

    Args:
        proc: where the kernel shows its processes.
        cgroups: where it shows the control groups.
    """
    amounts = _table(proc / "meminfo")
    free = amounts.get("MemAvailable", amounts.get("MemFree", 0)) * 1024
    left = [_left(folder, names) for folder, names in _groups(proc, cgroups)]
    return max(0, min([free, *(each for each in left if each is not None)]))


def _groups(proc: Path, cgroups: Path) -> Iterator[tuple[Path, _Names]]:
    """Folders of the groups that bound this process, from its own up to the root."""
    for line in _read(proc / "self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and "memory" not in controllers.split(","):
            continue
        top = cgroups / "memory" if controllers else cgroups
        folder = top / path.lstrip("/")
        for each in (folder, *folder.parents):
            if not each.is_relative_to(top):
                break
            yield each, _V1 if controllers else _V2


def _left(folder: Path, names: _Names) -> int | None:
    """Bytes that one group leaves; None if it sets no limit."""
    limits = [_number(folder / name) for name in names.limits]
    known = [limit for limit in limits if limit is not None]
    usage = _number(folder / names.usage)
    if not known or usage is None:
        return None
    counts = _table(folder / "memory.stat")
    return min(known) - usage + sum(counts.get(key, 0) for key in names.cached)


def _number(path: Path) -> int | None:
    text = _read(path).strip()
    return int(text) if text.isdecimal() else None


def _table(path: Path) -> dict[str, int]:
    """Lines of a name and a number."""
    rows = [line.replace(":", " ").split() for line in _read(path).splitlines()]
    return {row[0]: int(row[1]) for row in rows if len(row) > 1 and row[1].isdecimal()}


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
