"""A model comes in on a disk: copied, checked, tried out, listed, and served once activated."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

from appliance.catalogue.digest import file_digest
from appliance.catalogue.manifest import read_manifest
from appliance.settings import Settings
from tests.support.cloister import CLOISTER, Cloister
from tests.support.gguf_bytes import words
from tests.support.records import read_records
from tests.support.split_gguf import split_gguf
from tests.support.tiny_gguf import Shape, write_tiny_gguf
from tests.support.wait import wait_until

CONTEXT = Shape(context=4096)
LARGE = Shape(2048, 5632, 8, 16, 4096, 4096, quantised=True)  # some 450 MB


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """The disk that somebody carries in."""
    folder = tmp_path / "disk"
    folder.mkdir()
    return folder


def models(cloister: Cloister) -> Path:
    return cloister.state / "srv/cloister/models"


def quarantine(cloister: Cloister, name: str) -> Path:
    return cloister.state / "srv/cloister/quarantine" / name


def brought(cloister: Cloister, *arguments: str | Path) -> str:
    """Import; the model's name."""
    done = cloister.call("model", "import", *map(str, arguments))
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


def refused(cloister: Cloister, *arguments: str | Path) -> str:
    """What is said of an import that fails."""
    before = sorted(models(cloister).iterdir())
    done = cloister.call("model", "import", *map(str, arguments))
    assert done.returncode == 1, done.stdout
    assert "Traceback" not in done.stderr
    assert sorted(models(cloister).iterdir()) == before
    return done.stderr


def events(cloister: Cloister, name: str) -> list[dict[str, Any]]:
    """The records of a model, without those of aliases."""
    found = [one.meta for one in read_records(Settings(state=cloister.state))]
    mine = [dict(meta) for meta in found if meta.get("model") == name]
    return [meta for meta in mine if str(meta.get("event")).startswith("engine:model:")]


def ask(cloister: Cloister, model: str) -> httpx.Response:
    body = {"model": model, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 4}
    headers = {"Authorization": f"Bearer {cloister.key(f'for-{model}-{os.urandom(3).hex()}')}"}
    return httpx.post(f"{cloister.url}/v1/chat/completions", json=body, headers=headers, timeout=60)


def state_of(cloister: Cloister, name: str) -> str | None:
    return next(
        (one["state"] for one in cloister.json("model", "list") if one["name"] == name), None
    )


def test_an_imported_model_is_listed_and_answers_once_it_is_activated(
    cloister: Cloister, disk: Path
) -> None:
    digest = write_tiny_gguf(disk / "New Model.gguf", CONTEXT, seed=2)
    assert brought(cloister, disk / "New Model.gguf") == "new-model"
    (row,) = (one for one in cloister.json("model", "list") if one["name"] == "new-model")
    assert (row["state"], row["sha256"], row["held"]) == ("imported", digest, True)
    assert file_digest(models(cloister) / "new-model.gguf") == digest
    assert not quarantine(cloister, "new-model").exists()
    (engine,) = (one for one in cloister.json("doctor") if one["check"] == "engine")
    assert (engine["state"], "imported and not activated" in engine["detail"]) == ("ok", True)
    before = ask(cloister, "new-model")
    assert (before.status_code, before.json()["error"]["code"]) == (404, "model_not_activated")

    moved = cloister.json("model", "activate", "new-model", "--alias", "desk")
    assert moved["sha256"] == digest
    for name in ("desk", "new-model"):
        assert ask(cloister, name).headers["X-Model-Digest"] == digest
    (event,) = events(cloister, "new-model")
    assert (event["event"], event["model_digest"]) == ("engine:model:imported", digest)
    assert event["files"] == ["New Model.gguf"]

    again = refused(cloister, disk / "New Model.gguf")
    assert "already" in again
    assert "--name" in again
    assert "cloister model rm new-model" in again
    assert "is an alias" in refused(cloister, disk / "New Model.gguf", "--name", "desk")


def test_json_says_what_came_in(cloister: Cloister, disk: Path) -> None:
    write_tiny_gguf(disk / "m.gguf", CONTEXT, seed=3)
    found = cloister.json("model", "import", str(disk), "--name", "told")
    assert (found["name"], found["state"], found["known"]) == ("told", "imported", None)
    assert found["memory"]["fits"] is True
    assert found["bytes"] == (disk / "m.gguf").stat().st_size
    assert found["quantisation"] == "F32"


def write_smollm(file: Path, name: str) -> None:
    """Random weights in the shape of a known model."""
    shape = Shape(576, 1536, 30, 9, 49152, 8192, quantised=True, kv_heads=3, tied=True)
    write_tiny_gguf(file, shape, more=lambda writer: writer.add_name(name), template=None)


