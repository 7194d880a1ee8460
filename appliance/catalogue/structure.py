"""Check that a GGUF file describes a model that makes sense, and say what matters of it.

What this module reads is what llama.cpp will trust: the number of layers, the widths, the length of
the vocabulary. A file whose parts contradict each other is refused here, with the key's name,
before llama.cpp allocates anything by it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from jinja2 import TemplateError

from appliance.catalogue.architectures import Nature, nature_of
from appliance.catalogue.errors import GgufError
from appliance.catalogue.facts import ModelFacts
from appliance.catalogue.gguf import Array, Gguf, Tensor
from appliance.catalogue.processor import ROWS
from appliance.catalogue.sandbox import Sandbox

_LAYERS = 512  # llama.cpp's LLAMA_MAX_LAYERS
_ELEMENTS = 1 << 24  # of a width, a number of heads or experts
_TOKENS = 1 << 31  # of a context
_TEMPLATE_CHARS = 65_536  # as in a manifest
_ARCHITECTURE = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_BLOCK = re.compile(r"(?:^|\.)blk\.(\d{1,9})\.")
_EMBEDDING = "token_embd.weight"
_TOKENS_KEY = "tokenizer.ggml.tokens"
_TEMPLATE_KEY = "tokenizer.chat_template"


def check_structure(gguf: Gguf, repacked: Iterable[str] = ()) -> ModelFacts:
    """Check a header's contents against each other.

    Args:
        gguf: a header that was read whole.
        repacked: names of the number formats that this processor wants laid out anew.

    Raises:
        GgufError: a value is missing, absurd, or contradicts another; names it.
    """
    return _Structure(gguf).facts(frozenset(repacked))


def check_template(gguf: Gguf, own: str | None) -> None:
    """Compile the chat template that the engine will use.

    Compiling may compute constants: do it where time and memory are limited.

    Args:
        gguf: a header that was read whole.
        own: the manifest's template, which wins over the file's; None if it has none.

    Raises:
        GgufError: it is no valid Jinja, or too long.
    """
    source = gguf.metadata.get(_TEMPLATE_KEY) if own is None else own
    if source is None:
        return
    remedy = "put a right one into the manifest, as chat under [template]."
    if not isinstance(source, str) or len(source) > _TEMPLATE_CHARS:
        raise GgufError(
            f"{gguf.file}: its chat template is no text of at most {_TEMPLATE_CHARS} characters;"
            f" {remedy}"
        )
    try:
        Sandbox().from_string(source)
    # Python's own compiler gives up on deep nesting with these.
    except (TemplateError, SyntaxError, RecursionError, MemoryError) as error:
        said = str(error)[:200] if isinstance(error, TemplateError) else type(error).__name__
        raise GgufError(f"{gguf.file}: its chat template is refused ({said}); {remedy}") from error


class _Structure:
    """One header under examination."""

    def __init__(self, gguf: Gguf) -> None:
        self._gguf = gguf
        self._tensors = {tensor.name: tensor for tensor in gguf.tensors}
        self._prefix = ""

    def facts(self, repacked: frozenset[str]) -> ModelFacts:
        """What the file says of the model, once its parts have been held against each other."""
        self._check_whole()
        architecture = self._architecture()
        self._prefix = architecture
        layers = self._number("block_count", 1, _LAYERS)
        width = self._number("embedding_length", 1, _ELEMENTS)
        heads = self._numbers("attention.head_count", layers, (0,) * layers)
        key_width = self._number("attention.key_length", 1, _ELEMENTS, width // max(1, *heads))
        value_width = self._number("attention.value_length", 1, _ELEMENTS, key_width)
        kv_heads = self._numbers("attention.head_count_kv", layers, heads)
        if self._number("rope.dimension_count", 0, _ELEMENTS, 0) % 2:
            # llama.cpp would end the process at the first request.
            raise self._fault("turns an odd number of elements, which have to be pairs")
        self._check_blocks(max(layers, self._number("decoder_block_count", 1, _LAYERS, layers)))
        vocabulary = self._vocabulary(width)
        cached = 0 if nature_of(architecture) is Nature.ENCODER else sum(kv_heads)
        return ModelFacts(
            architecture=architecture,
            quantisations=self._quantisations(),
            context=self._number("context_length", 1, _TOKENS),
            layers=layers,
            width=width,
            inner=self._inner(layers, width),
            heads=max(heads),
            head_width=max(key_width, value_width),
            cache_keys=cached * key_width,
            cache_values=cached * value_width,
            vocabulary=vocabulary,
            merges=self._length("tokenizer.ggml.merges"),
            weights=sum(tensor.size for tensor in self._gguf.tensors),
            repacked=sum(
                each.size for each in self._tensors.values() if self._moves(each, repacked)
            ),
        )

    def _check_whole(self) -> None:
        """All tensors are in this one file: its digest is the only one that the manifest pins."""
        parts = self._gguf.metadata.get("split.count", 0)
        if isinstance(parts, int) and parts > 1:
            number = self._gguf.metadata.get("split.no", 0)
            place = number + 1 if isinstance(number, int) else "?"
            raise self._fault(
                f"is part {place} of a model split into {parts} files",
                "bring all parts in with: cloister model import FOLDER",
            )
        if not self._gguf.tensors:
            raise self._fault("has no tensors", "bring the whole model in")

    def _architecture(self) -> str:
        found = self._gguf.metadata.get("general.architecture")
        if not isinstance(found, str) or not _ARCHITECTURE.fullmatch(found):
            raise self._fault("does not say in 'general.architecture' what it is")
        return found

    def _check_blocks(self, blocks: int) -> None:
        for name in self._tensors:
            found = _BLOCK.search(name)
            if found and int(found[1]) >= blocks:
                raise self._fault(
                    f"tensor {name!r} is of a layer beyond the {blocks} that it claims"
                )

    def _vocabulary(self, width: int) -> int:
        embedding = self._tensors.get(_EMBEDDING)
        if embedding is None:
            raise self._fault(f"has no tensor {_EMBEDDING!r}")
        if len(embedding.shape) != 2 or embedding.shape[0] != width:
            raise self._fault(f"tensor {_EMBEDDING!r} is not {width} wide, as the model claims")
        tokens = self._length(_TOKENS_KEY)
        if embedding.shape[1] != tokens:
            raise self._fault(
                f"{_TOKENS_KEY!r} has {tokens} tokens, tensor {_EMBEDDING!r} {embedding.shape[1]}"
            )
        for key in ("tokenizer.ggml.scores", "tokenizer.ggml.token_type"):
            if key in self._gguf.metadata and self._length(key) != tokens:
                raise self._fault(f"{key!r} has {self._length(key)} entries for {tokens} tokens")
        return tokens

    def _inner(self, layers: int, width: int) -> int:
        """Elements of the feed-forward part: those of all experts that a token goes through."""
        dense = max(self._numbers("feed_forward_length", layers, (4 * width,) * layers))
        used = self._number("expert_used_count", 0, _ELEMENTS, 0)
        if used > self._number("expert_count", 0, _ELEMENTS, 0):
            raise self._fault("uses more experts for a token than it has")
        if used == 0:
            return dense
        expert = self._numbers("expert_feed_forward_length", layers, (dense,) * layers)
        return used * max(*expert, width)

    def _quantisations(self) -> tuple[str, ...]:
        sizes: Counter[str] = Counter()
        for tensor in self._gguf.tensors:
            sizes[tensor.quantisation.name] += tensor.size
        return tuple(name for name, _ in sizes.most_common())

    def _moves(self, tensor: Tensor, repacked: frozenset[str]) -> bool:
        """Whether llama.cpp copies the tensor: only matrices that it multiplies by."""
        if tensor.quantisation.name not in repacked or len(tensor.shape) < 2:
            return False
        looked_up_only = tensor.name == _EMBEDDING and "output.weight" in self._tensors
        return not looked_up_only and tensor.shape[1] % ROWS == 0

    def _length(self, key: str) -> int:
        found = self._gguf.metadata.get(key)
        return found.count if isinstance(found, Array) else 0

    def _number(self, name: str, low: int, high: int, default: int | None = None) -> int:
        key = f"{self._prefix}.{name}"
        value = self._gguf.metadata.get(key, default)
        if value is None:
            raise self._fault(f"lacks {key!r}")
        return self._bounded(key, value, low, high)

    def _numbers(self, name: str, layers: int, default: tuple[int, ...]) -> tuple[int, ...]:
        """One number a layer; a single one in the file holds for all."""
        key = f"{self._prefix}.{name}"
        value = self._gguf.metadata.get(key)
        if value is None:
            return default
        if not isinstance(value, Array):
            return (self._bounded(key, value, 0, _ELEMENTS),) * layers
        if value.count < layers or len(value.values) != value.count:
            raise self._fault(f"{key!r} has {value.count} entries for {layers} layers")
        return tuple(self._bounded(key, each, 0, _ELEMENTS) for each in value.values[:layers])

    def _bounded(self, key: str, value: object, low: int, high: int) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise self._fault(f"{key!r} is no number from {low} to {high}")
        return value

    def _fault(self, complaint: str, remedy: str = "convert the model anew") -> GgufError:
        return GgufError(f"{self._gguf.file}: {complaint}; {remedy}.")
