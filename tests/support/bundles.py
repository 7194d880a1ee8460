"""Small bundles, keys, packages, wheels and a checkout, for the tests of bundles."""

from __future__ import annotations

import hashlib
import json
import subprocess
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from appliance.bundle.build.writing import Content, write
from appliance.bundle.manifest import FORMAT, FileEntry, Manifest, Requirements
from appliance.bundle.signing import IDENTITY, sign
from appliance.bundle.targets import this_host

LONG = "f/" + "long" * 40
FILES = {"a": b"first", "b/c": b"x" * 512, "b/d": b"y" * 700, "e": b"", LONG: b"z"}


class SilentTeller:
    """Notes down what it is told."""

    def __init__(self) -> None:
        self.bars: dict[str, tuple[int, int]] = {}

    @contextmanager
    def step(self, text: str) -> Iterator[None]:
        yield

    @contextmanager
    def bar(self, text: str, total: int) -> Iterator[Any]:
        self.bars[text] = (0, total)

        def more(count: int) -> None:
            self.bars[text] = (self.bars[text][0] + count, total)

        yield more


def ssh_key(path: Path, kind: str = "ed25519") -> Path:
    """A new SSH key without a passphrase."""
    command = ["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "test", "-f", str(path)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return path


def signers_file(path: Path, key: Path) -> Path:
    """A file that trusts one key."""
    path.write_text(f"{IDENTITY} {key.with_suffix('.pub').read_text()}")
    return path


def entry(path: str, data: bytes, *, held: bool = False) -> FileEntry:
    """A file of a manifest."""
    digest = hashlib.sha256(data).hexdigest()
    return FileEntry(path=path, size=len(data), mode="0644", sha256=digest, held=held)


def manifest_of(files: Mapping[str, bytes], /, **changes: Any) -> Manifest:  # noqa: ANN401 - any field
    """A manifest of files for this machine; anything in it can be given."""
    listed = [entry(path, data) for path, data in sorted(files.items())]
    requires = Requirements(counter=0, disk_mib=1, memory_mib=1, processor=[])
    fields = {
        "format": FORMAT,
        "name": "cloister",
        "version": "0.1.0",
        "counter": 100,
        "created": 1_795_392_000,
        "target": this_host(),
        "requires": requires,
        "base": None,
        "files": listed,
    }
    return Manifest.model_construct(**{**fields, **changes})


def raw_of(manifest: Manifest) -> bytes:
    """The bytes of a manifest, also of one that breaks the rules."""
    fields = manifest.model_dump(mode="json", warnings=False)
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def write_bundle(out: Path, manifest: Manifest, files: Mapping[str, bytes], key: Path) -> Path:
    """Write a bundle whose signature is right."""
    raw = raw_of(manifest)
    folder = out.parent / f"{out.name}.inputs"
    folder.mkdir(exist_ok=True)
    sources = {}
    for number, (path, data) in enumerate(sorted(files.items())):
        sources[path] = folder / str(number)
        sources[path].write_bytes(data)
    content = Content(manifest, raw, sign(raw, key), sources)
    write(content, out, 0, SilentTeller())
    return out


def deb(folder: Path, name: str, version: str = "1.0-1", depends: str = "") -> Path:
    """A Debian package with one file."""
    tree = folder / f"tree-{name}"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "usr/share/doc" / name).mkdir(parents=True)
    (tree / "usr/share/doc" / name / "copyright").write_text(f"{name}: Apache-2.0\n")
    fields = {
        "Package": name,
        "Version": version,
        "Architecture": "all",
        "Maintainer": "Cloister <cloister@example.org>",
        "Description": f"{name} of a test",
        **({"Depends": depends} if depends else {}),
    }
    control = "".join(f"{field}: {value}\n" for field, value in fields.items())
    (tree / "DEBIAN/control").write_text(control)
    file = folder / f"{name}_{version.replace(':', '%3a')}_all.deb"
    command = ["dpkg-deb", "--root-owner-group", "-Znone", "--build", str(tree), str(file)]
    subprocess.run(command, check=True, capture_output=True)
    return file


def wheel(
    folder: Path, name: str, version: str, tag: str = "py3-none-any", extra: str = "data"
) -> Path:
    """A wheel with one file beside its metadata."""
    stem = f"{name.replace('-', '_')}-{version}"
    file = folder / f"{stem}-{tag}.whl"
    metadata = f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\nLicense-Expression: MIT\n"
    with zipfile.ZipFile(file, "w") as opened:
        opened.writestr(zipfile.ZipInfo(f"{stem}.dist-info/METADATA"), metadata)
        opened.writestr(zipfile.ZipInfo(f"llama_cpp/lib/{extra}"), "x")
    return file
