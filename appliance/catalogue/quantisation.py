"""The number formats of tensors in a GGUF file: how many elements a block has, and its bytes."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Quantisation:
    """One number format.

    Args:
        name: as people write it.
        block: elements that are stored together; a row is a whole number of blocks.
        block_bytes: bytes of one block.
    """

    name: str
    block: int
    block_bytes: int


# Numbers and layouts: enum ggml_type and the block structures of ggml (ggml/include/ggml.h,
# ggml/src/ggml-common.h). The missing numbers belonged to formats that ggml has taken out.
QUANTISATIONS = MappingProxyType(
    {
        0: Quantisation("F32", 1, 4),
        1: Quantisation("F16", 1, 2),
        2: Quantisation("Q4_0", 32, 18),
        3: Quantisation("Q4_1", 32, 20),
        6: Quantisation("Q5_0", 32, 22),
        7: Quantisation("Q5_1", 32, 24),
        8: Quantisation("Q8_0", 32, 34),
        10: Quantisation("Q2_K", 256, 84),
        11: Quantisation("Q3_K", 256, 110),
        12: Quantisation("Q4_K", 256, 144),
        13: Quantisation("Q5_K", 256, 176),
        14: Quantisation("Q6_K", 256, 210),
        16: Quantisation("IQ2_XXS", 256, 66),
        17: Quantisation("IQ2_XS", 256, 74),
        18: Quantisation("IQ3_XXS", 256, 98),
        19: Quantisation("IQ1_S", 256, 50),
        20: Quantisation("IQ4_NL", 32, 18),
        21: Quantisation("IQ3_S", 256, 110),
        22: Quantisation("IQ2_S", 256, 82),
        23: Quantisation("IQ4_XS", 256, 136),
        24: Quantisation("I8", 1, 1),
        25: Quantisation("I16", 1, 2),
        26: Quantisation("I32", 1, 4),
        27: Quantisation("I64", 1, 8),
        28: Quantisation("F64", 1, 8),
        29: Quantisation("IQ1_M", 256, 56),
        30: Quantisation("BF16", 1, 2),
        34: Quantisation("TQ1_0", 256, 54),
        35: Quantisation("TQ2_0", 256, 66),
        39: Quantisation("MXFP4", 32, 17),
        40: Quantisation("NVFP4", 64, 36),
        41: Quantisation("Q1_0", 128, 18),
        42: Quantisation("Q2_0", 64, 18),
    }
)
