"""What a model is called that comes in."""

from __future__ import annotations

import re

from appliance.importing.errors import SourceError

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


def name_for(file_name: str, quantisation: str | None = None) -> str:
    """A model's name, from its file's; empty where nothing of that can be in a name."""
    stem = re.sub(r"\.gguf$", "", file_name.lower())
    if quantisation is not None:
        stem = re.sub(r"[-._](?:f32|f16|fp16|bf16)$", "", stem) + f"-{quantisation.lower()}"
    return re.sub(r"^[^a-z0-9]+", "", re.sub(r"[^a-z0-9._-]+", "-", stem))[:63].rstrip("-")


def check_name(name: str) -> None:
    """Return only if a model may have this name.

    Raises:
        SourceError: it may not.
    """
    if not _NAME.fullmatch(name):
        raise SourceError(
            f"{name[:80]!r} can be no model's name: 1 to 63 small letters, digits or . _ -, and the"
            " first a letter or a digit. Give one with --name."
        )
