"""Out of quarantine and into the models folder: all of it or nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from appliance.catalogue.folder import read_catalogue
from appliance.catalogue.manifest import ModelManifest
from appliance.importing.errors import CopyError, NameTakenError, QuarantineError, SourceError
from appliance.importing.naming import check_name, name_for
from appliance.importing.publishing import check_free, check_one_disk, publish, withdraw

MANIFEST = ModelManifest(
    name="new",
    title="New",
    family="llama",
    parameters=1,
    licence="MIT",
    file="new.gguf",
    sha256="0" * 64,
    quantisation="Q8_0",
    context=512,
    held=True,
)


@pytest.fixture
def models(tmp_path: Path) -> Path:
    (tmp_path / "models").mkdir()
    return tmp_path / "models"


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    (tmp_path / "new.gguf").write_bytes(b"weights")
    return tmp_path / "new.gguf"


def test_weights_and_manifest_appear_and_take_no_second_room(models: Path, weights: Path) -> None:
    publish(MANIFEST, weights, models, "Why.")
    assert read_catalogue(models).manifests == {"new": MANIFEST}
    assert (models / "new.gguf").samefile(weights)
    assert sorted(os.listdir(models)) == ["new.gguf", "new.toml"]
    assert (models / "new.toml").read_text().startswith("# Why.\n")


def test_an_import_that_was_cut_off_between_weights_and_manifest_is_finished(
    models: Path, weights: Path
) -> None:
    os.link(weights, models / "new.gguf")
    publish(MANIFEST, weights, models, "")
    assert read_catalogue(models).manifests == {"new": MANIFEST}


def test_nothing_is_written_over(models: Path, weights: Path) -> None:
    (models / "new.gguf").write_bytes(b"somebody's own")
    with pytest.raises(NameTakenError, match=r"new\.gguf is there already"):
        publish(MANIFEST, weights, models, "")
    assert (models / "new.gguf").read_bytes() == b"somebody's own"
    (models / "new.toml").write_text("")
    with pytest.raises(NameTakenError, match="cloister model rm new"):
        check_free("new", models, weights)


def test_where_the_manifest_can_not_be_written_no_weights_stay(models: Path, weights: Path) -> None:
    (models / ".new.toml.new").mkdir()  # in the way of the manifest
    with pytest.raises(CopyError, match="takes no new model"):
        publish(MANIFEST, weights, models, "")
    assert not (models / "new.gguf").exists()
    assert weights.exists()


def test_two_disks_are_refused_before_anything_is_copied(models: Path) -> None:
    check_one_disk(models, models.parent)
    with pytest.raises(QuarantineError, match="another disk"):
        check_one_disk(models, Path("/proc"))


def test_a_removed_model_leaves_weights_that_another_one_uses(models: Path, weights: Path) -> None:
    publish(MANIFEST, weights, models, "")
    other = MANIFEST.model_copy(update={"name": "other"})
    assert not withdraw(MANIFEST, models, [other])
    assert os.listdir(models) == ["new.gguf"]
    (models / "other.toml").write_text("")
    assert withdraw(other, models, [])
    assert os.listdir(models) == []


@pytest.mark.parametrize(
    ("file", "quantisation", "name"),
    [
        ("Mistral-7B-Instruct-v0.2.Q4_K_M.gguf", None, "mistral-7b-instruct-v0.2.q4_k_m"),
        ("model-f16.gguf", "Q4_K_M", "model-q4_k_m"),
        ("Llama.BF16.GGUF", "Q8_0", "llama-q8_0"),
        ("__ Ein Modell (neu).gguf", None, "ein-modell-neu"),
        ("x" * 200 + ".gguf", None, "x" * 63),
        ("模型.gguf", None, ""),
    ],
)
def test_a_model_is_called_like_its_file(file: str, quantisation: str | None, name: str) -> None:
    assert name_for(file, quantisation) == name


@pytest.mark.parametrize("name", ["", "Big", "../up", ".hidden", "a b", "x" * 64, "a\n"])
def test_names_that_models_must_not_have(name: str) -> None:
    with pytest.raises(SourceError, match="--name"):
        check_name(name)
