"""Check that a GGUF file is a LoRA adapter (Hu et al. 2021) and that it fits its base model.

An adapter adds to a matrix of the base the product of two narrow ones, `lora_b` and `lora_a`.
llama.cpp trusts the types of its metadata and all widths but two, and ends the process where they
are wrong, with everybody whom the base model answers: so what it trusts is checked here.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from appliance.catalogue.architectures import Nature, nature_of
from appliance.catalogue.errors import GgufError
from appliance.catalogue.gguf import Gguf, Tensor

FORMATS = ("F32", "F16", "BF16", "Q8_0")
"""Number formats of an adapter's matrices: those that llama.cpp's converter writes."""

_ALPHA = "adapter.lora.alpha"
_SCALE = 1024.0  # of alpha to the rank; usual are 0.5 to 4
_A, _B = ".lora_a", ".lora_b"
_EMBEDDING = "token_embd.weight"
_FLOAT_BYTES = 8 + 4 + 4  # of an entry beside its key: the key's length, the type, the number


@dataclass(frozen=True)
class AdapterFacts:
    """What a checked adapter says of itself.

    Args:
        architecture: llama.cpp's name of it, as of the base model.
        rank: greatest width between the two matrices of a pair.
        pairs: matrices of the base that it changes.
        parameters: number of its weights.
        quantisations: number formats of its matrices, the one with most bytes first.
        size: bytes of its tensors.
    """

    architecture: str
    rank: int
    pairs: int
    parameters: int
    quantisations: tuple[str, ...]
    size: int


def is_adapter(gguf: Gguf) -> bool:
    """Whether a file says that it is an adapter, and no model."""
    return gguf.metadata.get("general.type") == "adapter"


def check_adapter(adapter: Gguf, base: Gguf) -> AdapterFacts:
    """Check an adapter's header against that of its base model.

    Args:
        adapter: a header that was read whole.
        base: the same of the model that it is for.

    Raises:
        GgufError: it is no LoRA adapter, or not one for this base; names what is wrong.
    """
    architecture = _check_kind(adapter, base)
    pairs = _pairs(adapter)
    alpha = _alpha(adapter)
    targets = {tensor.name: tensor for tensor in base.tensors}
    ranks = [_check_pair(adapter, name, pair, targets, base.file) for name, pair in pairs.items()]
    if alpha > _SCALE * min(ranks):
        raise _fault(adapter, f"{_ALPHA!r} is more than {_SCALE:g} times its rank")
    sizes: Counter[str] = Counter()
    for tensor in adapter.tensors:
        sizes[tensor.quantisation.name] += tensor.size
    return AdapterFacts(
        architecture=architecture,
        rank=max(ranks),
        pairs=len(pairs),
        parameters=sum(prod(tensor.shape) for tensor in adapter.tensors),
        quantisations=tuple(name for name, _ in sizes.most_common()),
        size=sum(tensor.size for tensor in adapter.tensors),
    )


def _check_kind(adapter: Gguf, base: Gguf) -> str:
    if not is_adapter(adapter):
        raise _fault(
            adapter,
            "is no adapter ('general.type' is not 'adapter')",
            "a model is imported without --base",
        )
    if adapter.metadata.get("adapter.type") != "lora":
        raise _fault(adapter, "is no LoRA adapter ('adapter.type' is not 'lora')")
    if any(key.startswith("adapter.alora.") for key in adapter.metadata):
        raise _fault(
            adapter,
            "is an activated LoRA, which works on parts of a prompt only and is not supported",
            "train a plain LoRA",
        )
    found, wanted = (each.metadata.get("general.architecture") for each in (adapter, base))
    if not isinstance(wanted, str) or found != wanted:
        raise _fault(
            adapter,
            f"is for the architecture {found!r}, and {base.file} is {wanted!r}",
            "name its own base model",
        )
    if nature_of(wanted) is not Nature.DECODER:
        raise _fault(
            adapter, f"is for {wanted!r}; adapters work on models that chat and complete only"
        )
    return wanted


def _alpha(adapter: Gguf) -> float:
    """The strength of the adapter; llama.cpp reads it as a float of 32 bits, whatever it is."""
    value = adapter.metadata.get(_ALPHA)
    if not isinstance(value, float):
        raise _fault(adapter, f"lacks {_ALPHA!r} as a float of 32 bits")
    start, end = adapter.spans[_ALPHA]
    if end - start != _FLOAT_BYTES + len(_ALPHA) or not math.isfinite(value) or value <= 0:
        raise _fault(adapter, f"{_ALPHA!r} is no positive float of 32 bits")
    return value


def _pairs(adapter: Gguf) -> Mapping[str, tuple[Tensor, Tensor]]:
    """The two matrices for each tensor of the base, by its name."""
    tensors = {tensor.name: tensor for tensor in adapter.tensors}
    for name in tensors:
        if not name.endswith((_A, _B)):
            raise _fault(
                adapter,
                f"tensor {name!r} is no part of a LoRA pair; only '*{_A}' and '*{_B}' are taken",
                "train it without modules_to_save, trained norms or biases",
            )
    names = {name[: -len(_A)] for name in tensors}
    for name in names:
        for each in (name + _A, name + _B):
            if each not in tensors:
                raise _fault(adapter, f"has no tensor {each!r}, only the other of the pair")
    if not names:
        raise _fault(adapter, "has no tensors")
    return {name: (tensors[name + _A], tensors[name + _B]) for name in sorted(names)}


def _check_pair(
    adapter: Gguf,
    name: str,
    pair: tuple[Tensor, Tensor],
    targets: Mapping[str, Tensor],
    base: str,
) -> int:
    """The rank of a pair that fits its tensor of the base."""
    target = targets.get(name)
    if target is None:
        raise _fault(adapter, f"changes {name!r}, which {base} does not have", _OTHER_BASE)
    if name == _EMBEDDING:
        # Where the output shares this matrix, llama.cpp multiplies the wrong way round and aborts.
        raise _fault(adapter, "changes the token embedding, which is not supported", _EMBEDDED)
    if len(target.shape) not in {2, 3}:
        raise _fault(adapter, f"changes {name!r}, which is no matrix")
    first, second = pair
    rows, columns, *experts = target.shape
    rank = first.shape[1] if len(first.shape) > 1 else 1
    wanted = (rows, rank, *experts), (rank, columns, *experts)
    for tensor, shape in zip(pair, wanted, strict=True):
        if _trimmed(tensor.shape) != _trimmed(shape):
            raise _fault(
                adapter,
                f"tensor {tensor.name!r} has the shape {tensor.shape}; for {base} it would be"
                f" {shape}",
                _OTHER_BASE,
            )
        if tensor.quantisation.name not in FORMATS:
            raise _fault(
                adapter,
                f"tensor {tensor.name!r} is stored as {tensor.quantisation.name}, not as one of"
                f" {', '.join(FORMATS)}",
            )
    if rank > min(rows, columns):
        raise _fault(adapter, f"{first.name!r} and {second.name!r} are wider than the matrix")
    return rank


_OTHER_BASE = "name the model that it was trained on"
_EMBEDDED = "train it without embed_tokens"


def _trimmed(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape without the ones behind its last real dimension."""
    while len(shape) > 1 and shape[-1] == 1:
        shape = shape[:-1]
    return shape


def _fault(adapter: Gguf, complaint: str, remedy: str = "convert the adapter anew") -> GgufError:
    return GgufError(f"{adapter.file}: {complaint}; {remedy}.")
