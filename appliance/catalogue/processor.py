"""Which number formats llama.cpp lays out anew for the processor of this machine.

Matrices in these formats are copied into blocks of eight rows when the model is loaded, so that
one vector instruction serves all eight. The copies are memory beside the mapped file.
"""

from __future__ import annotations

from pathlib import Path

# By a flag of /proc/cpuinfo; the rules are those of ggml's CPU backend (ggml-cpu/repack.cpp and
# ggml-cpu/amx), which our build compiles for the machine that it runs on.
_BY_FLAG = {
    "avx2": frozenset(("Q4_0", "Q4_K", "IQ4_NL", "MXFP4")),
    "avx512f": frozenset(("Q2_K",)),
    "amx_int8": frozenset(("Q4_0", "Q4_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K", "IQ4_XS")),
    "asimddp": frozenset(("Q1_0", "Q4_0", "Q4_K", "Q5_K", "Q6_K", "Q8_0", "IQ4_NL", "MXFP4")),
}
ROWS = 8  # a matrix is laid out anew if its rows are a multiple of this


def repacked_formats(cpuinfo: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """Names of the number formats that are copied at load; none where the flags are unknown."""
    try:
        lines = cpuinfo.read_text(errors="replace").splitlines()
    except OSError:
        return frozenset()
    words = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    found = [_BY_FLAG[flag] for flag in words.split() if flag in _BY_FLAG]
    return frozenset().union(*found)
