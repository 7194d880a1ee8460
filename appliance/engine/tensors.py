"""Single tensors of a weights file as floats, for what llama.cpp does not compute itself."""

from __future__ import annotations

import ctypes
from math import prod
from pathlib import Path
from typing import Any

import llama_cpp.llama_cpp as lib
import numpy as np
from numpy.typing import NDArray

from appliance.catalogue.gguf import Gguf, Tensor, read_gguf
from appliance.catalogue.quantisation import QUANTISATIONS
from appliance.engine.errors import ModelLoadError

_NUMBERS = {each.name: number for number, each in QUANTISATIONS.items()}


class _TypeTraits(ctypes.Structure):
    """`struct ggml_type_traits` of ggml/include/ggml.h, up to the conversion to floats."""

    _fields_ = (
        ("type_name", ctypes.c_char_p),
        ("blck_size", ctypes.c_int64),
        ("blck_size_interleave", ctypes.c_int64),
        ("type_size", ctypes.c_size_t),
        ("is_quantized", ctypes.c_bool),
        ("to_float", ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)),
    )


_type_traits: Any = lib._lib.ggml_get_type_traits
_type_traits.argtypes = (ctypes.c_int,)
_type_traits.restype = ctypes.POINTER(_TypeTraits)


class TensorFile:
    """The tensors of one weights file that was checked before.

    Args:
        path: the file; it must not change meanwhile.
    """

    def __init__(self, path: Path) -> None:
        """Read the header."""
        self._path = path
        self._gguf: Gguf = read_gguf(path)
        self._tensors = {tensor.name: tensor for tensor in self._gguf.tensors}

    def __contains__(self, name: str) -> bool:
        """Whether the file has a tensor of this name."""
        return name in self._tensors

    def read(self, name: str) -> NDArray[np.float32]:
        """A tensor's elements, the dimension whose elements lie side by side last.

        Raises:
            KeyError: the file has no such tensor.
            ModelLoadError: ggml can not turn its number format into floats.
        """
        tensor = self._tensors[name]
        with self._path.open("rb") as file:
            file.seek(self._gguf.data + tensor.offset)
            raw = file.read(tensor.size)
        return _floats(tensor, raw).reshape(tensor.shape[::-1])


def _floats(tensor: Tensor, raw: bytes) -> NDArray[np.float32]:
    if tensor.quantisation.name == "F32":
        return np.frombuffer(raw, dtype="<f4").astype(np.float32)
    traits = _type_traits(_NUMBERS[tensor.quantisation.name]).contents
    if not traits.to_float:
        raise ModelLoadError(
            f"Tensor {tensor.name!r} is stored as {tensor.quantisation.name}, which can not be read"
            " one by one; quantise the model anew, for example as Q8_0."
        )
    values = np.empty(prod(tensor.shape), dtype=np.float32)
    traits.to_float(raw, values.ctypes.data, len(values))
    return values
