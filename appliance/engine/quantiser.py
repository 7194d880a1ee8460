"""Write a model's weights in another number format: a process of its own, for one file.

`python -m appliance.engine.quantiser SOURCE TARGET --type Q4_K_M --parent PID`. It prints how many
tensors are done, a line each time, and ends with 0 once the file is whole.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import re
import sys
from pathlib import Path

import llama_cpp.llama_cpp as lib

from appliance.engine.process import die_with_parent

_PROGRESS = re.compile(rb"\[ *(\d+)/ *\d+\]")  # how llama.cpp begins its line for a tensor
_TYPES = {
    "Q4_K_M": lib.LLAMA_FTYPE_MOSTLY_Q4_K_M,
    "Q5_K_M": lib.LLAMA_FTYPE_MOSTLY_Q5_K_M,
    "Q6_K": lib.LLAMA_FTYPE_MOSTLY_Q6_K,
    "Q8_0": lib.LLAMA_FTYPE_MOSTLY_Q8_0,
}


def main(arguments: list[str] | None = None) -> int:
    """Quantise one file; llama.cpp's own words go to standard error."""
    given = _parser().parse_args(arguments)
    die_with_parent(given.parent)
    log = lib.llama_log_callback(_tell)
    lib.llama_log_set(log, ctypes.c_void_p(0))
    params = lib.llama_model_quantize_default_params()
    params.ftype = _TYPES[given.type]
    params.nthread = given.threads or len(os.sched_getaffinity(0))
    source, target = os.fsencode(given.source), os.fsencode(given.target)
    return int(lib.llama_model_quantize(source, target, ctypes.byref(params)) != 0)


def _tell(_level: int, text: bytes | None, _data: object) -> None:
    if found := _PROGRESS.match(text or b""):
        print(int(found[1]), flush=True)
    else:
        sys.stderr.write((text or b"").decode("utf-8", "replace"))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m appliance.engine.quantiser")
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--type", choices=_TYPES, required=True)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--parent", type=int, required=True)
    return parser


if __name__ == "__main__":
    sys.exit(main())