@pytest.mark.parametrize(
    ("called", "options"),
    [
        ("SmolLM2 135M Instruct", ()),
        ("Clinic Letters 135M", ("--known", "smollm2-135m-instruct")),
    ],
    ids=["recognised", "named"],
)
def test_a_known_model_gets_what_is_known_of_it(
    cloister: Cloister, disk: Path, called: str, options: tuple[str, ...]
) -> None:
    write_smollm(disk / "m.gguf", called)
    found = cloister.json("model", "import", str(disk), "--name", "known", *options)
    assert found["known"] == "smollm2-135m-instruct"
    assert (found["licence"], found["stop"][0]) == ("Apache-2.0", "<|im_end|>")
    manifest = read_manifest(models(cloister) / "known.toml")
    assert manifest.template is not None
    assert "chat" in manifest.capabilities
    assert cloister.call("model", "rm", "known").returncode == 0


def test_a_copy_that_is_killed_goes_on_where_it_stood(cloister: Cloister, disk: Path) -> None:
    file = disk / "large.gguf"
    digest = write_tiny_gguf(file, LARGE, seed=4)
    note = quarantine(cloister, "large") / "import.json"
    command = [str(CLOISTER), "model", "import", str(file)]

    def kept() -> int:
        return int(json.loads(note.read_text())["kept"]) if note.exists() else 0

    with subprocess.Popen(
        command, env=cloister.environment, stderr=subprocess.PIPE, text=True
    ) as process:
        wait_until(lambda: kept() or process.poll() is not None, 60, "bytes that are kept")
        process.send_signal(signal.SIGINT)  # Ctrl-C
        _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"wait in {note.parent}; the same command goes on" in told
    first = kept()

    process = subprocess.Popen(command, env=cloister.environment, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: kept() > first or process.poll() is not None, 60, "more bytes")
        process.send_signal(signal.SIGSTOP)
        assert "Another import of 'large' is under way" in refused(cloister, file)
    finally:
        process.kill()
        assert process.wait(60) == -signal.SIGKILL
    second = kept()
    assert 0 < first < second < file.stat().st_size
    assert state_of(cloister, "large") is None
    # What was copied is not read from the source again: there it is other bytes by now.
    before = file.stat()
    with file.open("r+b") as stream:
        stream.seek(second - 4096)
        stream.write(bytes(4096))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert brought(cloister, file) == "large"
    assert file_digest(models(cloister) / "large.gguf") == digest
    assert cloister.call("model", "rm", "large").returncode == 0


def test_a_disk_without_room_is_refused_before_the_copy(
    cloister: Cloister, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tiny_gguf(disk / "wide.gguf", CONTEXT, seed=5)
    monkeypatch.setitem(cloister.environment, "CLOISTER_DISK_MINIMUM_MIB", str(10**9))
    assert "are free. Free" in refused(cloister, disk / "wide.gguf")
    assert not quarantine(cloister, "wide").exists()


def test_a_disk_that_fills_up_is_said_and_the_copy_waits(cloister: Cloister, disk: Path) -> None:
    file = disk / "long.gguf"
    write_tiny_gguf(file, Shape(1024, 2816, 3, 8, 4096, 4096, quantised=True), seed=6)
    half = file.stat().st_size // 2
    done = subprocess.run(
        [str(CLOISTER), "model", "import", str(file)],
        env=cloister.environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (half, half)),
    )
    assert done.returncode == 1
    assert "takes no more" in done.stderr
    assert "the same command goes on" in done.stderr
    assert quarantine(cloister, "long").is_dir()
    assert "In quarantine: long (" in cloister.call("model", "list").stderr
    assert state_of(cloister, "long") is None
    assert brought(cloister, file) == "long"


def test_a_hostile_template_is_refused_deleted_and_recorded(cloister: Cloister, disk: Path) -> None:
    template = "{{" + "(" * 20_000 + "1" + ")" * 20_000 + "}}"
    digest = write_tiny_gguf(disk / "greedy.gguf", CONTEXT, template=template)
    told = refused(cloister, disk / "greedy.gguf")
    assert "chat template is refused" in told
    assert "the copy deleted" in told
    assert not quarantine(cloister, "greedy").exists()
    (event,) = events(cloister, "greedy")
    assert (event["event"], event["model_digest"]) == ("engine:model:refused", digest)
    assert event["reason"] == "GgufError"


def test_what_is_no_gguf_is_refused_before_the_copy(cloister: Cloister, disk: Path) -> None:
    (disk / "letter.gguf").write_bytes(b"Dear all, " * 1000)
    assert "does not begin with 'GGUF'" in refused(cloister, disk / "letter.gguf")
    assert not quarantine(cloister, "letter").exists()
    assert "mounted" in refused(cloister, disk / "away.gguf")


