"""A manifest is right in every field, or it is refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.catalogue.digest import check_digest, file_digest
from appliance.catalogue.errors import ManifestError, ModelDigestError, ModelFileMissingError
from appliance.catalogue.folder import read_catalogue
from appliance.catalogue.manifest import MANIFEST_BYTES, read_manifest
from tests.support.tiny_gguf import write_manifest

DIGEST = "0" * 64


def test_a_good_manifest_is_read(tmp_path: Path) -> None:
    manifest = read_manifest(write_manifest(tmp_path, "small", DIGEST))
    assert manifest.name == "small"
    assert manifest.stop == ("<|im_end|>",)
    assert manifest.capabilities == ("chat", "complete")
    assert manifest.weights(tmp_path) == tmp_path / "small.gguf"


def test_a_template_of_its_own_is_read(tmp_path: Path) -> None:
    path = write_manifest(tmp_path, "small", DIGEST)
    path.write_text(path.read_text() + '[template]\nchat = "{{ messages }}"\n')
    template = read_manifest(path).template
    assert template is not None
    assert template.chat == "{{ messages }}"


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"sha256": "short"}, "sha256"),
        ({"context": 0}, "context"),
        ({"parameters": -1}, "parameters"),
        ({"name": "Bad Name"}, "name"),
        ({"name": "other"}, "other"),
        ({"file": "../outside.gguf"}, r"\.\."),
        ({"file": "/etc/passwd"}, "inside the models"),
        ({"colour": "red"}, "colour"),
        ({"title": ""}, "title"),
    ],
)
def test_a_wrong_field_is_named(tmp_path: Path, changes: dict[str, str | int], named: str) -> None:
    path = write_manifest(tmp_path, "small", DIGEST)
    lines = path.read_text().splitlines()
    for key, value in changes.items():
        lines = [line for line in lines if not line.startswith(f"{key} =")]
        lines.insert(0, f"{key} = {value}" if isinstance(value, int) else f'{key} = "{value}"')
    path.write_text("\n".join(lines))
    with pytest.raises(ManifestError, match=named) as caught:
        read_manifest(path)
    assert "small" in str(caught.value)


@pytest.mark.parametrize(
    "content", [b"", b"name = ", b"\xff\xfe", b"x = 1", b"#" * (MANIFEST_BYTES + 1)]
)
def test_what_is_no_manifest_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "small.toml"
    path.write_bytes(content)
    with pytest.raises(ManifestError, match=r"small\.toml"):
        read_manifest(path)


def test_a_missing_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="can not be read"):
        read_manifest(tmp_path / "none.toml")


def test_one_bad_manifest_does_not_hide_the_others(tmp_path: Path) -> None:
    write_manifest(tmp_path, "good", DIGEST)
    (tmp_path / "bad.toml").write_text("name = 1")
    found = read_catalogue(tmp_path)
    assert list(found.manifests) == ["good"]
    assert list(found.faults) == ["bad"]


def test_an_empty_folder_has_no_models(tmp_path: Path) -> None:
    assert read_catalogue(tmp_path / "nothing").manifests == {}


def test_the_right_bytes_pass(tmp_path: Path) -> None:
    weights = tmp_path / "small.gguf"
    weights.write_bytes(b"weights")
    manifest = read_manifest(write_manifest(tmp_path, "small", file_digest(weights)))
    check_digest(manifest, tmp_path)


def test_one_changed_bit_is_a_named_error(tmp_path: Path) -> None:
    weights = tmp_path / "small.gguf"
    weights.write_bytes(b"weights")
    manifest = read_manifest(write_manifest(tmp_path, "small", file_digest(weights)))
    weights.write_bytes(b"weightr")
    with pytest.raises(ModelDigestError, match="changed or damaged"):
        check_digest(manifest, tmp_path)


def test_a_missing_weights_file_is_a_named_error(tmp_path: Path) -> None:
    manifest = read_manifest(write_manifest(tmp_path, "small", DIGEST))
    with pytest.raises(ModelFileMissingError, match=r"small\.gguf"):
        check_digest(manifest, tmp_path)
