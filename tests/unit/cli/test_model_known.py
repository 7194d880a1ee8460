"""From a file that somebody copied in to a manifest, without a specialist."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from appliance.catalogue.digest import check_digest
from appliance.catalogue.errors import CatalogueError
from appliance.catalogue.known.library import known_model, known_models
from appliance.catalogue.manifest import read_manifest
from appliance.cli.main import cli
from tests.support.known_gguf import write_known_gguf
from tests.support.tiny_bert import BertShape, write_tiny_bert
from tests.support.tiny_gguf import write_tiny_gguf
from tests.support.tiny_t5 import T5Shape, write_tiny_t5

MISTRAL = {"general.name": "Mistral 7B Instruct v0.2"}


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The models folder of a state tree that nothing runs on."""
    monkeypatch.setenv("CLOISTER_STATE", str(tmp_path / "var"))
    folder = tmp_path / "var/srv/cloister/models"
    folder.mkdir(parents=True)
    return folder


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["model", *map(str, arguments)], standalone_mode=False)


def told(*arguments: str | Path) -> str:
    done = call(*arguments)
    assert done.exception is None, done.exception
    return done.output


def refused(*arguments: str | Path) -> str:
    done = call(*arguments)
    assert isinstance(done.exception, CatalogueError | click.ClickException)
    return str(done.exception)


def test_the_list_shows_every_known_model_with_its_sizes() -> None:
    text = told("known")
    for model in known_models():
        assert re.search(rf"^{re.escape(model.name)} +\S", text, re.MULTILINE)
    assert re.search(
        r"^mistral-7b-instruct-v0\.2 +7\.2 B +Apache-2\.0 +32768 .*4\.4 GB +7\.7 GB", text, re.M
    )
    assert "Q4_K_M" in text


def test_the_list_is_json_for_programs() -> None:
    listed = json.loads(told("known", "--json"))
    assert [model["name"] for model in listed] == [model.name for model in known_models()]
    assert listed == [json.loads(told("known", listed[0]["name"], "--json")), *listed[1:]]


def test_the_details_show_what_the_model_reads() -> None:
    text = told("known", "llama-2-13b-chat")
    assert "https://ai.meta.com/llama/license/" in text
    assert "  <s>[INST] <<SYS>>\n  Answer in one word.\n  <</SYS>>\n" in text
    assert text.rstrip().endswith("And grass? [/INST]")


def test_a_model_without_a_prompt_format_shows_none() -> None:
    text = told("known", "t5-small")
    assert "reads, for an example" not in text
    assert "summarize" in text


def test_an_unknown_name_is_an_error_that_helps() -> None:
    assert "smollm2-135m-instruct" in refused("known", "smollm")


def test_a_known_file_is_described_and_the_next_step_is_named(tmp_path: Path, models: Path) -> None:
    path = tmp_path / "download.gguf"
    write_known_gguf(path, known_model("mistral-7b-instruct-v0.2"), MISTRAL)
    text = told("describe", path)
    assert "Mistral 7B Instruct v0.2 (mistral-7b-instruct-v0.2)" in text
    assert "Q4_K_M" in text
    assert "tokenizer V1" in text
    assert f"cloister model import {path}" in text


def test_a_fine_tune_names_the_models_of_its_shape_and_keeps_its_own_template(
    models: Path,
) -> None:
    path = models / "hermes.gguf"
    changes = {"general.name": "Hermes", "tokenizer.chat_template": "{{ messages[-1].content }}"}
    write_known_gguf(path, known_model("mistral-7b-v0.1"), changes)
    facts = json.loads(told("describe", path, "--json"))
    assert facts["is"] == "no model that Cloister knows"
    assert "mistral-7b-instruct-v0.2" in facts["has_the_shape_of"]
    assert facts["template"] == "the file's own"
    assert facts["parameters"] == 32
    assert facts["capabilities"] == ["chat", "complete"]


def test_a_template_that_fails_is_told_before_anyone_asks(models: Path) -> None:
    path = models / "odd.gguf"
    write_tiny_gguf(path, template="{{ ''.__class__.__mro__ }}")
    assert "fails on an example" in told("describe", path)


def test_the_manifest_of_a_known_model_is_written_whole(models: Path) -> None:
    path = models / "download.gguf"
    model = known_model("mistral-7b-instruct-v0.2")
    write_known_gguf(path, model, MISTRAL)
    text = told("describe", path, "--write", "letters")
    assert "cloister model list" in text
    assert "cloister model activate letters --alias" in text
    manifest = read_manifest(models / "letters.toml")
    check_digest(manifest, models)
    assert manifest.title == "Mistral 7B Instruct v0.2"
    assert manifest.licence == "Apache-2.0"
    assert manifest.quantisation == "Q4_K_M"
    assert manifest.context == 8192
    assert manifest.capabilities == model.capabilities
    assert model.format is not None
    assert manifest.stop == model.format.stop
    assert manifest.template is not None
    assert manifest.template.chat == model.format.chat
    assert "trained for 32768 tokens" in (models / "letters.toml").read_text()


