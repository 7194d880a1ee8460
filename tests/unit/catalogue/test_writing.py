"""A manifest that is written can be read, and says the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.catalogue.errors import ManifestExistsError
from appliance.catalogue.known.library import known_models
from appliance.catalogue.manifest import ModelManifest, read_manifest
from appliance.catalogue.writing import manifest_text, write_manifest

PLAIN = {
    "name": "new",
    "title": "A model",
    "family": "llama",
    "parameters": 7_241_732_096,
    "licence": "MIT",
    "file": "new.gguf",
    "sha256": "0" * 64,
    "quantisation": "Q4_K_M",
    "context": 8192,
}
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)


def manifest(**changes: object) -> ModelManifest:
    return ModelManifest.model_validate({**PLAIN, **changes})


@pytest.mark.parametrize(
    "known", [known for known in known_models() if known.format], ids=lambda known: known.name
)
def test_every_known_template_survives(tmp_path: Path, known: object) -> None:
    form = known.format  # type: ignore[attr-defined]
    infill = known.infill  # type: ignore[attr-defined]
    written = manifest(template={"chat": form.chat}, stop=form.stop, infill=infill)
    assert read_manifest(write_manifest(written, tmp_path)) == written


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(title=TEXTS, stop=st.lists(TEXTS, max_size=3), chat=TEXTS)
def test_any_text_survives(tmp_path: Path, title: str, stop: list[str], chat: str) -> None:
    written = manifest(title=title, stop=stop, template={"chat": chat})
    path = tmp_path / "new.toml"
    path.unlink(missing_ok=True)
    write_manifest(written, tmp_path)
    assert read_manifest(path) == written


def test_a_template_is_written_so_that_people_can_read_it() -> None:
    text = manifest_text(manifest(template={"chat": "{{ 'a' }}\n{{ '\\n' }}\n"}), "Two\nlines")
    assert text.startswith("# Two\n# lines\nname = ")
    assert "chat = '''\n{{ 'a' }}\n{{ '\\n' }}\n'''" in text
    assert "parameters = 7_241_732_096" in text


def test_nothing_is_written_over(tmp_path: Path) -> None:
    write_manifest(manifest(), tmp_path)
    before = (tmp_path / "new.toml").read_text()
    with pytest.raises(ManifestExistsError, match="'new' already"):
        write_manifest(manifest(title="Another"), tmp_path)
    assert (tmp_path / "new.toml").read_text() == before
