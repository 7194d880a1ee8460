"""Which known model a GGUF is: by architecture, shape and name together.

A name alone may be anybody's; a shape alone is shared by every fine-tune of a model, which may
want another prompt format. So a file is a known model only if all three agree.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from appliance.catalogue.known.library import known_models
from appliance.catalogue.known.profile import KnownModel, Shape

_PADDING = 128  # vocabulary entries that a converter may add to round it up
_PUBLISHERS = (
    "meta llama|meta|mistralai|microsoft|google( bert)?|huawei noah|openai|huggingfacetb"
    "|huggingface|qwen|codellama|thebloke|bartowski|unsloth|ggml org|lmstudio community"
)
_FIRST = re.compile(rf"^(?:{_PUBLISHERS}) (?=\D)")
_LAST = re.compile(r" (?:hf|gguf|i?q\d.*|f16|fp16|f32|bf16|mxfp4.*)$")
_NAME_PARTS = ("basename", "size_label", "finetune", "version")
_FIELDS = {
    "block_count": "layers",
    "embedding_length": "width",
    "feed_forward_length": "inner",
    "attention.head_count": "heads",
    "attention.head_count_kv": "kv_heads",
    "expert_count": "experts",
}


def match(metadata: Mapping[str, object], file_name: str = "") -> KnownModel | None:
    """The known model that a GGUF is, or None.

    Args:
        metadata: its key-value pairs; an array has its length in `count`.
        file_name: a further hint; many files say more in their name than in their metadata.
    """
    alike = resembling(metadata)
    for name in _names(metadata, file_name):
        for model in alike:
            if any(re.fullmatch(pattern, name) for pattern in model.names):
                return model
    return None


def resembling(metadata: Mapping[str, object]) -> list[KnownModel]:
    """Known models with the architecture and shape of a GGUF, whatever it is called."""
    family = metadata.get("general.architecture")
    return [
        model
        for model in known_models()
        if model.family == family and _fits(model.shape, model.family, metadata)
    ]


def _fits(shape: Shape, family: str, metadata: Mapping[str, object]) -> bool:
    for key, field in _FIELDS.items():
        found = metadata.get(f"{family}.{key}")
        if found is not None and found != getattr(shape, field):
            return False
    if metadata.get(f"{family}.block_count") is None:
        return False
    tokens = getattr(metadata.get("tokenizer.ggml.tokens"), "count", None)
    return not isinstance(tokens, int) or abs(tokens - shape.vocabulary) < _PADDING


def _names(metadata: Mapping[str, object], file_name: str) -> Iterator[str]:
    """What the file is called, in the order of how well it was meant."""
    whole = metadata.get("general.name")
    parts = [metadata.get(f"general.{part}") for part in _NAME_PARTS]
    stem = file_name.removesuffix(".gguf")
    for name in (whole, " ".join(str(part) for part in parts if part), stem):
        if isinstance(name, str) and name:
            yield _plain(name)


def _plain(name: str) -> str:
    """Lower case, one blank between words, no publisher in front, no file type behind."""
    text = " ".join(re.split(r"[\s_-]+", name.rsplit("/", 1)[-1].lower())).strip()
    text = re.sub(r"\.(?=i?q\d|f16|fp16|bf16|f32|mxfp4|gguf)", " ", text)
    while (shorter := _LAST.sub("", text)) != text:
        text = shorter
    return _FIRST.sub("", text)
