"""The pinned llama.cpp converter: downloaded with pip, checked, extracted, never committed."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tarfile
from pathlib import Path

PROJECT = "llama-cpp-python"
VERSION = "0.3.36"
ARCHIVE = f"llama_cpp_python-{VERSION}.tar.gz"
SHA256 = "832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e"
INSIDE = f"llama_cpp_python-{VERSION}/vendor/llama.cpp"
WANTED = (
    "convert_hf_to_gguf.py",
    "conversion/",
    "gguf-py/gguf/",
    # Published vocabularies: tests/architectures.
    "models/ggml-vocab-bert-bge.gguf",
    "models/ggml-vocab-gpt-2.gguf",
)


class ConverterDigestError(Exception):
    """The downloaded archive is not the one that the recipe was written for."""


def _archive(folder: Path) -> Path:
    path = folder / ARCHIVE
    if not path.is_file():
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--no-deps",
            "--no-binary",
            PROJECT,
            "--dest",
            str(folder),
            f"{PROJECT}=={VERSION}",
        ]
        subprocess.run(command, check=True)  # noqa: S603 - fixed arguments
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != SHA256:
        raise ConverterDigestError(f"{path}: {digest}, expected {SHA256}")
    return path


def prepare(build: Path) -> Path:
    """Return the converter script, extracted under `build`."""
    folder = build / "converter"
    folder.mkdir(parents=True, exist_ok=True)
    path = _archive(folder)
    with tarfile.open(path) as archive:
        members = [
            member
            for member in archive.getmembers()
            if member.name.startswith(tuple(f"{INSIDE}/{name}" for name in WANTED))
        ]
        archive.extractall(folder, members=members, filter="data")
    return folder / INSIDE / WANTED[0]


def convert(build: Path, source: Path, target: Path) -> None:
    """Convert a Hugging Face folder to a GGUF file in single precision."""
    run(prepare(build), source, target)


def run(script: Path, source: Path, target: Path, quiet: bool = False) -> None:
    """The same, with the converter script that `prepare` returned.

    Raises:
        CalledProcessError: the converter failed; `quiet` keeps what it said in its `stderr`.
    """
    command = [
        sys.executable,
        str(script),
        str(source),
        "--outtype",
        "f32",
        "--outfile",
        str(target),
    ]
    stderr = subprocess.PIPE if quiet else None
    subprocess.run(command, check=True, stderr=stderr)  # noqa: S603 - fixed arguments
