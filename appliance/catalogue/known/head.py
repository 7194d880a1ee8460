"""The head of a GGUF: its key-value pairs and the number of its weights."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from appliance.catalogue.gguf import Array as Array
from appliance.catalogue.gguf import Tensor, read_gguf


@dataclass(frozen=True)
class GgufHead:
    """What a GGUF says about itself.

    Args:
        metadata: key-value pairs.
        parameters: number of weights in all tensors.
        tensors: their names.
    """

    metadata: Mapping[str, object]
    parameters: int
    tensors: frozenset[str] = frozenset()

    def text(self, key: str) -> str | None:
        """A text of the metadata, None where it is missing or no text."""
        value = self.metadata.get(key)
        return value if isinstance(value, str) else None

    def number(self, key: str) -> int | None:
        """A whole number of the metadata, None where it is missing or none."""
        value = self.metadata.get(key)
        return value if isinstance(value, int) and not isinstance(value, bool) else None


def read_head(path: Path) -> GgufHead:
    """Read the head of a GGUF file.

    Raises:
        GgufError: it can not be read, is no GGUF, or is cut off or damaged.
    """
    gguf = read_gguf(path)
    return head_of(gguf.metadata, gguf.tensors)


def head_of(metadata: Mapping[str, object], tensors: Iterable[Tensor]) -> GgufHead:
    """The head of a model with such metadata and such tensors, in one file or several."""
    sizes = {one.name: math.prod(one.shape) for one in tensors}
    return GgufHead(metadata, sum(sizes.values()), frozenset(sizes))
