"""What is made of an encoder's states: one vector for a text, or probabilities of classes.

llama.cpp has classification heads too, but always with a hyperbolic tangent between their two
layers, where DistilBERT was trained with a rectifier; so the head is computed here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import llama_cpp.llama_cpp as lib
import numpy as np
from numpy.typing import NDArray

from appliance.engine.errors import ModelLoadError
from appliance.engine.llama import Loaded
from appliance.engine.tensors import TensorFile

Floats = NDArray[np.float32]

_DENSE, _OUT = "cls", "cls.output"
# Every BERT but DistilBERT has these.
_TOKEN_TYPES = "token_types.weight"  # noqa: S105 - a tensor's name
_REMEDY = "take 'classify' out of the manifest's capabilities, or convert the model anew"


class Pooling(StrEnum):
    """How the states of a text's tokens become one vector."""

    MEAN = "mean"
    CLS = "cls"  # the state of the first token
    LAST = "last"


_POOLINGS = {
    lib.LLAMA_POOLING_TYPE_MEAN: Pooling.MEAN,
    lib.LLAMA_POOLING_TYPE_CLS: Pooling.CLS,
    lib.LLAMA_POOLING_TYPE_LAST: Pooling.LAST,
}


def find_pooling(loaded: Loaded) -> Pooling:
    """The pooling that the file names; the mean where it names none that makes one vector."""
    stated = loaded.metadata(f"{loaded.architecture}.pooling_type") or ""
    return _POOLINGS.get(int(stated) if stated.isdecimal() else -1, Pooling.MEAN)


def embedding(states: Floats, pooling: Pooling) -> Floats:
    """One vector of length 1 for a text.

    Args:
        states: one row a token.
        pooling: how they become one.
    """
    if pooling is Pooling.MEAN:
        vector = states.mean(axis=0, dtype=np.float64)
    else:
        vector = states[0 if pooling is Pooling.CLS else -1].astype(np.float64)
    length = math.sqrt(float(vector @ vector))
    found: Floats = (vector / (length or 1.0)).astype(np.float32)
    return found


@dataclass(frozen=True)
class _Layer:
    weight: Floats
    bias: Floats

    def __call__(self, state: Floats) -> Floats:
        made: Floats = self.weight @ state + self.bias
        return made


@dataclass(frozen=True)
class Head:
    """A classification head: a dense layer, an activation, and one output a class.

    Source: `BertForSequenceClassification` and `DistilBertForSequenceClassification` of
    Hugging Face's transformers; the dense layer is the former's pooler.

    Args:
        labels: names of the classes.
        rectified: whether the activation is a rectifier, not a hyperbolic tangent.
    """

    labels: tuple[str, ...]
    dense: _Layer
    out: _Layer
    rectified: bool

    def probabilities(self, states: Floats) -> Floats:
        """The probability of each class for a text.

        Args:
            states: one row a token; the first one decides.
        """
        scores = self.scores(states).astype(np.float64)
        raised = np.exp(scores - scores.max())
        shares: Floats = (raised / raised.sum()).astype(np.float32)
        return shares

    def scores(self, states: Floats) -> Floats:
        """The score of each class, before they become probabilities."""
        inner = self.dense(states[0])
        return self.out(np.maximum(inner, 0) if self.rectified else np.tanh(inner))


def read_head(loaded: Loaded) -> Head:
    """The classification head of a loaded model.

    Raises:
        ModelLoadError: the file has none, or not all of it; names what is missing and the remedy.
    """
    labels = _labels(loaded)
    file = TensorFile(loaded.path)
    if loaded.architecture != "bert" or f"{_OUT}.weight" not in file or len(labels) < 2:
        raise ModelLoadError(
            f"{loaded.path.name!r} has no classification head with named classes; {_REMEDY}, from"
            " one that was trained to classify (docs/models.md)."
        )
    if f"{_DENSE}.weight" not in file:
        raise ModelLoadError(
            f"{loaded.path.name!r} lacks the pooler before its classification head (tensor"
            f" 'cls.weight'), so its probabilities would be wrong; {_REMEDY} with its pooler"
            " (docs/models.md)."
        )
    head = Head(
        labels,
        _layer(file, _DENSE),
        _layer(file, _OUT),
        rectified=_TOKEN_TYPES not in file,
    )
    _check(head, loaded)
    return head


def _labels(loaded: Loaded) -> tuple[str, ...]:
    found = []
    for number in range(lib.llama_model_n_cls_out(loaded.model)):
        label = lib.llama_model_cls_label(loaded.model, number)
        if label is not None:
            found.append(label.decode("utf-8", "replace"))
    return tuple(found)


def _layer(file: TensorFile, name: str) -> _Layer:
    weight = file.read(f"{name}.weight")
    if f"{name}.bias" in file:
        return _Layer(weight, file.read(f"{name}.bias").reshape(-1))
    return _Layer(weight, np.zeros(len(weight), dtype=np.float32))


def _check(head: Head, loaded: Loaded) -> None:
    width, classes = loaded.width, len(head.labels)
    shapes = (head.dense.weight.shape, head.dense.bias.shape, head.out.weight.shape)
    if shapes != ((width, width), (width,), (classes, width)) or head.out.bias.shape != (classes,):
        raise ModelLoadError(
            f"The classification head of {loaded.path.name!r} does not fit {width} elements and"
            f" {classes} classes; {_REMEDY}."
        )
