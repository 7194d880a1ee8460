"""A Hugging Face folder: what the converter gets to see, and what is said where it fails."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from appliance.importing.converting import check_converter, convert, find_folder
from appliance.importing.errors import ConvertError, PartMissingError, SourceError
from tests.support.cloister import alive
from tests.support.wait import wait_until

# Stands in for llama.cpp's converter, which needs PyTorch: it is called alike and speaks alike.
TELLS = """
import json, os, pathlib, sys
folder, target = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[-1])
for percent in (0, 40, 100):
    print(f"\\rWriting: {percent}%|##", end="", file=sys.stderr, flush=True)
seen = {"files": sorted(os.listdir(folder)), "title": folder.name, "options": sys.argv[2:4],
        "offline": os.environ["HF_HUB_OFFLINE"], "secret": os.environ.get("SECRET"),
        "weights": (folder / "model.safetensors").read_text()}
target.write_text(json.dumps(seen))
"""


def make_converter(folder: Path, script: str) -> Path:
    """A converter's folder with a program of ours in its place."""
    python = folder / "bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    (folder / "convert_hf_to_gguf.py").write_text(script)
    return folder


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "Some Model"
    folder.mkdir()
    for name in ("config.json", "tokenizer.json", "model.safetensors", "merges.txt"):
        (folder / name).write_text(name)
    for name in ("modelling.py", "pytorch_model.bin", "weights.pt", "README.md"):
        (folder / name).write_text("never seen")
    return folder


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "quarantine").mkdir()
    return tmp_path / "quarantine/original.gguf"


def test_the_converter_sees_the_model_and_no_programs(
    tmp_path: Path, model: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "of somebody else")
    folder = find_folder(model)
    assert folder is not None
    assert folder.weights == len("model.safetensors")
    told: list[int] = []
    converter = make_converter(tmp_path / "converter", TELLS)
    convert(folder, target, converter, tmp_path / "logs/import.log", told.append)
    seen = json.loads(target.read_text())
    assert seen == {
        "files": ["config.json", "merges.txt", "model.safetensors", "tokenizer.json"],
        "title": "Some Model",
        "options": ["--outtype", "auto"],
        "offline": "1",
        "secret": None,
        "weights": "model.safetensors",
    }
    assert told[-1] == 100
    assert b"Writing: 100%" in (tmp_path / "logs/import.log").read_bytes()
    assert list(target.parent.iterdir()) == [target]


def test_a_converter_that_fails_is_quoted_and_leaves_nothing(
    tmp_path: Path, model: Path, target: Path
) -> None:
    script = "import sys; open(sys.argv[-1], 'w'); sys.exit('Model \\x1b[2J is not supported')"
    converter = make_converter(tmp_path / "converter", script)
    folder = find_folder(model)
    assert folder is not None
    with pytest.raises(ConvertError, match=r"exit status 1: Model \[2J is not supported\).*log"):
        convert(folder, target, converter, tmp_path / "import.log", lambda _: None)
    assert list(target.parent.iterdir()) == []


def test_the_converter_ends_with_the_import(tmp_path: Path, model: Path, target: Path) -> None:
    script = "import os, signal; print(os.getpid(), flush=True); signal.pause()"
    converter = make_converter(tmp_path / "converter", script)
    log = tmp_path / "import.log"
    program = (
        "import sys; from pathlib import Path; from appliance.importing.converting import *;"
        f"convert(find_folder(Path({str(model)!r})), Path({str(target)!r}),"
        f" Path({str(converter)!r}), Path({str(log)!r}), print)"
    )
    process = subprocess.Popen([sys.executable, "-c", program])
    try:
        wait_until(lambda: process.poll() is not None or _started(process), 30, "converter")
        (child,) = psutil.Process(process.pid).children()
        wait_until(lambda: "convert_hf_to_gguf" in " ".join(child.cmdline()), 30, "its program")
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait(30)
    wait_until(lambda: not alive(child), 30, "end of the converter")


def _started(process: subprocess.Popen[bytes]) -> bool:
    return bool(psutil.Process(process.pid).children())


def test_a_machine_without_a_converter_says_so_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(ConvertError, match=r"no converter .*connected machine"):
        check_converter(None)
    with pytest.raises(ConvertError, match=r"lacks convert_hf_to_gguf\.py and bin/python"):
        check_converter(tmp_path)


def test_weights_that_are_programs_are_not_read(model: Path) -> None:
    (model / "model.safetensors").unlink()
    with pytest.raises(SourceError, match="are programs, and are not read"):
        find_folder(model)


def test_missing_files_of_the_weights_are_named(model: Path) -> None:
    index = {"weight_map": {"a": "model.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (model / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(PartMissingError, match="model-00002-of-00002"):
        find_folder(model)


@pytest.mark.parametrize("index", ["", "[]", "{}", '{"weight_map": 5}'])
def test_an_index_that_is_none_is_refused(model: Path, index: str) -> None:
    (model / "model.safetensors.index.json").write_text(index)
    with pytest.raises(SourceError, match="can not be understood"):
        find_folder(model)


def test_a_folder_with_a_gguf_is_not_converted(model: Path) -> None:
    (model / "model.gguf").write_text("")
    assert find_folder(model) is None
    assert find_folder(model / "model.gguf") is None
