"""Encoder-decoder models (T5): a step that reads a text before it writes an answer to it.

llama.cpp keeps what the encoder made of the last text in the context, for all that is decoded from
then on. So one sequence lives at a time: the scheduler has one slot, and whoever gets it has the
text read first.
"""

from __future__ import annotations

import math

import llama_cpp.llama_cpp as lib
import numpy as np
from numpy.typing import NDArray

from appliance.engine.batch import Batch
from appliance.engine.errors import DecodeError
from appliance.engine.llama import Loaded
from appliance.engine.options import EngineOptions
from appliance.engine.sequence import Sequence
from appliance.engine.stepper import Stepper
from appliance.engine.tensors import TensorFile

_OUTPUT = "output.weight"
_GATE = "dec.blk.0.ffn_gate.weight"


class TranslatingStepper(Stepper):
    """A stepper for a model with an encoder.

    Args:
        loaded: model and context.
        ends: tokens that end an answer.
        options: sizes, fitted to one sequence.
    """

    def __init__(self, loaded: Loaded, ends: frozenset[int], options: EngineOptions) -> None:
        """Allocate the encoder's batch too."""
        super().__init__(loaded, ends, options)
        self._sources = Batch(options.step_capacity)
        self._scale = np.float32(logit_scale(loaded))

    def add(self, sequence: Sequence, count: int, draft: list[int] | None = None) -> int:
        """The same as for other models; a sequence at its beginning has its source read first."""
        if sequence.decoded == 0:
            self._sources.add(sequence.source, 0, sequence.slot, len(sequence.source))
        return super().add(sequence, count, draft)

    def clear(self) -> None:
        """Begin a new step."""
        super().clear()
        self._sources.clear()

    def decode(self) -> bool:
        """Read what has to be read, and run the step.

        Raises:
            DecodeError: llama.cpp failed; the context can not be used any more.
        """
        if len(self._sources):
            code = self._loaded.encode(self._sources.seal())
            if code != 0:
                raise DecodeError(f"llama_encode returned {code}.")
        return super().decode()

    def read_logits(self, rows: int) -> NDArray[np.float32]:
        """The step's logits as the model was trained to make them."""
        logits = super().read_logits(rows)
        logits *= self._scale
        return logits


def first_token(loaded: Loaded) -> int:
    """The token that stands before every answer of the decoder."""
    token: int = lib.llama_model_decoder_start_token(loaded.model)
    return max(token, 0)  # T5 begins with its padding, token 0, and older files do not say so


def logit_scale(loaded: Loaded) -> float:
    """What llama.cpp's logits have to be multiplied with.

    T5 1.0 uses its embeddings for its output too, and there multiplies by d_model^-0.5 first
    (Raffel et al., "Exploring the Limits of Transfer Learning", 2020, and the authors' code);
    llama.cpp does not. T5 1.1, Flan-T5 and mT5 have an output matrix of their own, and gates.
    """
    file = TensorFile(loaded.path)
    if _OUTPUT in file and _GATE in file:
        return 1.0
    return 1 / math.sqrt(loaded.width)
