"""Have a Hugging Face folder converted to GGUF by llama.cpp's own converter.

The converter needs PyTorch and transformers, which this package does not bring along: it is a
program of its own, in a folder that the setting `converter` names.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from appliance.importing.errors import ConvertError, PartMissingError, SourceError
from appliance.importing.source import Stamp

_CONFIG = "config.json"
_INDEX = "model.safetensors.index.json"
_INDEX_BYTES = 64 * 1024 * 1024
# What a model is made of. Programs (*.py) and pickles (*.bin, *.pt), which are programs too, are
# kept from the converter: its tokenizer library would run them.
_WANTED = (".safetensors", ".json", ".txt", ".model", ".jinja", ".tiktoken")
_SCRIPT, _PYTHON = "convert_hf_to_gguf.py", "bin/python"
_PERCENT = re.compile(rb"Writing:\s+(\d+)%")
_TAIL = 4000  # bytes of the converter's words in which its last line is looked for
_LINE_CHARS = 200
_REMEDY = (
    "Convert the model on the connected machine on which the bundle is made, and bring the GGUF"
)


@dataclass(frozen=True)
class Folder:
    """A model as publishers share it: configuration, weights, tokenizer.

    Args:
        path: of the folder.
        stamps: its files, without programs.
        weights: bytes of the weights.
    """

    path: Path
    stamps: tuple[Stamp, ...]
    weights: int

    @property
    def name(self) -> str:
        """What the folder is called."""
        return self.path.resolve().name


def find_folder(path: Path) -> Folder | None:
    """The model in a folder; None if it is none of this kind, or holds a GGUF already.

    Raises:
        SourceError: it has weights, but none that may be read.
        PartMissingError: a file of the weights is missing; names it.
    """
    if not (path / _CONFIG).is_file() or any(path.glob("*.gguf")):
        return None
    if not path.resolve().name.isprintable():
        raise SourceError(f"Give the folder {path.name!r} a plain name first.")
    files = sorted(file for file in path.iterdir() if file.suffix in _WANTED and file.is_file())
    weights = [file for file in files if file.suffix == ".safetensors"]
    if not weights:
        raise SourceError(
            f"{path} has no *.safetensors. Weights in other files are programs, and are not read;"
            " bring the model as safetensors or GGUF."
        )
    missing = sorted(_named_in_index(path) - {file.name for file in weights})
    if missing:
        raise PartMissingError(
            f"{len(missing)} files of the weights are missing in {path}: {', '.join(missing[:3])}."
            " Copy the whole folder again."
        )
    stamps = tuple(map(Stamp.of, files))
    return Folder(path, stamps, sum(file.stat().st_size for file in weights))


def check_converter(converter: Path | None) -> Path:
    """The converter's folder.

    Raises:
        ConvertError: there is none here, or it is not whole.
    """
    if converter is None:
        raise ConvertError(
            "A Hugging Face folder has to be converted to GGUF, and this machine has no converter"
            f" (setting converter). {_REMEDY}."
        )
    missing = [name for name in (_SCRIPT, _PYTHON) if not (converter / name).is_file()]
    if missing:
        raise ConvertError(
            f"The converter in {converter} lacks {' and '.join(missing)}; docs/models.md says how"
            f" it is made. Or: {_REMEDY[0].lower()}{_REMEDY[1:]}."
        )
    return converter


def convert(
    folder: Folder,
    target: Path,
    converter: Path,
    log: Path,
    progress: Callable[[int], object],
) -> None:
    """Write a folder's model as one GGUF, in the sixteen bits nearest to its own.

    Args:
        folder: of the model.
        target: the new file.
        converter: folder of the converter.
        log: takes what the converter writes.
        progress: told how many hundredths are written.

    Raises:
        ConvertError: the converter failed; nothing is left of the target.
    """
    staged = target.parent / "converting" / folder.name  # the converter takes the title from it
    new = target.with_suffix(".new")
    _stage(folder, staged)
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        with open(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as words:
            code, last = _run(_command(converter, staged, new), staged, words, progress)
        if code != 0 or not new.is_file():
            raise ConvertError(
                f"The converter could not convert {folder.name} (exit status {code}: {last})."
                f" All that it says is in {log}. Or: {_REMEDY[0].lower()}{_REMEDY[1:]}."
            )
        new.replace(target)
    finally:
        new.unlink(missing_ok=True)
        shutil.rmtree(staged.parent, ignore_errors=True)


def _named_in_index(path: Path) -> set[str]:
    """Files that the index of the weights names."""
    index = path / _INDEX
    if not index.is_file():
        return set()
    try:
        if index.stat().st_size > _INDEX_BYTES:
            raise ValueError("it is too large")
        return {str(file) for file in json.loads(index.read_bytes())["weight_map"].values()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise SourceError(
            f"{_INDEX} in {path} can not be understood. Copy the whole folder again."
        ) from error


def _stage(folder: Folder, staged: Path) -> None:
    """Make a folder that leads to the model's files and to nothing else."""
    shutil.rmtree(staged.parent, ignore_errors=True)
    staged.mkdir(mode=0o700, parents=True)
    for stamp in folder.stamps:
        (staged / Path(stamp.file).name).symlink_to(stamp.file)


def _command(converter: Path, staged: Path, target: Path) -> list[str]:
    script = [str(converter / _PYTHON), str(converter / _SCRIPT), str(staged)]
    tether = [sys.executable, "-m", "appliance.importing.tethered", str(os.getpid())]
    return [*tether, *script, "--outtype", "auto", "--outfile", str(target)]


def _run(
    command: list[str], home: Path, words: BinaryIO, progress: Callable[[int], object]
) -> tuple[int, str]:
    """Run the converter; its exit status and its last line."""
    environment = {
        "PATH": os.defpath,
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        "LANG": "C.UTF-8",
        "HF_HOME": str(home / ".cache"),
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
    }
    tail = b""
    with subprocess.Popen(  # noqa: S603 - our own module, and paths of the settings
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
    ) as process:
        try:
            while process.stdout and (said := os.read(process.stdout.fileno(), 65_536)):
                words.write(said)
                tail = (tail + said)[-_TAIL:]
                if found := _PERCENT.findall(tail):
                    progress(int(found[-1]))
        except BaseException:
            process.kill()
            raise
    return process.returncode, _last_line(tail)


def _last_line(tail: bytes) -> str:
    lines = [line.strip() for line in tail.decode("utf-8", "replace").splitlines()]
    last = next((line for line in reversed(lines) if line), "it said nothing")
    return "".join(letter for letter in last if letter.isprintable())[:_LINE_CHARS]
