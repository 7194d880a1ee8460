"""Look into one weights file and print the finding: a process of its own, with little of anything.

`python -m appliance.catalogue.inspector FILE [--no-template] [--base MODEL]`, with the manifest's
chat template on standard input (nothing if it has none); `--base` for an adapter. A hostile file
can make this process slow or greedy at worst, never the one that asked.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
from dataclasses import asdict
from pathlib import Path

from appliance.catalogue.adapter import check_adapter
from appliance.catalogue.errors import GgufError
from appliance.catalogue.facts import ModelFacts
from appliance.catalogue.gguf import Gguf, read_gguf
from appliance.catalogue.processor import repacked_formats
from appliance.catalogue.structure import check_structure, check_template

_MEMORY = 512 * 1024 * 1024  # bytes of address space
_CPU_SECONDS = 20


def main(arguments: list[str] | None = None) -> int:
    """Print `{"facts": …}`, `{"adapter": …}` or `{"error": …}` as JSON."""
    given = _parser().parse_args(arguments)
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_SECONDS, _CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    own = sys.stdin.read() or None
    report: dict[str, object]
    try:
        gguf = read_gguf(given.file)
        if given.base is None:
            report = {"facts": asdict(_model(gguf, own, template=given.template))}
        else:
            report = {"adapter": asdict(check_adapter(gguf, read_gguf(given.base)))}
    except GgufError as error:
        report = {"error": str(error)}
    print(json.dumps(report))
    return 0


def _model(gguf: Gguf, own: str | None, *, template: bool) -> ModelFacts:
    facts = check_structure(gguf, repacked_formats())
    if template:
        check_template(gguf, own)
    return facts


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m appliance.catalogue.inspector")
    parser.add_argument("file", type=Path)
    parser.add_argument("--no-template", dest="template", action="store_false")
    parser.add_argument("--base", type=Path)
    return parser


if __name__ == "__main__":
    sys.exit(main())
