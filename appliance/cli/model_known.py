"""`cloister model known` and `cloister model describe`: what a model is, before it runs here."""

from __future__ import annotations

import re
import sys
from pathlib import Path, PurePosixPath
from typing import Any

import click

from appliance.catalogue.digest import file_digest
from appliance.catalogue.errors import OutsideModelsError
from appliance.catalogue.known.description import (
    Description,
    check_servable,
    describe,
    make_manifest,
)
from appliance.catalogue.known.head import read_head
from appliance.catalogue.known.library import known_model, known_models
from appliance.catalogue.known.listing import count, gigabytes, line, markdown, row
from appliance.catalogue.known.profile import KnownModel, PromptFormat
from appliance.catalogue.known.sizes import cache_bytes
from appliance.catalogue.manifest import ModelManifest
from appliance.catalogue.writing import exists_error, write_manifest
from appliance.cli.common import json_option, print_json, print_list, words
from appliance.engine.errors import BadRequestError, ModelLoadError
from appliance.engine.template import ChatTemplate
from appliance.settings import Settings

_EXAMPLE = (
    {"role": "system", "content": "Answer in one word."},
    {"role": "user", "content": "What colour is the sky?"},
    {"role": "assistant", "content": "Blue."},
    {"role": "user", "content": "And grass?"},
)
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_NO_MARKER = re.compile(r"(?!)")
_GGUF = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)


@click.command("known")
@click.argument("name", required=False)
@json_option
@click.option("--markdown", "as_markdown", is_flag=True, help="Print the table of docs/models.md.")
def known(name: str | None, as_json: bool, as_markdown: bool) -> None:
    """What Cloister knows about models that people bring.

    Sizes are those of the file, which lies in memory while the model runs.

    \b
    Examples:
      cloister model known
      cloister model known mistral-7b-instruct-v0.2
      cloister model known --json
    """
    if name is not None:
        _show(known_model(name), as_json)
    elif as_markdown:
        click.echo(markdown(), nl=False)
    else:
        models = known_models()
        rows = [row(model) if as_json else line(model) for model in models]
        print_list(rows, dict.fromkeys(line(models[0]), words), as_json=as_json)


def _show(model: KnownModel, as_json: bool) -> None:
    facts = row(model)
    if as_json:
        print_json(facts)
        return
    form = model.format
    facts["files"] = {each: gigabytes(size) for each, size in facts["files"].items()}
    facts["cache_per_token"] = _kilobytes(facts.pop("cache_bytes_per_token"))
    facts.pop("format")
    if form is not None:
        facts["prompt_format"] = form.documented
        facts["system_message"] = form.system
        facts["stop"] = [repr(stop) for stop in form.stop]
    _print_facts(facts)
    if form is not None:
        click.echo("\nWhat the model reads, for an example:\n")
        click.echo("\n".join(f"  {each}" for each in _rendered(form.chat, form).split("\n")))


@click.command("describe")
@click.argument("file", type=_GGUF)
@click.option("--write", "name", metavar="NAME", help="Write the manifest models/NAME.toml.")
@json_option
def describe_file(file: Path, name: str | None, as_json: bool) -> None:
    """Say what a GGUF file is, and write the manifest that it needs.

    \b
    Examples:
      cloister model describe var/srv/cloister/models/mistral.gguf
      cloister model describe var/srv/cloister/models/mistral.gguf --write mistral
    """
    described = describe(read_head(file), file.name)
    models = Settings().models
    if name is not None:
        path = _write(described, file, name, models)
        click.echo(
            f"Wrote {path}. Next: see it load with `cloister model list`, then point applications"
            f" at it: `cloister model activate {name} --alias NAME`.",
            err=True,
        )
    facts = _facts(described, file)
    if as_json:
        print_json(facts)
        return
    facts["size"] = gigabytes(facts["size"])
    facts["parameters"] = count(facts["parameters"])
    facts["cache_per_token"] = _kilobytes(facts.pop("cache_bytes_per_token"))
    _print_facts(facts)
    if name is None:
        click.echo()
        click.echo(_next_step(file, models))


