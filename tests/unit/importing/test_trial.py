"""What is tried out, and written anew, is tried by processes that it may bring down."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from appliance.catalogue.errors import ModelMemoryError
from appliance.catalogue.inspection import inspect
from appliance.catalogue.known.head import read_head
from appliance.catalogue.manifest import read_manifest
from appliance.engine.options import EngineOptions
from appliance.importing.errors import QuantiseError, RefusedError, TrialError
from appliance.importing.quantising import quantise
from appliance.importing.trial import try_out
from tests.support.tiny_gguf import Shape, write_manifest, write_tiny_gguf

ENOUGH = 10**10  # bytes of memory


def attempt(manifest: Path, free: int = ENOUGH) -> None:
    facts = inspect(read_manifest(manifest), manifest.parent)
    log = manifest.parent / "logs/import.log"
    options = EngineOptions(threads=1)
    socket = manifest.parent / "trial.sock"
    with ThreadPoolExecutor(1) as pool:  # Playwright may have a loop in this thread
        pool.submit(try_out, manifest, facts, options, lambda: free, socket, log).result()
    assert not socket.exists()


def test_a_model_without_a_chat_template_is_tried_with_a_plain_text(tmp_path: Path) -> None:
    digest = write_tiny_gguf(tmp_path / "plain.gguf", template=None)
    manifest = write_manifest(tmp_path, "plain", digest)
    manifest.write_text(manifest.read_text() + 'capabilities = ["complete"]\n')
    attempt(manifest)


def test_without_memory_nothing_is_started(tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path, "large", write_tiny_gguf(tmp_path / "large.gguf"))
    with pytest.raises(ModelMemoryError, match=r"takes 0\.1 GB of memory, and 0\.0 GB are free"):
        attempt(manifest, free=1000)


def test_weights_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "odd.gguf"
    write_tiny_gguf(file)
    raw = file.read_bytes()
    file.write_bytes(raw[:-4096] + b"\xff" * 4096)
    manifest = write_manifest(tmp_path, "odd", "0" * 64)
    with pytest.raises(RefusedError, match=r"llama\.cpp refuses"):
        attempt(manifest)


def test_a_template_that_fails_is_told_apart_from_a_file_that_crashes(tmp_path: Path) -> None:
    template = "{{ raise_exception('never') }}"
    digest = write_tiny_gguf(tmp_path / "mute.gguf", template=template)
    with pytest.raises(TrialError, match=r"first answer failed.*--known"):
        attempt(write_manifest(tmp_path, "mute", digest))


def test_weights_are_written_smaller_and_the_progress_is_told(tmp_path: Path) -> None:
    write_tiny_gguf(tmp_path / "wide.gguf", Shape(layers=3))
    told: list[int] = []
    target = tmp_path / "small.gguf"
    quantise(tmp_path / "wide.gguf", target, "Q8_0", 1, tmp_path / "log", told.append)
    assert read_head(target).number("general.file_type") == 7  # enum llama_ftype: Q8_0
    assert told == list(range(1, len(told) + 1))
    assert len(told) > 20


def test_a_file_that_can_not_be_written_smaller_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "none.gguf").write_bytes(b"GGUF")
    target = tmp_path / "small.gguf"
    log = tmp_path / "import.log"
    with pytest.raises(QuantiseError, match=r"Q4_K_M .*import\.log\. Import it without"):
        quantise(tmp_path / "none.gguf", target, "Q4_K_M", 1, log, lambda _: None)
    assert not target.exists()
    assert log.read_text()
