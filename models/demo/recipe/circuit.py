"""A copying circuit, written into the weights before the training.

Copying its input is most of what the model does, and what a small network finds last: within the
time of this recipe it would learn to copy by position, which breaks on the next text. So it starts
with the circuit that larger models find by themselves (an induction head) and training takes it
from there; every weight stays trainable.

The residual stream is divided: CONTENT holds a random code of the token, TRACES the codes of the
one, two and three tokens back, and the last dimension is the same constant for every token.

* layer 0, heads 0 to 2: attend one, two and three tokens back (by rotary position alone, from the
  constant) and write what they see to TRACES;
* layer 2, heads 0 and 1: look for the place whose TRACES are the present token and the two before
  it, and write the token found there to CONTENT, which the tied embedding reads out.

Three tokens, because two repeat within a note: two digits of a number, a comma and a label.
"""

from __future__ import annotations

import torch

from models.demo.recipe.network import ROPE_BASE, Network

CONTENT = slice(0, 96)
TRACES = (slice(96, 144), slice(144, 192), slice(192, 240))
TRACE_WIDTH = 48
CONSTANT = 255
LOOK_BACK_LAYER, COPY_LAYER = 0, 2
SHARP_PAIRS = 16
"""Rotary pairs of high frequency: they tell neighbours apart. The others tell contents apart."""
CONSTANT_SIZE = 0.5
LOOK_BACK_SCORE = 13.0
MATCH_SCORE = 14.0
TRACE = 0.7
"""Length of the traces of earlier tokens; a content code has length one."""
COPY_GAIN = 3.0


def _orthonormal(rows: int, columns: int, generator: torch.Generator) -> torch.Tensor:
    """Random rows at right angles, scaled such that a random vector keeps its length."""
    basis, _ = torch.linalg.qr(torch.randn(columns, rows, generator=generator))
    return basis.T * (columns / rows) ** 0.5


def _codes(network: Network, generator: torch.Generator) -> None:
    weight = network.embedding.weight
    weight.normal_(std=0.01, generator=generator)
    codes = torch.randn(weight.shape[0], CONTENT.stop, generator=generator)
    weight[:, CONTENT] = codes / codes.norm(dim=1, keepdim=True)
    weight[:, CONSTANT] = CONSTANT_SIZE


def _look_back(network: Network, project: torch.Tensor) -> None:
    """Heads that find the token `distance` places back, whatever it is."""
    layer, wide = network.layers[LOOK_BACK_LAYER], network.shape.head_width
    half = wide // 2
    angles = ROPE_BASE ** (-torch.arange(half, dtype=torch.float32) / half)
    norm = network.shape.width**0.5 / (1 + CONSTANT_SIZE**2) ** 0.5
    gap = float((1 - angles[:SHARP_PAIRS].cos()).sum())
    size = (LOOK_BACK_SCORE * wide**0.5 / gap) ** 0.5 / (norm * CONSTANT_SIZE)
    for head, target in enumerate(TRACES):
        rows = slice(head * wide, (head + 1) * wide)
        seen = slice(head * wide, head * wide + TRACE_WIDTH)
        turned = angles * (head + 1)
        layer.query.weight[rows] = 0
        layer.key.weight[rows] = 0
        layer.query.weight[rows][:SHARP_PAIRS, CONSTANT] = size
        layer.key.weight[rows][:SHARP_PAIRS, CONSTANT] = size * turned[:SHARP_PAIRS].cos()
        layer.key.weight[rows][half : half + SHARP_PAIRS, CONSTANT] = (
            size * turned[:SHARP_PAIRS].sin()
        )
        gain = (TRACE / norm) ** 0.5
        layer.value.weight[rows] = 0
        layer.value.weight[seen, CONTENT] = gain * project
        layer.out.weight[:, rows] = 0
        layer.out.weight[target, seen] = gain * torch.eye(TRACE_WIDTH)


def _copy(network: Network, project: torch.Tensor, generator: torch.Generator) -> None:
    """Heads that find where the present three tokens stood before, and bring what followed."""
    layer, wide = network.layers[COPY_LAYER], network.shape.head_width
    half = wide // 2
    calm = [*range(SHARP_PAIRS, half), *range(half + SHARP_PAIRS, wide)]
    norm = network.shape.width**0.5 / (1 + CONSTANT_SIZE**2 + len(TRACES) * TRACE**2) ** 0.5
    size = (MATCH_SCORE * wide**0.5 / TRACE) ** 0.5 / norm
    part = CONTENT.stop // 2
    for head in (0, 1):
        first = head * wide
        rows = slice(first, first + wide)
        layer.query.weight[rows] = 0
        layer.key.weight[rows] = 0
        for order, (mine, theirs) in enumerate(zip((CONTENT, *TRACES), TRACES, strict=False)):
            places = torch.tensor([first + place for place in calm[order :: len(TRACES)]])
            code = _orthonormal(len(places), TRACE_WIDTH, generator)
            asked = code @ project if mine == CONTENT else code / TRACE**0.5
            layer.query.weight[places, mine] = size * asked
            layer.key.weight[places, theirs] = size * code / (TRACE**0.5 if order else 1.0)
        gain = (COPY_GAIN / norm) ** 0.5
        seen = slice(head * part, (head + 1) * part)
        layer.value.weight[rows] = 0
        layer.value.weight[first : first + part, seen] = gain * torch.eye(part)
        layer.out.weight[:, rows] = 0
        layer.out.weight[seen, first : first + part] = gain * torch.eye(part)


@torch.no_grad()
def install(network: Network, seed: int) -> None:
    """Write the circuit into a freshly made network."""
    generator = torch.Generator().manual_seed(seed)
    _codes(network, generator)
    project = _orthonormal(TRACE_WIDTH, CONTENT.stop, generator)
    _look_back(network, project)
    _copy(network, project, generator)
