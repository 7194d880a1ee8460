"""The files of the repository, as git would commit them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def files(*patterns: str) -> Iterator[Path]:
    """Tracked files, and new ones that git does not ignore, that match a glob of git's."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *patterns],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in sorted(set(listed.split("\0")) - {""}):
        if (ROOT / name).is_file():
            yield ROOT / name


def name(file: Path) -> str:
    """The path inside the repository."""
    return str(file.relative_to(ROOT))
