"""Filling a gap: the text before and behind it, laid out as the model was trained.

Bavarian et al., "Efficient Training of Language Models to Fill in the Middle" (2022): both parts
stand before the model with a token in front of each, and a third token asks for what is missing.
"""

from __future__ import annotations

from dataclasses import dataclass

from appliance.catalogue.manifest import InfillSection, ModelManifest
from appliance.engine.errors import ModelLoadError
from appliance.engine.llama import Loaded
from appliance.engine.vocab import Vocabulary

# What a GGUF declares, in today's and in the older spelling.
_DECLARED = ("tokenizer.ggml.fim_pre_token_id", "tokenizer.ggml.prefix_token_id")


@dataclass(frozen=True)
class Infill:
    """The three tokens of one model, and the order in which they stand.

    Args:
        prefix: stands before the text before the gap.
        suffix: stands before the text behind the gap.
        middle: asks for the filling.
        suffix_first: the text behind the gap comes first.
    """

    prefix: int
    suffix: int
    middle: int
    suffix_first: bool = False

    def prompt(self, before: list[int], behind: list[int]) -> list[int]:
        """The prompt for the gap between two texts, without a beginning-of-sequence token."""
        first = [self.prefix, *before]
        second = [self.suffix, *behind]
        parts = [*second, *first] if self.suffix_first else [*first, *second]
        return [*parts, self.middle]


def make_vocabulary(manifest: ModelManifest, loaded: Loaded) -> Vocabulary:
    """The model's tokens; those of the manifest's `[infill]` table are markers among them."""
    section = manifest.infill
    if section is None:
        return Vocabulary(loaded)
    ending = () if section.end is None else (section.end,)
    named = (section.prefix, section.suffix, section.middle, *ending)
    return Vocabulary(loaded, named, ending)


def find_infill(manifest: ModelManifest, loaded: Loaded, vocabulary: Vocabulary) -> Infill | None:
    """How the model fills gaps: as its manifest says, or as its GGUF declares; None if it can not.

    Many vocabularies hold such tokens from a sibling that was trained for them. So tokens that
    llama.cpp merely recognises count only where the manifest says that the model can.

    Raises:
        ModelLoadError: the manifest names a token that the vocabulary does not have.
    """
    if manifest.infill is not None:
        return _named(manifest.infill, vocabulary)
    declared = any(loaded.metadata(key) is not None for key in _DECLARED)
    tokens = vocabulary.declared_infill
    if min(tokens) < 0 or not (declared or "infill" in manifest.capabilities):
        return None
    return Infill(*tokens)


def _named(section: InfillSection, vocabulary: Vocabulary) -> Infill:
    prefix, suffix, middle = (
        _token(vocabulary, spelling)
        for spelling in (section.prefix, section.suffix, section.middle)
    )
    return Infill(prefix, suffix, middle, section.order == "suffix-prefix-middle")


def _token(vocabulary: Vocabulary, spelling: str) -> int:
    token = vocabulary.marker(spelling)
    if token is None:
        raise ModelLoadError(
            f"The vocabulary has no token {spelling!r}; correct the manifest's [infill] table, or"
            " remove it."
        )
    return token
