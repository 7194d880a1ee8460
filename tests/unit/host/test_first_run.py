from __future__ import annotations

import stat
import tomllib
from pathlib import Path

import pytest

from appliance.catalogue.folder import read_catalogue
from appliance.host.errors import ModelFileError, PermissionsError
from appliance.host.first_run import (
    fill_tree,
    install_models,
    make_demo_officers,
    make_tree,
    settings_file,
)
from appliance.settings import Settings
from audit.age import Identity
from audit.officers import GROUPS, load_officers
from tests.support.cloister import tiny_model_tree
from tests.support.tiny_gguf import write_manifest


def test_every_folder_of_a_new_tree_is_closed_to_others(tmp_path: Path) -> None:
    settings = Settings(state=tmp_path / "var")
    make_tree(settings)
    inside = [path for path in settings.root.rglob("*") if path.is_dir()]
    folders = [settings.root, settings.run, *inside]
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in folders} == {0o700}
    assert {settings.web, settings.audit, settings.models, settings.run} <= set(folders)


def test_folders_above_the_tree_keep_the_usual_mode(tmp_path: Path) -> None:
    make_tree(Settings(state=tmp_path / "above/var"))
    assert stat.S_IMODE((tmp_path / "above").stat().st_mode) & 0o055


def test_a_tree_that_can_not_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PermissionsError, match="CLOISTER_STATE"):
        make_tree(Settings(state=tmp_path / "file/var"))


def test_the_settings_file_names_every_setting_and_sets_none() -> None:
    text = settings_file()
    assert tomllib.loads(text) == {}
    for name, field in Settings.model_fields.items():
        assert name == "state" or f"# {field.description}\n# {name} = " in text


def test_each_line_of_the_settings_file_is_a_valid_setting_with_its_default(tmp_path: Path) -> None:
    settings = Settings(state=tmp_path)
    settings.etc.mkdir(parents=True)
    lines = [line[2:] for line in settings_file().splitlines() if " = " in line]
    (settings.etc / "appliance.toml").write_text("\n".join(lines))
    assert Settings(state=tmp_path) == settings


def test_demo_officers_have_a_key_each_that_is_theirs(tmp_path: Path) -> None:
    make_demo_officers(tmp_path / "officers", tmp_path / "officers.json")
    officers = load_officers(tmp_path / "officers.json")
    for group in GROUPS:
        file = tmp_path / f"officers/{group}.key"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert officers.recipients(group) == [
            Identity.parse(file.read_text().splitlines()[-1]).recipient
        ]
    assert officers.recipients(GROUPS[0]) != officers.recipients(GROUPS[1])


def test_a_second_run_changes_nothing(tmp_path: Path) -> None:
    settings = Settings(state=tmp_path / "var")
    make_tree(settings)
    tiny_model_tree(settings.root)
    said: list[str] = []
    fill_tree(settings, said.append)
    before = {path: path.stat().st_mtime_ns for path in settings.root.rglob("*") if path.is_file()}
    assert len(said) == 1
    assert "cloister-audit keygen" in said[0]
    make_tree(settings)
    fill_tree(settings, said.append)
    after = {path: path.stat().st_mtime_ns for path in settings.root.rglob("*") if path.is_file()}
    assert (before, 1) == (after, len(said))


def test_a_model_is_installed_with_its_manifest(tmp_path: Path) -> None:
    tiny_model_tree(tmp_path / "source")
    source, models = tmp_path / "source/srv/cloister/models", tmp_path / "models"
    models.mkdir()
    install_models(source, models)
    assert read_catalogue(models) == read_catalogue(source)
    assert (models / "demo.gguf").read_bytes() == (source / "demo.gguf").read_bytes()


def test_a_demo_model_without_its_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    write_manifest(tmp_path, "demo", "0" * 64)
    (tmp_path / "models").mkdir()
    with pytest.raises(ModelFileError, match=r"demo\.gguf is missing"):
        install_models(tmp_path, tmp_path / "models")
    assert list((tmp_path / "models").glob("*.toml")) == []


def test_a_folder_without_a_demo_model_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="can not be installed"):
        install_models(tmp_path, tmp_path)
