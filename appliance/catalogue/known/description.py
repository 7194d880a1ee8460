"""What a GGUF file is, and the manifest that it needs to be served."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

from appliance.catalogue.architectures import Nature, nature_of
from appliance.catalogue.errors import GgufError
from appliance.catalogue.known.head import Array, GgufHead
from appliance.catalogue.known.matching import match, resembling
from appliance.catalogue.known.profile import KnownModel
from appliance.catalogue.manifest import Capability, ModelManifest

# Tokens of one request that a new manifest allows: some fifteen pages. More costs memory for the
# KV cache of every request that runs, so whoever needs it writes it down.
FIRST_CONTEXT = 8_192
_LARGEST_CONTEXT = 1_048_576
_SMALLEST_CONTEXT = 512  # where the file does not say
_NO_LICENCE = "LicenseRef-not-stated"
_TEMPLATE = "tokenizer.chat_template"
_INFILL = ("tokenizer.ggml.fim_pre_token_id", "tokenizer.ggml.prefix_token_id")
_SPLIT = "split.count"
_LABELS = "classifier.output_labels"  # names of the classes, behind the architecture's name
_POOLER, _CLASSES = "cls.weight", "cls.output.weight"
_NOT_RUN = frozenset({"t5encoder"})  # half a model, which the engine has no way to run
# enum llama_ftype of llama.cpp, as people write it.
_FILE_TYPES = {
    0: "F32",
    1: "F16",
    2: "Q4_0",
    3: "Q4_1",
    7: "Q8_0",
    8: "Q5_0",
    9: "Q5_1",
    10: "Q2_K",
    11: "Q3_K_S",
    12: "Q3_K_M",
    13: "Q3_K_L",
    14: "Q4_K_S",
    15: "Q4_K_M",
    16: "Q5_K_S",
    17: "Q5_K_M",
    18: "Q6_K",
    19: "IQ2_XXS",
    20: "IQ2_XS",
    21: "Q2_K_S",
    22: "IQ3_XS",
    23: "IQ3_XXS",
    24: "IQ1_S",
    25: "IQ4_NL",
    26: "IQ3_S",
    27: "IQ3_M",
    28: "IQ2_S",
    29: "IQ2_M",
    30: "IQ4_XS",
    31: "IQ1_M",
    32: "BF16",
    38: "MXFP4",
}


@dataclass(frozen=True)
class Description:
    """A GGUF and what is known of it.

    Args:
        head: what the file says itself.
        file_name: without folders.
        known: the known model that it is, if it is one.
        alike: known models of its shape, where it is none of them.
    """

    head: GgufHead
    file_name: str
    known: KnownModel | None
    alike: tuple[KnownModel, ...]

    @property
    def family(self) -> str:
        """Architecture, as in the GGUF."""
        return _shown(self.head.text("general.architecture"), 60) or "unknown"

    @property
    def title(self) -> str:
        """What people read."""
        return self.known.title if self.known else self._own_title()

    @property
    def licence(self) -> str:
        """SPDX identifier, or one that says that the file has none."""
        stated = _shown(self.head.text("general.license"), 120)
        return self.known.licence if self.known else stated or _NO_LICENCE

    @property
    def quantisation(self) -> str:
        """Type of most weights."""
        number = self.head.number("general.file_type")
        return _FILE_TYPES.get(-1 if number is None else number, "unknown")

    @property
    def longest_context(self) -> int:
        """Tokens that the model was trained for."""
        if self.known:
            return self.known.context
        stated = self.head.number(f"{self.family}.context_length") or _SMALLEST_CONTEXT
        return min(max(stated, 16), _LARGEST_CONTEXT)

    @property
    def own_template(self) -> str | None:
        """The chat template inside the file."""
        return self.head.text(_TEMPLATE)

    @property
    def capabilities(self) -> tuple[Capability, ...]:
        """What it can be asked."""
        if nature_of(self.family) is Nature.ENCODER:
            return ("embed", "classify") if self._has_head and not self.lacks_pooler else ("embed",)
        if self.known:
            return self.known.capabilities
        if nature_of(self.family) is Nature.ENCODER_DECODER:
            return ("complete",)
        chat: tuple[Capability, ...] = ("chat",) if self.own_template else ()
        infill: tuple[Capability, ...] = (
            ("infill",) if any(key in self.head.metadata for key in _INFILL) else ()
        )
        return (*chat, "complete", *infill)

    @property
    def template_from(self) -> str:
        """Whose chat template is used, in words."""
        if self.known and self.known.format:
            return f"Cloister's, after: {self.known.format.documented}"
        return "the file's own" if self.own_template else "none"

    @property
    def _has_head(self) -> bool:
        labels = self.head.metadata.get(f"{self.family}.{_LABELS}")
        named = isinstance(labels, Array) and labels.count > 1
        return named and _CLASSES in self.head.tensors

    @property
    def lacks_pooler(self) -> bool:
        """Whether the file's classification head is not whole, so that it can only embed."""
        return self._has_head and _POOLER not in self.head.tensors

    def _own_title(self) -> str:
        stem = self.file_name.removesuffix(".gguf")
        return _shown(self.head.text("general.name"), 120) or _shown(stem, 120) or "Model"


