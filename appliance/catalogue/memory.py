"""How much memory a loaded model takes, before it is loaded.

What llama.cpp allocates follows from the file's sizes and from what is asked of it, so most of this
is arithmetic: weights are mapped, the cache is written at once, activations are bounded by the
widest layer of one step. The constants were measured; docs/engine.md has the table, and a test
holds the sum against running processes.
"""

from __future__ import annotations

from dataclasses import dataclass

from appliance.catalogue.facts import ModelFacts
from appliance.catalogue.quantisation import QUANTISATIONS

_FORMATS = {each.name.lower(): each for each in QUANTISATIONS.values()}
_CELLS = 256  # llama.cpp rounds the length of a cache up to this
_CELL_BYTES = 64  # position and sequences of one cell
_FLOAT = 4
_MASKED = 2  # bytes of the attention mask for a token and a cell
_CANDIDATE = 12  # bytes that a sampler keeps for each token of the vocabulary
_BIASED = 3  # scores, their bias, and the bias in another order, for each head
_TILE = 64  # rows and columns of one piece of attention, for one thread

# A runner with all that it imports, measured without a model.
_RUNNER = 70 * 1024 * 1024
# Twice the vocabulary, llama.cpp's and the grammars'; measured on seven published ones.
_TOKEN = 530
_MERGE = 165


@dataclass(frozen=True)
class LoadSizes:
    """What a load asks of llama.cpp.

    Args:
        cells: tokens of the KV cache, all sequences together.
        unified: whether the sequences share its cells; else each has an equal part of its own.
        sequences: decoded at the same time.
        outputs: tokens of one decode step that get probabilities, at most.
        step_tokens: tokens of one decode step at most.
        threads: that decode.
        key_type: number format of the cached keys, as llama.cpp spells it.
        value_type: the same of the cached values.
        flash: whether attention does without a matrix of scores.
        biased: whether attention adds what it learnt of each pair of positions, as T5 does.
    """

    cells: int
    unified: bool
    sequences: int
    outputs: int
    step_tokens: int
    threads: int
    key_type: str = "f16"
    value_type: str = "f16"
    flash: bool = True
    biased: bool = False


@dataclass(frozen=True)
class MemoryPlan:
    """Bytes that one runner takes with its model loaded and its cache in use.

    Args:
        weights: the mapped file.
        repacked: matrices that are laid out anew for the processor, beside the file.
        cache: keys and values.
        compute: activations, logits and samplers.
        runner: the process itself, with the vocabulary.
    """

    weights: int
    repacked: int
    cache: int
    compute: int
    runner: int

    @property
    def resident(self) -> int:
        """What the process shows as its resident set where memory is plenty."""
        return self.repacked + self.needed

    @property
    def mapped(self) -> int:
        """Weights that are used from the file's pages; the kernel counts them as free memory."""
        return self.weights - self.repacked

    @property
    def needed(self) -> int:
        """What must stay in memory: the file's pages of repacked matrices are never used again."""
        return self.mapped + self.repacked + self.cache + self.compute + self.runner


def plan_memory(facts: ModelFacts, sizes: LoadSizes) -> MemoryPlan:
    """The memory that a model takes.

    Args:
        facts: of a checked file.
        sizes: what the load will ask for.
    """
    stream = _rounded(sizes.cells)
    streams = 1
    if not sizes.unified:
        stream, streams = _rounded(stream // sizes.sequences), sizes.sequences
    cells = stream * streams
    cached = _bytes(facts.cache_keys, sizes.key_type) + _bytes(facts.cache_values, sizes.value_type)
    return MemoryPlan(
        weights=facts.weights,
        repacked=facts.repacked,
        cache=cells * (cached + _CELL_BYTES) if cached else 0,
        compute=_compute(facts, sizes, min(sizes.step_tokens, cells), stream),
        runner=_RUNNER + facts.vocabulary * _TOKEN + facts.merges * _MERGE,
    )


def plan_reading(facts: ModelFacts, tokens: int, threads: int, flash: bool) -> MemoryPlan:
    """The memory that an encoder takes, which keeps nothing between two steps.

    llama.cpp sets room aside for logits of every token, although an encoder makes none.

    Args:
        facts: of a checked file.
        tokens: of one step at most.
        threads: that encode.
        flash: whether attention goes without a matrix of scores.
    """
    attention = 2 * max(facts.width, facts.heads * facts.head_width)
    attention += 0 if flash else facts.heads * tokens
    layer = tokens * _FLOAT * (5 * facts.width + max(attention, 2 * facts.inner))
    outputs = tokens * _FLOAT * (facts.vocabulary + facts.width)
    work = threads * _tile(facts) + tokens * 2 * max(facts.width, facts.inner)
    return MemoryPlan(
        weights=facts.weights,
        repacked=facts.repacked,
        cache=0,
        compute=tokens * tokens * _MASKED + layer + outputs + work,
        runner=_RUNNER + facts.vocabulary * _TOKEN + facts.merges * _MERGE,
    )


def _compute(facts: ModelFacts, sizes: LoadSizes, tokens: int, stream: int) -> int:
    """Buffers of one decode step, and what lies ready between steps.

    llama.cpp lays the tensors of its graph over each other. At the widest place of a layer there
    are three of the feed-forward part (gate, up and their product) or the queries, keys, values
    and result of attention, beside the stream that passes by; the mask lasts for all layers.
    Without flash attention each head has a score for every pair of token and cell, too.
    """
    logits = sizes.outputs * facts.vocabulary * _FLOAT
    attention = 2 * max(facts.width, facts.heads * facts.head_width)
    if sizes.biased:
        attention += _BIASED * facts.heads * tokens
    elif not sizes.flash:
        attention += facts.heads * stream
    layer = tokens * _FLOAT * (5 * facts.width + max(attention, 3 * facts.inner))
    graph = tokens * stream * _MASKED + layer
    if not sizes.biased:  # the half that reads makes no logits, though it has room for them
        graph = max(graph, logits + tokens * _FLOAT * facts.width)
    work = sizes.threads * _tile(facts) + tokens * 2 * max(facts.width, facts.inner)
    samplers = sizes.sequences * facts.vocabulary * _CANDIDATE
    return graph + logits + work + samplers


def _bytes(elements: int, kind: str) -> int:
    """What elements of a number format take."""
    found = _FORMATS[kind]
    return elements * found.block_bytes // found.block


def _tile(facts: ModelFacts) -> int:
    return _FLOAT * _TILE * (4 * facts.head_width + 2 * _TILE)


def _rounded(cells: int) -> int:
    return -(-cells // _CELLS) * _CELLS
