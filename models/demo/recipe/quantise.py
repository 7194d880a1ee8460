"""Quantise a GGUF file to Q8_0, in the run-time environment: the llama.cpp that will serve it."""

from __future__ import annotations

import sys
from pathlib import Path


class QuantiseError(Exception):
    """llama.cpp refused to quantise the file."""


def quantise(source: Path, target: Path) -> None:
    """Write `source` as Q8_0 to `target`."""
    import llama_cpp

    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype = llama_cpp.LLAMA_FTYPE_MOSTLY_Q8_0
    params.nthread = 2
    code = llama_cpp.llama_model_quantize(str(source).encode(), str(target).encode(), params)
    if code != 0:
        raise QuantiseError(f"{source}: llama.cpp returned {code}")


if __name__ == "__main__":
    quantise(Path(sys.argv[1]), Path(sys.argv[2]))
