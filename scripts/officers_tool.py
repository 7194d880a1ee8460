"""Make the officers' tool as one file: `python -m scripts.officers_tool FILE`."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from audit.onefile import build_tool


def main(arguments: list[str]) -> int:
    """Write the file and print its SHA-256, as `sha256sum` does; returns the exit status."""
    if len(arguments) != 1:
        print("usage: python -m scripts.officers_tool FILE", file=sys.stderr)
        return 2
    path = Path(arguments[0])
    tool = build_tool()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(tool)
    path.chmod(0o755)
    print(f"{hashlib.sha256(tool).hexdigest()}  {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
