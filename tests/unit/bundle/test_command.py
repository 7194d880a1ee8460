"""`cloister bundle` as a person types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from appliance.bundle.targets import this_host
from appliance.cli.errors import describe
from appliance.cli.main import cli
from tests.support.bundles import FILES


def call(*words: object) -> Result:
    return CliRunner().invoke(cli, ["bundle", *(str(word) for word in words)])


def test_verify_says_what_it_is_and_who_signed(bundle: Path, signers: Path) -> None:
    done = call("verify", bundle, "--signers", signers)
    assert done.exit_code == 0
    assert f"Good: cloister 0.1.0 (release counter 100, {this_host()}), 5 files" in done.output
    assert "Signed with ED25519 key SHA256:" in done.output
    facts = json.loads(call("verify", bundle, "--signers", signers, "--json").stdout)
    assert (facts["release_counter"], facts["files"]) == (100, 5)


def test_verify_takes_the_keys_of_the_state_tree(
    bundle: Path, signers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLOISTER_STATE", str(tmp_path / "state"))
    done = call("verify", bundle)
    assert "release-signers" in describe(done.exception)  # type: ignore[arg-type] - it failed
    (tmp_path / "state/etc/cloister").mkdir(parents=True)
    (tmp_path / "state/etc/cloister/release-signers").write_bytes(signers.read_bytes())
    assert call("verify", bundle).exit_code == 0


def test_verify_refuses_another_target_before_it_reads_on(bundle: Path, signers: Path) -> None:
    other = "debian13-arm64" if "amd64" in this_host() else "debian13-amd64"
    done = call("verify", bundle, "--signers", signers, "--target", other)
    assert other in describe(done.exception)  # type: ignore[arg-type] - it failed


def test_inspect_says_that_it_checked_no_signature(bundle: Path) -> None:
    done = call("inspect", bundle, "--files")
    assert done.exit_code == 0
    assert "signature:             not checked; run: cloister bundle verify" in done.output
    assert "b/c" in done.output
    facts = json.loads(call("inspect", bundle, "--files", "--json").stdout)
    assert [one["path"] for one in facts["listed"]] == list(FILES)


def test_unpack_makes_a_folder_that_anybody_may_read(
    bundle: Path, signers: Path, tmp_path: Path
) -> None:
    done = call("unpack", bundle, tmp_path / "deep/new", "--signers", signers)
    assert done.exit_code == 0
    assert (tmp_path / "deep/new/b/c").stat().st_mode & 0o777 == 0o644
    assert (tmp_path / "deep/new").stat().st_mode & 0o777 == 0o755
    again = call("unpack", bundle, tmp_path / "deep/new", "--signers", signers)
    assert "is there already" in describe(again.exception)  # type: ignore[arg-type] - it failed


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--split", "4X"], "4G"),
        (["--split", "1K"], "mebibyte"),
        (["--model", "x.gguf"], "NAME=FILE"),
        (["--target", "windows"], "debian13-amd64"),
    ],
)
def test_wrong_use_of_build_says_what_is_right(
    key: Path, tmp_path: Path, words: list[str], told: str
) -> None:
    plain = ["--target", "debian13-amd64", "--key", key, "-o", tmp_path / "x.tar", "--libffi", key]
    done = call("build", *plain, *words)
    assert done.exit_code == 2
    assert told in done.output
    assert not (tmp_path / "x.tar").exists()
