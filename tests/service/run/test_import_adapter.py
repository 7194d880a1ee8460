"""An adapter comes in on a disk: checked against its base, tried out, listed, and activated."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from appliance.settings import Settings
from tests.support.cloister import Cloister
from tests.support.records import read_records
from tests.support.tiny_gguf import Shape
from tests.support.tiny_lora import lora_pairs, write_lora

BASE = "demo"


def models(cloister: Cloister) -> Path:
    return cloister.state / "srv/cloister/models"


def refused(cloister: Cloister, *arguments: str | Path) -> str:
    """What is said of an import that fails."""
    before = sorted(models(cloister).iterdir())
    done = cloister.call("model", "import", *map(str, arguments))
    assert done.returncode in {1, 2}, done.stdout
    assert "Traceback" not in done.stderr
    assert sorted(models(cloister).iterdir()) == before
    return " ".join(done.stderr.split())


def records(cloister: Cloister) -> list[dict[str, Any]]:
    return [dict(one.meta) for one in read_records(Settings(state=cloister.state))]


def ask(cloister: Cloister, model: str) -> httpx.Response:
    body = {"model": model, "messages": [{"role": "user", "content": "Hi"}], "temperature": 0}
    headers = {"Authorization": f"Bearer {cloister.key(f'for-{model}-{os.urandom(3).hex()}')}"}
    url = f"{cloister.url}/v1/chat/completions"
    return httpx.post(url, json={**body, "max_tokens": 12}, headers=headers, timeout=60)


def test_an_imported_adapter_is_listed_and_answers_by_alias_with_records_of_both_digests(
    cloister: Cloister, tmp_path: Path
) -> None:
    digest = write_lora(tmp_path / "Letters LoRA.gguf", seed=3)
    before = ask(cloister, BASE)
    done = cloister.call(
        "model", "import", str(tmp_path / "Letters LoRA.gguf"), "--base", BASE, "--name", "letters"
    )
    assert done.returncode == 0, done.stderr
    assert "an adapter of demo" in done.stdout
    (row,) = (one for one in cloister.json("model", "list") if one["name"] == "letters")
    assert (row["base"], row["state"], row["sha256"], row["held"]) == (
        BASE,
        "imported",
        digest,
        True,
    )
    assert not (cloister.state / "srv/cloister/quarantine/letters").exists()
    early = ask(cloister, "letters")
    assert (early.status_code, early.json()["error"]["code"]) == (404, "model_not_activated")

    cloister.json("model", "activate", "letters", "--alias", "desk")
    answer = ask(cloister, "desk")
    assert answer.status_code == 200, answer.text
    assert answer.headers["X-Model"] == "letters"
    assert answer.headers["X-Adapter-Digest"] == digest
    assert answer.headers["X-Model-Digest"] == before.headers["X-Model-Digest"]
    assert answer.json()["choices"] != before.json()["choices"]
    assert answer.json()["system_fingerprint"] != before.json()["system_fingerprint"]
    after = ask(cloister, BASE)
    assert after.json()["choices"] == before.json()["choices"]
    assert "X-Adapter-Digest" not in after.headers

    told = records(cloister)
    (imported,) = (one for one in told if one.get("event") == "engine:model:imported")
    assert (imported["model"], imported["base"]) == ("letters", BASE)
    (ended,) = (one for one in told if one.get("answered_by") == "letters")
    assert (ended["model"], ended["adapter_digest"]) == ("desk", digest)
    assert ended["model_digest"] == before.headers["X-Model-Digest"]
    shown = cloister.json("model", "show", "letters")
    assert shown["memory"]["fits"] == "loaded"
    assert [one["base"] for one in cloister.json("model", "ps")] == [None, BASE]

    kept = cloister.call("model", "rm", BASE)
    assert kept.returncode == 1
    assert "is the base of letters" in kept.stderr
    cloister.json("model", "activate", BASE, "--alias", "desk")
    assert cloister.call("model", "rm", "letters").returncode == 0
    assert ask(cloister, "letters").status_code == 404
    assert not (models(cloister) / "letters.gguf").exists()


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [("shape", "has the shape"), ("number", "no numbers"), ("overflow", "usable probabilities")],
)
def test_an_adapter_that_must_not_run_is_deleted_and_recorded(
    cloister: Cloister, tmp_path: Path, damage: str, complaint: str
) -> None:
    pairs = lora_pairs(Shape(width=128) if damage == "shape" else Shape(), 1)
    if damage == "number":
        pairs["blk.0.attn_q.weight"][1][0, 0] = np.inf
    if damage == "overflow":
        pairs = {name: (one, two * np.float32(1e30)) for name, (one, two) in pairs.items()}
    digest = write_lora(tmp_path / "bad.gguf", pairs)
    said = refused(cloister, tmp_path / "bad.gguf", "--base", BASE)
    assert complaint in said
    assert "It was refused, and the copy deleted." in said
    assert not (cloister.state / "srv/cloister/quarantine/bad").exists()
    (event,) = (one for one in records(cloister) if one.get("model_digest") == digest)
    assert event["event"] == "engine:model:refused"
    assert ask(cloister, BASE).status_code == 200


def test_what_is_no_adapter_in_gguf_is_told_what_to_do(cloister: Cloister, tmp_path: Path) -> None:
    peft = tmp_path / "peft"
    peft.mkdir()
    (peft / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA"}))
    assert "convert_lora_to_gguf.py --base" in refused(cloister, peft, "--base", BASE)
    write_lora(tmp_path / "lora.gguf")
    assert "--base MODEL" in refused(cloister, tmp_path / "lora.gguf")
    assert "'nobody' here" in refused(cloister, tmp_path / "lora.gguf", "--base", "nobody")
    said = refused(cloister, tmp_path / "lora.gguf", "--base", BASE, "--quantise", "Q8_0")
    assert "neither --known nor --quantise" in said
    model = models(cloister) / f"{BASE}.gguf"
    assert "is no adapter" in refused(cloister, model, "--base", BASE, "--name", "twice")
