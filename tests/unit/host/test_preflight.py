from __future__ import annotations

import os
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.host.errors import (
    ClockError,
    DiskFullError,
    ModelFileError,
    PermissionsError,
    PortInUseError,
)
from appliance.host.preflight import (
    RELEASED,
    check_clock,
    check_disk,
    check_models,
    check_permissions,
    check_port,
)
from tests.support.tiny_gguf import write_manifest

NOW = datetime(2027, 1, 31, 9, 0, tzinfo=UTC)
NOWHERE = Path("/nonexistent/head.log")


def test_a_clock_before_the_release_is_refused_with_both_dates() -> None:
    with pytest.raises(ClockError, match=f"2020-05-01.*{RELEASED}.*date --set"):
        check_clock(NOWHERE, datetime(2020, 5, 1, tzinfo=UTC))


def test_a_clock_before_the_last_checkpoint_is_refused(tmp_path: Path) -> None:
    head = tmp_path / "head.log"
    head.touch()
    later = (NOW + timedelta(hours=1)).timestamp()
    os.utime(head, (later, later))
    with pytest.raises(ClockError, match=r"2027-01-31 09:00 UTC.*2027-01-31 10:00 UTC"):
        check_clock(head, NOW)


def test_a_clock_a_minute_behind_the_checkpoint_passes(tmp_path: Path) -> None:
    head = tmp_path / "head.log"
    head.touch()
    later = (NOW + timedelta(minutes=1)).timestamp()
    os.utime(head, (later, later))
    check_clock(head, NOW)


def test_a_right_clock_passes_without_a_log() -> None:
    check_clock(NOWHERE, NOW)


@given(mode=st.integers(0, 0o777))
def test_only_mode_0700_passes(mode: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("mode")
    folder.chmod(mode)
    try:
        if mode == 0o700:
            check_permissions([folder])
        else:
            with pytest.raises(PermissionsError, match=f"{mode:04o}.*chmod 0700 {folder}"):
                check_permissions([folder])
    finally:
        folder.chmod(0o700)


def test_a_file_in_place_of_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state").touch()
    with pytest.raises(PermissionsError, match="is no folder"):
        check_permissions([tmp_path / "state"])


def test_a_link_in_place_of_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "state").symlink_to("real")
    with pytest.raises(PermissionsError, match="is no folder"):
        check_permissions([tmp_path / "state"])


@pytest.mark.root
def test_a_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    os.chown(folder, 1234, 1234)
    with pytest.raises(PermissionsError, match="user id 1234"):
        check_permissions([folder])


def test_missing_folders_pass_because_the_first_run_makes_them(tmp_path: Path) -> None:
    check_permissions([tmp_path / "not-yet"])


def test_a_full_disk_is_refused_with_both_sizes(tmp_path: Path) -> None:
    with pytest.raises(DiskFullError, match=r"Only \d+ MiB.*999999999 MiB"):
        check_disk(tmp_path / "not-yet/there", 999_999_999)


def test_room_enough_passes(tmp_path: Path) -> None:
    check_disk(tmp_path / "not-yet/there", 1)


def test_a_missing_model_file_is_named_with_its_remedy(tmp_path: Path) -> None:
    write_manifest(tmp_path, "small", "0" * 64)
    with pytest.raises(
        ModelFileError, match=r"'small' is missing: .*small\.gguf.*rm .*small\.toml"
    ):
        check_models(tmp_path)


def test_a_bad_manifest_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("name = 1")
    with pytest.raises(ModelFileError, match=r"bad\.toml.*Mend or remove"):
        check_models(tmp_path)


def test_a_folder_without_models_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="no model"):
        check_models(tmp_path)


def test_a_port_in_use_is_named_with_another_one() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(PortInUseError, match=rf"Port {port} .*{os.getpid()}.*CLOISTER_PORT="):
            check_port("127.0.0.1", port)
    check_port("127.0.0.1", port)


def test_an_address_that_is_not_ours_is_refused() -> None:
    with pytest.raises(PortInUseError, match=r"192\.0\.2\.1 can not be used"):
        check_port("192.0.2.1", 8080)