def describe(head: GgufHead, file_name: str) -> Description:
    """Say what the file with this head is."""
    known = match(head.metadata, file_name)
    alike = () if known else tuple(resembling(head.metadata))
    return Description(head, file_name, known, alike)


def make_manifest(
    description: Description, name: str, file: PurePosixPath, sha256: str
) -> ModelManifest:
    """The manifest of a described file.

    Args:
        description: of the file.
        name: what requests will call the model.
        file: relative to the models folder.
        sha256: of the file, lower-case hex.
    """
    known = description.known
    form = known.format if known else None
    fields = {
        "name": name,
        "title": description.title,
        "family": description.family,
        "parameters": description.head.parameters or (known.parameters if known else 1),
        "licence": description.licence,
        "file": str(file),
        "sha256": sha256,
        "quantisation": description.quantisation,
        "context": min(description.longest_context, FIRST_CONTEXT),
        "capabilities": description.capabilities,
        "stop": form.stop if form else (),
        "notice": known.notice if known else "",
        "template": {"chat": form.chat} if form else None,
        "infill": known.infill if known else None,
    }
    return ModelManifest.model_validate(fields)


def comment(description: Description, manifest: ModelManifest, command: str) -> str:
    """What stands above a manifest that `command` has made from a description."""
    model = description.known
    source = f"what Cloister knows of {model.name}" if model else "what the file says of itself"
    lines = [f"Written by `{command}`, from {source}."]
    if description.longest_context > manifest.context:
        lines.append(
            f"The model was trained for {description.longest_context} tokens; more context takes"
            " more memory for every request that runs."
        )
    if description.lacks_pooler:
        lines.append(
            "Its classification head lacks the pooler, so it only embeds; docs/models.md says how"
            " to convert it whole."
        )
    if model is None:
        lines.append("Correct the licence and the capabilities where they are wrong.")
    return "\n".join(lines)


def check_servable(description: Description) -> None:
    """Return only if the engine can run the model, and one manifest can name all of it.

    Raises:
        GgufError: it is a part of a model, no model, or of an architecture that is not run.
    """
    if description.family in _NOT_RUN:
        raise GgufError(
            f"{description.file_name}: has the architecture {description.family!r}, which Cloister"
            " does not run yet; cloister model known lists what it runs."
        )
    if description.head.text("general.type") == "adapter":
        raise GgufError(
            f"{description.file_name}: is an adapter, and no model by itself. Name the model that"
            " it is for: cloister model import FILE --base MODEL"
        )
    parts = description.head.number(_SPLIT) or 1
    if parts > 1:
        raise GgufError(
            f"{description.file_name}: is one of {parts} parts. Bring all of them in, under"
            " their own names, with: cloister model import FOLDER"
        )
    if description.head.parameters == 0:
        raise GgufError(f"{description.file_name}: holds no weights; bring the whole model.")


def _shown(text: str | None, most: int) -> str:
    """What a file says of itself, fit for a terminal: printable, on one line, not too long."""
    return "".join(letter for letter in text or "" if letter.isprintable()).strip()[:most]
