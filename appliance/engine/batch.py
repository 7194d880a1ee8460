"""The buffers of one decode step, allocated once and shared with llama.cpp without copies."""

from __future__ import annotations

import ctypes
from typing import Any

import llama_cpp.llama_cpp as lib
import numpy as np


class Batch:
    """A `llama_batch` over NumPy buffers; each token belongs to one sequence.

    Args:
        capacity: tokens of one step at most.
    """

    def __init__(self, capacity: int) -> None:
        """Allocate buffers that live as long as the object."""
        self._token = np.zeros(capacity, dtype=np.int32)
        self._position = np.zeros(capacity, dtype=np.int32)
        self._sequence = np.zeros(capacity, dtype=np.int32)
        self._output = np.zeros(capacity, dtype=np.int8)
        self._counts = np.ones(capacity, dtype=np.int32)
        # Every token has its own one-element list of sequences: a cell of self._sequence.
        cells = self._sequence.ctypes.data + 4 * np.arange(capacity)
        self._lists = cells.astype(np.uint64)
        self.struct: Any = lib.llama_batch(
            0,
            _pointer(self._token, ctypes.c_int32),
            None,
            _pointer(self._position, ctypes.c_int32),
            _pointer(self._counts, ctypes.c_int32),
            _pointer(self._lists, ctypes.POINTER(ctypes.c_int32)),
            _pointer(self._output, ctypes.c_int8),
        )
        self._tokens: list[int] = []
        self._positions: list[int] = []
        self._sequences: list[int] = []
        self._outputs: list[int] = []

    def __len__(self) -> int:
        """Tokens in the step so far."""
        return len(self._tokens)

    def clear(self) -> None:
        """Begin a new step."""
        self._tokens.clear()
        self._positions.clear()
        self._sequences.clear()
        self._outputs.clear()

    def add(self, tokens: list[int], position: int, slot: int, outputs: int) -> int:
        """Append tokens of the sequence in `slot` from `position` on.

        Returns:
            The batch position of the first of the last `outputs` ones, whose logits are computed.
        """
        count = len(tokens)
        self._tokens += tokens
        self._positions += range(position, position + count)
        self._sequences += [slot] * count
        self._outputs += [0] * (count - outputs) + [1] * outputs
        return len(self._tokens) - outputs

    def seal(self) -> Any:  # noqa: ANN401 - a ctypes structure
        """Write the step into the shared buffers and return the structure for `llama_decode`."""
        count = len(self._tokens)
        self._token[:count] = self._tokens
        self._position[:count] = self._positions
        self._sequence[:count] = self._sequences
        self._output[:count] = self._outputs
        self.struct.n_tokens = count
        return self.struct


def _pointer(buffer: Any, kind: Any) -> Any:  # noqa: ANN401 - ctypes has no static types
    return buffer.ctypes.data_as(ctypes.POINTER(kind))