def test_the_manifest_of_code_llama_names_its_infill_tokens(models: Path) -> None:
    path = models / "code.gguf"
    write_known_gguf(path, known_model("codellama-7b"), {"general.name": "CodeLlama 7b Hf"})
    told("describe", path, "--write", "code")
    manifest = read_manifest(models / "code.toml")
    assert manifest.infill == known_model("codellama-7b").infill
    assert manifest.template is None
    assert manifest.capabilities == ("complete", "infill")


def test_an_unknown_model_gets_a_manifest_from_what_its_file_says(models: Path) -> None:
    (models / "sub").mkdir()
    path = models / "sub/tiny.gguf"
    write_tiny_gguf(path, more=lambda writer: writer.add_license("bsd-3-clause"))
    told("describe", path, "--write", "own")
    manifest = read_manifest(models / "own.toml")
    check_digest(manifest, models)
    assert manifest.file == "sub/tiny.gguf"
    assert manifest.licence == "bsd-3-clause"
    assert manifest.context == 512
    assert manifest.template is None
    assert "from what the file says of itself" in (models / "own.toml").read_text()


def test_nothing_is_written_over(models: Path) -> None:
    path = models / "tiny.gguf"
    write_tiny_gguf(path)
    told("describe", path, "--write", "own")
    before = (models / "own.toml").read_bytes()
    assert "'own' already" in refused("describe", path, "--write", "own")
    assert (models / "own.toml").read_bytes() == before


def test_a_file_outside_the_models_folder_gets_no_manifest(tmp_path: Path, models: Path) -> None:
    path = tmp_path / "tiny.gguf"
    write_tiny_gguf(path)
    assert f"cloister model import {path}" in refused("describe", path, "--write", "own")
    assert list(models.iterdir()) == []


@pytest.mark.parametrize("name", ["Big", "../up", "", "a b", "x" * 64])
def test_a_name_that_no_model_may_have_is_refused_at_once(models: Path, name: str) -> None:
    path = models / "tiny.gguf"
    write_tiny_gguf(path)
    assert "small letters" in refused("describe", path, "--write", name)


def test_a_part_of_a_split_model_is_told_how_to_be_joined(models: Path) -> None:
    path = models / "big-00001-of-00003.gguf"
    write_known_gguf(path, known_model("mistral-7b-v0.1"), {"split.count": 3})
    assert "one of 3 parts" in refused("describe", path, "--write", "big")


@pytest.mark.parametrize(
    ("shape", "capabilities"),
    [
        (BertShape(), ["embed", "classify"]),
        (BertShape(labels=()), ["embed"]),
        (BertShape(labels=("only",)), ["embed"]),
        (BertShape(pooler=False), ["embed"]),
    ],
)
def test_an_encoders_manifest_says_what_its_file_can(
    models: Path, shape: BertShape, capabilities: list[str]
) -> None:
    path = models / "bert.gguf"
    write_tiny_bert(path, shape)
    assert ", ".join(capabilities) in told("describe", path, "--write", "sorter")
    text = (models / "sorter.toml").read_text()
    assert tomllib.loads(text)["capabilities"] == capabilities
    assert ("lacks the pooler" in text) == (not shape.pooler)


def test_a_known_encoder_without_a_head_only_embeds(models: Path) -> None:
    path = models / "distilbert-base-uncased.gguf"
    write_known_gguf(path, known_model("distilbert"), {})
    told("describe", path, "--write", "finder")
    manifest = tomllib.loads((models / "finder.toml").read_text())
    assert manifest["capabilities"] == ["embed"]
    assert manifest["title"] == "DistilBERT base uncased"


def test_a_t5_can_complete_and_not_chat(models: Path) -> None:
    path = models / "flan.gguf"
    write_tiny_t5(path, T5Shape(gated=True))
    told("describe", path, "--write", "flan")
    manifest = tomllib.loads((models / "flan.toml").read_text())
    assert (manifest["capabilities"], manifest["context"]) == (["complete"], 128)


def test_an_architecture_that_is_not_run_gets_no_manifest(models: Path) -> None:
    path = models / "half.gguf"
    write_known_gguf(path, known_model("t5-small"), {"general.architecture": "t5encoder"})
    assert "does not run yet" in refused("describe", path, "--write", "half")


def test_a_file_whose_name_is_no_text_gets_no_manifest(models: Path) -> None:
    path = models / "tiny\udcff.gguf"
    write_tiny_gguf(path)
    assert "plain name" in refused("describe", path, "--write", "own")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"GGUF\x03\x00\x00\x00"])
def test_what_is_no_gguf_is_refused_by_name(models: Path, content: bytes) -> None:
    path = models / "odd.gguf"
    path.write_bytes(content)
    assert "odd.gguf" in refused("describe", path)


def test_what_a_file_says_of_itself_can_not_play_with_the_terminal(models: Path) -> None:
    path = models / "evil.gguf"
    hostile = {
        "general.name": "\x1b[2JMistral\u202e\n7B",
        "general.license": "MIT\x1b]0;x\x07",
    }
    write_known_gguf(path, known_model("mistral-7b-v0.1"), hostile)
    text = told("describe", path, "--write", "evil")
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f\u202e]", text)
    assert tomllib.loads((models / "evil.toml").read_text())["title"] == "[2JMistral7B"
