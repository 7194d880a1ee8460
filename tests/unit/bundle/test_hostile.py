"""Everything that a medium can do to a bundle is refused before anything is written."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.bundle.errors import (
    BundleError,
    ContentError,
    CounterError,
    HeldError,
    LengthError,
    ManifestError,
    RequirementError,
    SignatureError,
    TargetError,
    UnreadableError,
)
from appliance.bundle.frame import BLOCK, header
from appliance.bundle.installed import read_installed
from appliance.bundle.limits import LIMITS
from appliance.bundle.manifest import Base, FileEntry, Requirements
from appliance.bundle.signing import sign
from appliance.bundle.unpack import unpack
from appliance.bundle.verify import opened, read_all
from tests.support.bundles import (
    FILES,
    SilentTeller,
    entry,
    manifest_of,
    raw_of,
    signers_file,
    ssh_key,
    write_bundle,
)

CREATED = 1_795_392_000


def refused(bundle: Path, signers: Path, kind: type[BundleError], **how: Any) -> str:  # noqa: ANN401 - passed on
    """The bundle is refused for the right reason, and nothing of it is anywhere."""
    folder = bundle.parent / "new"
    before = sorted(bundle.parent.iterdir())
    with pytest.raises(kind) as caught:
        unpack(bundle, signers, folder, how.get("installed"), how.get("target"), SilentTeller())
    assert type(caught.value) is kind
    assert sorted(bundle.parent.iterdir()) == before
    return str(caught.value)


def regions(bundle: Path) -> dict[str, range]:
    """Every class of bytes that a bundle has, by name."""
    with opened(bundle, None) as found:
        sizes = {"manifest": len(found.raw), "signature": len(found.signature)}
        sizes |= {one.path: one.size for one in found.manifest.carried}
    at, classes = 0, {}
    for name, size in sizes.items():
        start = at + (3 * BLOCK if len(name) > 100 else BLOCK)
        end = start + size + -size % BLOCK
        classes[f"{name}: header"] = range(at, start)
        classes[f"{name}: content"] = range(start, start + size)
        classes[f"{name}: padding"] = range(start + size, end)
        at = end
    classes["end"] = range(at, at + 2 * BLOCK)
    assert at + 2 * BLOCK == bundle.stat().st_size
    return {name: places for name, places in classes.items() if len(places)}


def is_good(bundle: Path, signers: Path) -> bool:
    """Whether every byte is found to be right."""
    try:
        with opened(bundle, signers) as found:
            read_all(found, SilentTeller(), "reading")
    except BundleError:
        return False
    return True


def sample(places: range) -> Iterator[int]:
    """First, last, and some in between."""
    yield from {*places[:: max(1, len(places) // 24)], places[-1]}


def test_a_good_bundle_is_unpacked_with_its_files_and_modes(bundle: Path, signers: Path) -> None:
    folder = bundle.parent / "new"
    unpack(bundle, signers, folder, None, None, SilentTeller())
    found = {path: (folder / path).read_bytes() for path in FILES}
    assert found == FILES
    assert read_installed(folder).manifest.counter == 100
    assert {path.name for path in bundle.parent.iterdir()} == {
        "good.tar",
        "good.tar.inputs",
        "new",
    }


def test_no_byte_of_any_kind_can_be_another(bundle: Path, signers: Path) -> None:
    good = bundle.read_bytes()
    assert is_good(bundle, signers)
    for name, places in regions(bundle).items():
        for place in sample(places):
            bad = bytearray(good)
            bad[place] ^= 0x01 if place % 2 else 0x80
            bundle.write_bytes(bad)
            assert not is_good(bundle, signers), f"{name}: byte {place}"


@pytest.mark.parametrize("left", [0, 1, 511, 512, 513, 2000, 4096, -513, -512, -1])
def test_a_truncated_bundle_is_refused(bundle: Path, signers: Path, left: int) -> None:
    whole = bundle.read_bytes()
    bundle.write_bytes(whole[:left])
    assert "again" in refused(bundle, signers, LengthError)


def test_bytes_behind_the_end_are_refused(bundle: Path, signers: Path) -> None:
    with bundle.open("ab") as file:
        file.write(b"#!/bin/sh\n")
    assert "10 bytes more" in refused(bundle, signers, LengthError)


def test_two_files_can_not_change_places(tmp_path: Path, key: Path, signers: Path) -> None:
    files = {"one": b"1" * 600, "two": b"2" * 600}
    bundle = write_bundle(tmp_path / "b.tar", manifest_of(files), files, key)
    whole, places = bundle.read_bytes(), regions(bundle)
    one, two = places["one: content"], places["two: content"]
    swapped = bytearray(whole)
    swapped[one.start : one.stop] = whole[two.start : two.stop]
    swapped[two.start : two.stop] = whole[one.start : one.stop]
    bundle.write_bytes(swapped)
    assert "one" in refused(bundle, signers, ContentError)


def test_an_older_release_is_refused(tmp_path: Path, key: Path, signers: Path) -> None:
    newer = write_bundle(tmp_path / "n.tar", manifest_of(FILES, counter=101), FILES, key)
    running = tmp_path / "running"
    unpack(newer, signers, running, None, None, SilentTeller())
    older = write_bundle(tmp_path / "o.tar", manifest_of(FILES, counter=100), FILES, key)
    told = refused(older, signers, CounterError, installed=read_installed(running))
    assert "100" in told
    assert "101" in told


def test_a_release_that_needs_one_in_between_is_refused(
    tmp_path: Path, key: Path, signers: Path
) -> None:
    needs = Requirements(counter=90, disk_mib=1, memory_mib=1, processor=[])
    bundle = write_bundle(tmp_path / "b.tar", manifest_of(FILES, requires=needs), FILES, key)
    assert "90" in refused(bundle, signers, CounterError)


def test_another_system_or_processor_is_refused(tmp_path: Path, key: Path, signers: Path) -> None:
    other = write_bundle(
        tmp_path / "b.tar", manifest_of(FILES, target="debian13-arm64"), FILES, key
    )
    assert "debian13-arm64" in refused(other, signers, TargetError, target="debian13-amd64")


@pytest.mark.parametrize(
    ("needs", "words"),
    [
        ({"processor": ["warp_drive"]}, "warp_drive"),
        ({"memory_mib": 2**40}, "memory"),
        ({"disk_mib": 2**40}, "disk"),
    ],
)
def test_a_machine_that_lacks_something_is_told_what(
    tmp_path: Path, key: Path, signers: Path, needs: dict[str, Any], words: str
) -> None:
    plain = {"counter": 0, "disk_mib": 1, "memory_mib": 1, "processor": []}
    requires = Requirements.model_validate(plain | needs)
    bundle = write_bundle(tmp_path / "b.tar", manifest_of(FILES, requires=requires), FILES, key)
    assert words in refused(bundle, signers, RequirementError)


def test_a_key_that_nobody_trusts_is_refused(bundle: Path, tmp_path_factory: Any) -> None:  # noqa: ANN401 - pytest's
    other = ssh_key(tmp_path_factory.mktemp("other") / "other-key")
    trusted = signers_file(other.parent / "signers", other)
    assert "not signed with a key" in refused(bundle, trusted, SignatureError)


def test_no_trusted_keys_at_all_says_what_to_write_where(bundle: Path, tmp_path: Path) -> None:
    told = refused(bundle, tmp_path / "nowhere", SignatureError)
    assert "cloister-release ssh-ed25519" in told


def test_a_signature_for_something_else_is_refused(
    tmp_path: Path, key: Path, signers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.bundle.signing.NAMESPACE", "file")
    bundle = write_bundle(tmp_path / "b.tar", manifest_of(FILES), FILES, key)
    monkeypatch.undo()
    refused(bundle, signers, SignatureError)


def test_the_signature_of_another_bundle_is_refused(bundle: Path, key: Path, signers: Path) -> None:
    whole, places = bundle.read_bytes(), regions(bundle)
    where = places["signature: content"]
    other = sign(raw_of(manifest_of(FILES, counter=99)), key)
    assert len(other) == len(where)
    bundle.write_bytes(whole[: where.start] + other + whole[where.stop :])
    refused(bundle, signers, SignatureError)


@pytest.mark.parametrize(
    "path",
    [
        "../out",
        "b/../../out",
        "/etc/passwd",
        "./a",
        "b//a",
        "b/",
        ".ssh/authorized_keys",
        "-rf",
        "a b",
        "a\nb",
        "a\x00b",
        "é",
        "manifest.json",
        "manifest.json.sig",
    ],
)
def test_a_signed_manifest_with_a_wrong_path_is_refused(
    tmp_path: Path, key: Path, signers: Path, path: str
) -> None:
    """Also with a good signature: whoever signs may have been deceived."""
    bad = FileEntry.model_construct(**(entry("a", b"x").model_dump() | {"path": path}))
    bundle = head_only(tmp_path / "b.tar", raw_of(manifest_of({}, files=[bad])), key)
    assert "path" in refused(bundle, signers, ManifestError)


@pytest.mark.parametrize(
    "files",
    [
        [entry("a", b"x"), entry("a", b"x")],
        [entry("b", b"x"), entry("a", b"x")],
        [entry("a", b"x"), entry("a/b", b"x")],
        [],
        [entry("a", b"x", held=True)],
        [FileEntry.model_construct(**(entry("a", b"x").model_dump() | {"size": 2**62}))],
        [FileEntry.model_construct(**(entry("a", b"x").model_dump() | {"size": -1}))],
        [FileEntry.model_construct(**(entry("a", b"x").model_dump() | {"mode": "4755"}))],
        [
            FileEntry.model_construct(**(entry(f"f{n}", b"x").model_dump() | {"size": LIMITS.file}))
            for n in range(5)
        ],
    ],
    ids=[
        "twice",
        "order",
        "file-and-folder",
        "none",
        "held",
        "huge",
        "negative",
        "setuid",
        "total",
    ],
)
def test_a_signed_manifest_that_breaks_a_rule_is_refused(
    tmp_path: Path, key: Path, signers: Path, files: list[FileEntry]
) -> None:
    bundle = head_only(tmp_path / "b.tar", raw_of(manifest_of({}, files=files)), key)
    refused(bundle, signers, ManifestError)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"null",
        b"{}",
        b"[" * 100_000,
        b'{"format":"cloister-bundle/v2"}',
        b"\xff\xfe",
        b"1e999",
    ],
    ids=["empty", "null", "no fields", "nested", "another format", "no text", "number"],
)
def test_signed_nonsense_is_refused(tmp_path: Path, key: Path, signers: Path, raw: bytes) -> None:
    refused(head_only(tmp_path / "b.tar", raw, key), signers, ManifestError)


def test_a_manifest_has_one_spelling(tmp_path: Path, key: Path, signers: Path) -> None:
    raw = raw_of(manifest_of(FILES)).replace(b":", b": ")
    assert "canonical" in refused(head_only(tmp_path / "b.tar", raw, key), signers, ManifestError)


def head_only(out: Path, raw: bytes, key: Path) -> Path:
    """A bundle that ends behind its signature, which is right."""
    signature = sign(raw, key)
    parts = []
    for name, data in (("manifest.json", raw), ("manifest.json.sig", signature)):
        parts += [header(name, len(data), 0o644, CREATED), data, bytes(-len(data) % BLOCK)]
    out.write_bytes(b"".join(parts))
    return out


def retold(block: bytes, **changes: bytes) -> bytes:
    """A tar header with other fields and a right checksum."""
    places = {"name": 0, "mode": 100, "size": 124, "kind": 156, "target": 157}
    new = bytearray(block)
    for name, value in changes.items():
        new[places[name] : places[name] + len(value)] = value
    new[148:156] = b" " * 8
    new[148:156] = b"%06o\0 " % sum(new)
    return bytes(new)


@pytest.mark.parametrize(
    "changes",
    [
        {"name": b"../../etc/cron.d/x"},
        {"name": b"/etc/cron.d/x"},
        {"kind": b"2", "target": b"/etc/shadow"},
        {"kind": b"1", "target": b"/etc/shadow"},
        {"kind": b"3"},
        {"kind": b"L"},
        {"kind": b"x"},
        {"kind": b"S"},
        {"mode": b"0004755\0"},
        {"size": b"77777777777\0"},
    ],
    ids=[
        "up",
        "absolute",
        "symlink",
        "hard link",
        "device",
        "long name",
        "pax",
        "sparse",
        "setuid",
        "bomb",
    ],
)
def test_no_header_but_the_expected_one_is_read(
    bundle: Path, signers: Path, changes: dict[str, bytes]
) -> None:
    whole, where = bundle.read_bytes(), regions(bundle)["a: header"]
    block = retold(whole[where.start : where.stop], **changes)
    bundle.write_bytes(whole[: where.start] + block + whole[where.stop :])
    assert "header of a" in refused(bundle, signers, ContentError)


@pytest.mark.parametrize("name", ["manifest", "signature"])
@pytest.mark.parametrize("size", [b"77777777777\0", b"\x80" + b"\xff" * 11, b"-0000000001\0"])
def test_a_bomb_before_the_signature_is_not_even_read(
    bundle: Path, signers: Path, name: str, size: bytes
) -> None:
    whole, where = bundle.read_bytes(), regions(bundle)[f"{name}: header"]
    block = retold(whole[where.start : where.stop], size=size)
    bundle.write_bytes(whole[: where.start] + block + whole[where.stop :])
    refused(bundle, signers, UnreadableError)


@pytest.mark.parametrize("data", [b"", b"x" * 10_000, gzip.compress(bytes(10_000_000))])
def test_what_is_no_bundle_is_refused(tmp_path: Path, signers: Path, data: bytes) -> None:
    file = tmp_path / "b.tar"
    file.write_bytes(data)
    refused(file, signers, UnreadableError if data else LengthError)


def test_a_bundle_that_is_not_there_is_named(tmp_path: Path, signers: Path) -> None:
    assert "b.tar" in refused(tmp_path / "b.tar", signers, UnreadableError)


def test_a_delta_on_a_bare_host_or_another_release_is_refused(
    tmp_path: Path, key: Path, signers: Path
) -> None:
    base = Base(counter=90, manifest="0" * 64)
    listed = [entry("a", b"x", held=True), entry("b", b"y")]
    delta = manifest_of({}, base=base, files=listed)
    bundle = write_bundle(tmp_path / "d.tar", delta, {"b": b"y"}, key)
    assert "whole bundle" in refused(bundle, signers, HeldError)
    other = write_bundle(tmp_path / "o.tar", manifest_of(FILES, counter=90), FILES, key)
    unpack(other, signers, tmp_path / "running", None, None, SilentTeller())
    running = read_installed(tmp_path / "running")
    assert "another release" in refused(bundle, signers, HeldError, installed=running)
