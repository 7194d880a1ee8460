"""Everything that is installed is pinned by its hash, from no index in particular."""

from __future__ import annotations

import re
import tomllib

import pytest

from tests.repository.tree import ROOT

FOLDER = ROOT / "requirements"
PINNED = ["pip", "build", "runtime", "ansible", "llama", "dev", "transformers", "peers"]
_PIN = re.compile(r"^(?P<name>[a-z0-9._-]+)==(?P<version>[^ ;]+)", re.MULTILINE)


def _pins(name: str) -> dict[str, str]:
    found = _PIN.finditer((FOLDER / f"{name}.txt").read_text())
    return {pin["name"]: pin["version"] for pin in found}


def _asked(name: str) -> dict[str, str]:
    """Names and versions that an `.in` file asks for, with the reason beside each."""
    lines = (FOLDER / f"{name}.in").read_text().splitlines()
    wanted = [line for line in lines if line and not line.startswith(("#", "-"))]
    return {line.split("#")[0].strip(): line.partition("#")[2].strip() for line in wanted}


@pytest.mark.parametrize("name", PINNED)
def test_every_requirement_has_an_exact_version_and_hashes(name: str) -> None:
    text = (FOLDER / f"{name}.txt").read_text()
    entries = re.split(r"\n(?=[a-z])", re.sub(r"(?m)^ *#.*\n", "", text).strip())
    assert entries
    for entry in entries:
        assert _PIN.match(entry), entry
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry


@pytest.mark.parametrize("name", PINNED)
def test_no_index_is_named(name: str) -> None:
    for suffix in ("in", "txt"):
        text = (FOLDER / f"{name}.{suffix}").read_text()
        assert not re.search(r"https?://|--(extra-)?index|--find-links|--trusted", text)


@pytest.mark.parametrize("name", PINNED)
def test_what_is_asked_for_is_pinned_as_asked(name: str) -> None:
    pins = _pins(name)
    for wanted in _asked(name):
        package, _, version = wanted.partition("==")
        assert package in pins
        assert version in {"", pins[package]}


@pytest.mark.parametrize("name", ["build", "runtime", "ansible", "dev", "transformers", "peers"])
def test_every_wish_has_its_reason(name: str) -> None:
    assert [wanted for wanted, reason in _asked(name).items() if not reason] == []


def test_the_package_depends_on_what_is_pinned_for_running() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = {wanted.partition("==")[0] for wanted in (*_asked("runtime"), *_asked("llama"))}
    # llama_cpp's own dependency: pinned because it is installed without its dependencies.
    assert set(project["dependencies"]) == asked - {"diskcache"}


def test_tests_run_with_the_very_versions_of_a_running_appliance() -> None:
    runtime, dev = _pins("runtime"), _pins("dev")
    assert {name: dev[name] for name in runtime.keys() & dev} == {
        name: runtime[name] for name in runtime.keys() & dev
    }


def test_debian_packages_are_listed_once_each_in_order() -> None:
    listed: list[str] = []
    for name in ("debian-run.txt", "debian-test.txt"):
        lines = (FOLDER / name).read_text().splitlines()
        packages = [line for line in lines if line and not line.startswith("#")]
        assert packages == sorted(packages)
        listed += packages
    assert len(listed) == len(set(listed))
    host = (FOLDER / "debian-host.txt").read_text().splitlines()
    assert (names := [line for line in host if not line.startswith("#")]) == sorted(set(names))
