"""A Hugging Face folder comes in where this machine has llama.cpp's converter.

With the real one in CLOISTER_CONVERTER the last test runs too; it needs PyTorch and transformers.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.support.cloister import ROOT, Cloister
from tests.support.tiny_gguf import Shape, write_tiny_gguf
from tests.unit.importing.test_converting import make_converter

_REAL = os.environ.get("CLOISTER_CONVERTER", "")
# Stands in for llama.cpp's converter: it writes a GGUF that was made before, and counts its runs.
_COPIES = """
import pathlib, shutil, sys
here = pathlib.Path(__file__).parent
with (here / "runs").open("a") as runs:
    runs.write("1")
shutil.copyfile(here / "made.gguf", sys.argv[-1])
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "Shared Model"
    made.mkdir()
    (made / "config.json").write_text("{}")
    (made / "model.safetensors").write_bytes(bytes(1000))
    return made


def test_without_a_converter_the_remedy_is_named(
    cloister: Cloister, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(cloister.environment, "CLOISTER_CONVERTER", "")
    done = cloister.call("model", "import", str(folder))
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "Convert the model on the connected machine" in done.stderr


def test_a_folder_is_converted_once_and_then_comes_in_as_any_other(
    cloister: Cloister, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    converter = make_converter(tmp_path / "converter", _COPIES)
    template = "{{ raise_exception('never') }}"
    write_tiny_gguf(converter / "made.gguf", Shape(context=4096), seed=3, template=template)
    monkeypatch.setitem(cloister.environment, "CLOISTER_CONVERTER", str(converter))
    command = ("model", "import", str(folder), "--quantise", "Q8_0")
    for _ in range(2):
        failed = cloister.call(*command)
        assert failed.returncode == 1
        assert "the same command goes on" in failed.stderr
    assert (converter / "runs").read_text() == "1"
    write_tiny_gguf(converter / "made.gguf", Shape(context=4096), seed=3)
    (folder / "config.json").write_text("{ }")
    done = cloister.call(*command)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "shared-model-q8_0"
    (row,) = (one for one in cloister.json("model", "list") if one["title"] == "Shared Model")
    assert (row["state"], row["quantisation"]) == ("imported", "Q8_0")


@pytest.mark.skipif(not _REAL, reason="CLOISTER_CONVERTER names no converter")
def test_the_real_converter_s_model_is_quantised_activated_and_answers(
    cloister: Cloister, tmp_path: Path
) -> None:
    folder = tmp_path / "Random Llama"
    script = ROOT / "tests/support/hf_folder.py"
    subprocess.run([f"{_REAL}/bin/python", script, folder], check=True, capture_output=True)
    (folder / "surprise.py").write_text("raise SystemExit('programs are run')")
    done = cloister.call("model", "import", str(folder), "--quantise", "Q4_K_M")
    assert done.returncode == 0, done.stderr
    name = done.stdout.splitlines()[-1]
    assert name == "random-llama-q4_k_m"
    moved = cloister.json("model", "activate", name, "--alias", "converted")
    (row,) = (one for one in cloister.json("model", "list") if one["name"] == name)
    assert (row["state"], row["sha256"], row["quantisation"]) == (
        "ready",
        moved["sha256"],
        "Q4_K_M",
    )