def test_a_file_that_crashes_llama_cpp_takes_nothing_with_it(
    cloister: Cloister, disk: Path
) -> None:
    file = disk / "crash.gguf"
    write_tiny_gguf(file, CONTEXT)
    raw = file.read_bytes()
    count = int.from_bytes(raw[16:24], "little") + 1
    # A value that only llama.cpp looks at, which then aborts; 64 bytes keep the alignment.
    entry = words("llama.rope.scaling.type", "s" * 21)
    file.write_bytes(raw[:16] + count.to_bytes(8, "little") + entry + raw[24:])
    told = refused(cloister, file)
    assert "crashes llama.cpp (its process was ended by SIGABRT while loading)" in told
    assert "the copy deleted" in told
    assert not quarantine(cloister, "crash").exists()
    assert [event["reason"] for event in events(cloister, "crash")] == ["RefusedError"]
    assert ask(cloister, "demo").status_code == 200


def test_a_template_that_fails_leaves_the_copy_for_another_try(
    cloister: Cloister, disk: Path
) -> None:
    template = "{{ raise_exception('never') }}"
    write_tiny_gguf(disk / "mute.gguf", CONTEXT, template=template)
    told = refused(cloister, disk / "mute.gguf")
    assert "--known" in told
    assert "the same command goes on" in told
    assert quarantine(cloister, "mute").is_dir()
    assert "shape" in refused(cloister, disk / "mute.gguf", "--known", "phi-2")
    done = cloister.call("model", "rm", "mute")
    assert (done.returncode, "an import of mute had left" in done.stdout) == (0, True)
    assert not quarantine(cloister, "mute").exists()


def test_a_split_model_comes_in_as_one_file(cloister: Cloister, disk: Path) -> None:
    digest = write_tiny_gguf(disk.parent / "joined.gguf", CONTEXT, seed=7)
    parts = split_gguf(disk.parent / "joined.gguf", disk, 6)
    last = parts[-1].rename(disk / "elsewhere")
    assert last.name in refused(cloister, parts[0]) or parts[-1].name in refused(cloister, disk)
    last.rename(parts[-1])
    assert brought(cloister, parts[1]) == "joined"
    assert file_digest(models(cloister) / "joined.gguf") == digest
    (event,) = events(cloister, "joined")
    assert event["files"] == [part.name for part in parts]


def test_weights_are_written_smaller_on_the_way(cloister: Cloister, disk: Path) -> None:
    file = disk / "wide-f32.gguf"
    write_tiny_gguf(file, CONTEXT, seed=8)
    assert brought(cloister, file, "--quantise", "Q8_0") == "wide-q8_0"
    weights = models(cloister) / "wide-q8_0.gguf"
    assert weights.stat().st_size < file.stat().st_size / 2
    (row,) = (one for one in cloister.json("model", "list") if one["name"] == "wide-q8_0")
    assert (row["quantisation"], row["sha256"]) == ("Q8_0", file_digest(weights))
    assert "quantised already (Q8_0)" in refused(
        cloister, weights, "--name", "smaller", "--quantise", "Q4_K_M"
    )


def test_a_file_that_is_changed_after_the_import_is_refused_at_activation(
    cloister: Cloister, disk: Path
) -> None:
    write_tiny_gguf(disk / "later.gguf", CONTEXT, seed=9)
    name = brought(cloister, disk / "later.gguf")
    weights = models(cloister) / "later.gguf"
    raw = bytearray(weights.read_bytes())
    raw[-1] ^= 1
    weights.write_bytes(raw)
    done = cloister.call("model", "activate", name, "--alias", "late")
    assert (done.returncode, "SHA-256" in done.stderr) == (1, True)
    assert "SHA-256" in (cloister.state / "var/log/cloister/engine.log").read_text()
    assert cloister.call("model", "rm", name).returncode == 0


def test_a_model_is_removed_once_no_alias_needs_it(cloister: Cloister, disk: Path) -> None:
    digest = write_tiny_gguf(disk / "old.gguf", CONTEXT, seed=10)
    name = brought(cloister, disk / "old.gguf")
    cloister.json("model", "activate", name, "--alias", "counter")
    held = cloister.call("model", "rm", name)
    assert held.returncode == 1
    assert "counter points at 'old'" in held.stderr
    assert ask(cloister, "counter").status_code == 200
    cloister.json("model", "activate", "demo", "--alias", "counter")
    # As an import leaves it that is killed at its very end.
    quarantine(cloister, name).mkdir()
    os.link(models(cloister) / "old.gguf", quarantine(cloister, name) / "old.gguf")
    done = cloister.call("model", "rm", name)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "Removed old (0.6 MB).\n"
    assert "no way back to it any more for: counter" in done.stderr
    assert not list(models(cloister).glob("old.*"))
    assert not quarantine(cloister, name).exists()
    assert ask(cloister, name).json()["error"]["code"] == "model_not_found"
    assert [(one["event"], one["model_digest"]) for one in events(cloister, name)] == [
        ("engine:model:imported", digest),
        ("engine:model:removed", digest),
    ]
    gone = cloister.call("model", "rm", name)
    assert (gone.returncode, "no model 'old'" in gone.stderr) == (1, True)