def _facts(described: Description, file: Path) -> dict[str, Any]:
    model = described.known
    return {
        "file": file.name,
        "is": f"{model.title} ({model.name})" if model else "no model that Cloister knows",
        "has_the_shape_of": [each.name for each in described.alike],
        "title": described.title,
        "family": described.family,
        "parameters": described.head.parameters,
        "quantisation": described.quantisation,
        "size": file.stat().st_size,
        "context": described.longest_context,
        "cache_bytes_per_token": cache_bytes(model.shape) if model else 0,
        "licence": described.licence,
        "licence_text": model.licence_text if model else None,
        "capabilities": list(described.capabilities),
        "template": _template_words(described),
        "good_for": model.good_for if model else None,
        "not_for": model.not_for if model else None,
        "notice": model.notice if model else None,
    }


def _template_words(described: Description) -> str:
    """Whose template is used, and whether the file's own works in the sandbox."""
    own = described.own_template
    if own is None or described.known is not None:
        return described.template_from
    try:
        _rendered(own)
    except (ModelLoadError, BadRequestError) as error:
        return f"{described.template_from}; it fails on an example: {error}"
    return described.template_from


def _write(described: Description, file: Path, name: str, models: Path) -> Path:
    """Check all that can be checked at once, then read the whole file for its digest."""
    if not _NAME.fullmatch(name):
        raise click.BadParameter(
            f"{name!r}: 1 to 63 small letters, digits or . _ - only.", param_hint="--write"
        )
    check_servable(described)
    inside = _inside(file, models)
    if not str(inside).isprintable():
        raise click.BadParameter("give the file a plain name first.", param_hint="FILE")
    path = models / f"{name}.toml"
    if path.exists():
        raise exists_error(path)
    manifest = make_manifest(described, name, inside, _digest(file))
    return write_manifest(manifest, models, _comment(described, manifest))


def _inside(file: Path, models: Path) -> PurePosixPath:
    """The file's path inside the models folder."""
    try:
        return PurePosixPath(file.resolve().relative_to(models.resolve()))
    except ValueError as error:
        raise OutsideModelsError(
            f"{file} lies outside the models folder. Copy it there first: cp {file} {models}/"
        ) from error


def _digest(file: Path) -> str:
    size = file.stat().st_size
    with click.progressbar(length=size, label="Reading the weights", file=sys.stderr) as bar:
        return file_digest(file, bar.update)


def _comment(described: Description, manifest: ModelManifest) -> str:
    model = described.known
    source = f"what Cloister knows of {model.name}" if model else "what the file says of itself"
    lines = [f"Written by `cloister model describe`, from {source}."]
    if described.longest_context > manifest.context:
        lines.append(
            f"The model was trained for {described.longest_context} tokens; more context takes"
            " more memory for every request that runs."
        )
    if described.lacks_pooler:
        lines.append(
            "Its classification head lacks the pooler, so it only embeds; docs/models.md says how"
            " to convert it whole."
        )
    if model is None:
        lines.append("Correct the licence and the capabilities where they are wrong.")
    return "\n".join(lines)


def _next_step(file: Path, models: Path) -> str:
    try:
        _inside(file, models)
    except OutsideModelsError:
        file = models / file.name
        return (
            f"To serve it, copy it to {models}, then:\n"
            f"  cloister model describe {file} --write NAME"
        )
    return f"To serve it:\n  cloister model describe {file} --write NAME"


def _rendered(chat: str, form: PromptFormat | None = None) -> str:
    """A template, applied to a short conversation."""
    bos, eos = (form.bos, form.eos) if form else ("<s>", "</s>")
    text, _ = ChatTemplate(chat, _NO_MARKER, bos, eos).render(_EXAMPLE)
    return text


def _print_facts(facts: dict[str, Any]) -> None:
    shown = {key: _words(value) for key, value in facts.items() if value not in (None, "", [])}
    width = max(len(key) for key in shown)
    for key, value in shown.items():
        click.echo(f"{key.replace('_', ' '):<{width}}  {value}")


def _words(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {each}" for key, each in value.items() if each is not None)
    return ", ".join(map(str, value)) if isinstance(value, list) else words(value)


def _kilobytes(size: int) -> str | None:
    return f"{size / 1000:.0f} kB" if size else None
