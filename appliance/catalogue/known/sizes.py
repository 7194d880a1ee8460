"""How large a model's file and cache are, from the sizes of its matrices.

llama.cpp gives each matrix a type of its own (`llama_tensor_get_type` in llama-quant.cpp): "Q4_K_M"
has more bits for the output, and for half of the value and down matrices; a matrix whose rows do
not divide into blocks of 256 falls back to a type with blocks of 32, or to F16. Small models differ
from large ones by that, so one factor of bits per weight would be up to a third off.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto

from appliance.catalogue.known.profile import KnownModel, Quantisation, Shape

# Bits per weight with its share of the block's scales; the block's length in weights.
_BITS = {"Q4_K": 4.5, "Q5_K": 5.5, "Q6_K": 6.5625, "Q8_0": 8.5, "F16": 16.0}
_BITS |= {"Q5_0": 5.5, "Q5_1": 6.0, "MXFP4": 4.25, "F32": 32.0}
_BLOCK = {"Q4_K": 256, "Q5_K": 256, "Q6_K": 256, "F16": 1, "F32": 1}
_SMALL_BLOCK = 32
_FALLBACK = {"Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0"}
_TOKEN_BYTES = 30  # of one vocabulary entry in the file: text, score, type, merge; measured
_CACHE_BYTES = 2  # of one element of the KV cache, F16


class _Part(Enum):
    EMBEDDING = auto()
    OUTPUT = auto()
    KEY = auto()
    VALUE = auto()
    FUSED = auto()
    ATTENTION_OUTPUT = auto()
    DOWN = auto()
    EXPERT = auto()
    OTHER = auto()


@dataclass(frozen=True)
class _Matrix:
    """All matrices of one part and one layer: `columns` is the length of a row."""

    part: _Part
    columns: int
    elements: int
    generous: bool = False  # in one of the layers that get more bits


def weight_count(shape: Shape) -> int:
    """Weights in all matrices; norms and biases, some thousandths more, are not among them."""
    return sum(matrix.elements for matrix in _matrices(shape))


def file_bytes(model: KnownModel, quantisation: Quantisation) -> int:
    """Size of the model's GGUF in bytes; within two per cent of what llama-quantize writes."""
    matrices = list(_matrices(model.shape))
    bits = sum(
        matrix.elements * _BITS[_type(matrix, quantisation, model.shape.experts)]
        for matrix in matrices
    )
    small = model.parameters - sum(matrix.elements for matrix in matrices)
    return round((bits + small * _BITS["F32"]) / 8) + model.shape.vocabulary * _TOKEN_BYTES


def cache_bytes(shape: Shape) -> int:
    """KV cache of one token in bytes; a model with a sliding window needs no more than this."""
    layers = 0 if shape.encoder else shape.decoder_layers or shape.layers
    return 2 * layers * shape.kv_heads * shape.head_width * _CACHE_BYTES


def _matrices(shape: Shape) -> Iterator[_Matrix]:
    table = shape.vocabulary * shape.width
    if not (shape.tied or shape.encoder):
        yield _Matrix(_Part.OUTPUT, shape.width, table)
    # What serves as output too gets the output's type.
    shared = shape.tied or shape.encoder
    yield _Matrix(_Part.OUTPUT if shared else _Part.EMBEDDING, shape.width, table)
    for layers, attentions in ((shape.layers, 1), (shape.decoder_layers, 2)):
        for layer in range(layers):
            generous = _generous(layer, layers)
            for _ in range(attentions):
                yield from _attention(shape, generous)
            yield from _feed_forward(shape, generous)


def _attention(shape: Shape, generous: bool) -> Iterator[_Matrix]:
    queries = shape.heads * shape.head_width
    keys = shape.kv_heads * shape.head_width
    if shape.fused:
        yield _Matrix(_Part.FUSED, shape.width, shape.width * (queries + 2 * keys))
    else:
        yield _Matrix(_Part.OTHER, shape.width, shape.width * queries)
        yield _Matrix(_Part.KEY, shape.width, shape.width * keys)
        yield _Matrix(_Part.VALUE, shape.width, shape.width * keys, generous)
    yield _Matrix(_Part.ATTENTION_OUTPUT, queries, queries * shape.width)


def _feed_forward(shape: Shape, generous: bool) -> Iterator[_Matrix]:
    elements = shape.width * shape.inner * shape.experts
    many = shape.experts > 1
    up = _Part.EXPERT if many else _Part.OTHER
    yield _Matrix(up, shape.width, elements * (2 if shape.gated else 1))
    yield _Matrix(_Part.DOWN, shape.inner, elements, generous)


def _generous(layer: int, layers: int) -> bool:
    """The first eighth, the last eighth, and every third layer between them."""
    eighth = layers // 8
    return layer < eighth or layer >= 7 * layers // 8 or (layer - eighth) % 3 == 2


def _type(matrix: _Matrix, quantisation: Quantisation, experts: int) -> str:
    wanted = _wanted(matrix, quantisation, experts)
    if matrix.columns % _BLOCK.get(wanted, _SMALL_BLOCK) == 0:
        return wanted
    smaller = _FALLBACK.get(wanted, "F16")
    return smaller if matrix.columns % _SMALL_BLOCK == 0 else "F16"


def _wanted(matrix: _Matrix, quantisation: Quantisation, experts: int) -> str:
    part = matrix.part
    if quantisation == "F16" or quantisation == "Q8_0":
        return quantisation
    if quantisation == "MXFP4":
        return "MXFP4" if experts > 1 and part in {_Part.EXPERT, _Part.DOWN} else "Q8_0"
    if part is _Part.OUTPUT or (matrix.generous and (part is _Part.DOWN or experts != 8)):
        return "Q6_K"
    if experts == 8 and part in {_Part.KEY, _Part.VALUE}:
        return "Q8_0"
    base, better = ("Q4_K", "Q5_K") if quantisation == "Q4_K_M" else ("Q5_K", "Q6_K")
    if part is _Part.FUSED or (experts == 8 and part is _Part.ATTENTION_OUTPUT):
        return better if part is _Part.FUSED else "Q5_K"
    return base
