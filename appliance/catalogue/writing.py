"""Write a manifest down as TOML; the standard library only reads it."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

from appliance.catalogue.errors import ManifestExistsError
from appliance.catalogue.manifest import ModelManifest

_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def manifest_text(manifest: ModelManifest, comment: str = "") -> str:
    """The manifest's file; `comment` stands before it."""
    fields = manifest.model_dump(mode="json", exclude_defaults=True)
    tables = {key: value for key, value in fields.items() if isinstance(value, dict)}
    lines = [f"# {line}" for line in comment.splitlines()]
    lines += [f"{key} = {_value(value)}" for key, value in fields.items() if key not in tables]
    for name, table in tables.items():
        lines += ["", f"[{name}]"]
        lines += [f"{key} = {_value(value)}" for key, value in table.items()]
    return "\n".join(lines) + "\n"


def write_manifest(manifest: ModelManifest, models: Path, comment: str = "") -> Path:
    """Write `<name>.toml` into the folder `models`, at once and never over another file.

    Raises:
        ManifestExistsError: there is one of this name.
    """
    path = models / f"{manifest.name}.toml"
    text = manifest_text(manifest, comment)
    if ModelManifest.model_validate(tomllib.loads(text)) != manifest:
        raise ValueError(f"the manifest of {manifest.name!r} does not survive being written")
    new = models / f".{manifest.name}.toml.new"
    try:
        # Whoever looks into the folder meanwhile sees no manifest or all of it.
        with new.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.link(new, path)
    except FileExistsError as error:
        raise exists_error(path) from error
    finally:
        new.unlink(missing_ok=True)
    return path


def exists_error(path: Path) -> ManifestExistsError:
    """The complaint about a manifest that is there already."""
    return ManifestExistsError(
        f"There is a model {path.stem!r} already ({path}). Choose another name, or remove that"
        " file first."
    )


def _value(value: Any) -> str:  # noqa: ANN401 - any value of a manifest
    match value:
        case bool():
            return str(value).lower()
        case int():
            return f"{value:_}"
        case list():
            return "[" + ", ".join(map(_value, value)) + "]"
        case _:
            return _text(str(value))


def _text(text: str) -> str:
    """A literal block for a template, so that people can read it; else a basic string."""
    plain = all(letter >= " " and letter != "\x7f" for letter in text.replace("\n", ""))
    if "\n" in text and plain and "'''" not in text and not text.endswith("'"):
        return f"'''\n{text}'''"
    return '"' + "".join(_escaped(letter) for letter in text) + '"'


def _escaped(letter: str) -> str:
    if letter in _ESCAPES:
        return _ESCAPES[letter]
    return f"\\u{ord(letter):04x}" if letter < " " or letter == "\x7f" else letter
