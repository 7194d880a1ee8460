"""The log fails closed in steps: it warns, it stops answers, it stops all; and says so later."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from audit.client import AuditClient, LogUnavailableError, RecordType
from tests.service.audit.harness import Writer, opened, verify
from tests.support.wait import wait_until

DISK = 24 * 1024 * 1024  # bytes
DEFAULTS = ("--warn-percent", "80", "--stop-percent", "95")

FAILING_DISK = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
static int broken(void) { return access(getenv("BROKEN_DISK"), F_OK) == 0; }
int fdatasync(int fd) {
    if (broken()) { errno = EIO; return -1; }
    return ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(fd);
}
int fsync(int fd) {
    if (broken()) { errno = EIO; return -1; }
    return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(fd);
}
"""


def prompt(client: AuditClient, text: str = "x") -> str:
    return client.append(RecordType.PROMPT, actor="a", meta={}, content={"text": text}).event


def until_refused(client: AuditClient, text: str = "x") -> None:
    for _ in range(2000):
        prompt(client, text)


def administer(client: AuditClient) -> str:
    meta = {"action": "clean up"}
    return client.append(RecordType.ADMIN, actor="operator", meta=meta).event


def faults(writer: Writer) -> list[dict[str, Any]]:
    return [record["meta"] for record in opened(writer) if record["type"] == "fault"]


def mount(image: Path, place: Path) -> None:
    subprocess.run(["mount", "-o", "loop", image, place], check=True)


@pytest.fixture
def disk(root: Path) -> Iterator[Path]:
    """A small ext4 on a loop device."""
    place, image = root / "disk", root / "image"
    place.mkdir()
    with image.open("wb") as file:
        file.truncate(DISK)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", image], check=True)
    mount(image, place)
    yield place
    while os.path.ismount(place):
        subprocess.run(["umount", "-l", place], check=True)


def fill(place: Path, share: float) -> None:
    """Fill a disk up to a share of it, in a file of its own."""
    found = os.statvfs(place)
    used, whole = found.f_blocks - found.f_bfree, found.f_blocks - found.f_bfree + found.f_bavail
    wanted = max(0, int(whole * share) - used) * found.f_frsize
    with (place / f"filler-{share}").open("wb", buffering=0) as file:
        try:
            while wanted > 0:
                wanted -= file.write(bytes(min(wanted, 16 * 1024)))
        except OSError:
            return


def make_room(place: Path) -> None:
    for file in place.glob("filler-*"):
        file.unlink()


@pytest.mark.root
def test_a_disk_that_fills_warns_then_ends_prompts_and_still_records_the_clean_up(
    root: Path, disk: Path
) -> None:
    client = AuditClient(root / "s", timeout=10)
    with Writer(root, log=disk / "log").start(*DEFAULTS) as writer:
        prompt(client)
        assert (writer.status().warning, writer.status().used < 0.8) == ("", True)
        assert (disk / "log/ballast").stat().st_size > 0
        fill(disk, 0.87)
        wait_until(lambda: "% full" in writer.status().warning, 10, "the warning")
        assert writer.status().health == "ok"
        prompt(client)
        fill(disk, 1.0)
        status = writer.wait_health("no_room")
        assert "Make room" in status.reason
        assert not (disk / "log/ballast").exists()
        with pytest.raises(LogUnavailableError, match="no more prompts are taken") as caught:
            prompt(client)
        assert caught.value.code == "no_room"
        clean_up = [administer(client) for _ in range(5)]
        make_room(disk)
        writer.wait_health("ok")
        prompt(client)
        assert (disk / "log/ballast").stat().st_size > 0
        client.close()
        assert writer.stop() == 0
        report = verify(writer)
        assert report["verdict"] == "intact"
        assert set(clean_up) <= {record["event"] for record in opened(writer)}
        told = faults(writer)
        assert [fault["fault"] for fault in told if fault["fault"] != "unanswered"][-1] == "no_room"
        assert told[-1]["refused"] >= 1
        assert any("the log was no_room from" in remark for remark in report["remarks"])


def test_a_quota_ends_prompts_and_more_of_it_lets_them_go_on(root: Path) -> None:
    client = AuditClient(root / "s", timeout=10)
    with Writer(root) as writer:
        writer.stop()
        writer.start("--quota-mib", "1", "--stop-percent", "95")
        with pytest.raises(LogUnavailableError, match="quota") as caught:
            until_refused(client, os.urandom(8_000).hex())
        assert caught.value.code == "no_room"
        administer(client)
        client.close()
        writer.stop()
        writer.start("--quota-mib", "100")
        prompt(client)
        client.close()
        writer.stop()
        assert verify(writer)["verdict"] == "intact"
        assert [fault["fault"] for fault in faults(writer)].count("no_room") == 2


@pytest.fixture
def failing(root: Path) -> Iterator[tuple[Writer, Path]]:
    """A writer whose disk gives I/O errors while a file is there."""
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed: I/O errors can not be caused")
    source, library, broken = root / "disk.c", root / "disk.so", root / "broken"
    source.write_text(FAILING_DISK)
    command = ["gcc", "-shared", "-fPIC", "-o", library, source, "-ldl"]
    subprocess.run(command, check=True)
    writer = Writer(root)
    writer.environment = {"LD_PRELOAD": str(library), "BROKEN_DISK": str(broken)}
    with writer:
        yield writer, broken


def test_an_io_error_acknowledges_nothing_and_is_a_record_when_it_is_over(
    failing: tuple[Writer, Path],
) -> None:
    writer, broken = failing
    client = AuditClient(writer.socket, timeout=10)
    acknowledged = [prompt(client)]
    broken.touch()
    with pytest.raises(LogUnavailableError, match="I/O error") as caught:
        prompt(client)
    assert caught.value.code == "not_durable"
    with pytest.raises(LogUnavailableError):
        prompt(client)
    assert writer.status().health == "not_durable"
    broken.unlink()
    writer.wait_health("ok")
    acknowledged.append(prompt(client))
    client.close()
    assert writer.stop() == 0
    report = verify(writer)
    assert report["verdict"] == "intact"
    assert set(acknowledged) <= {record["event"] for record in opened(writer)}
    (told,) = [fault for fault in faults(writer) if fault["fault"] == "not_durable"]
    assert told["refused"] == 2
    assert told["since"] < told["until"]


@pytest.mark.root
def test_a_disk_that_turns_read_only_is_survived_by_what_was_acknowledged(
    root: Path, disk: Path
) -> None:
    client = AuditClient(root / "s", timeout=10)
    with Writer(root, log=disk / "log") as writer:
        acknowledged = [prompt(client) for _ in range(5)]
        subprocess.run(["mount", "-o", "remount,abort", disk], check=True)
        with pytest.raises(LogUnavailableError) as caught:
            until_refused(client)
        assert caught.value.code == "not_durable"
        assert "resumes by itself" in writer.status().reason
        # What was on the disk in that moment, as after a power cut, stands under the same name.
        shutil.copy(root / "image", root / "copy")
        mount(root / "copy", disk)
        writer.wait_health("ok")
        acknowledged.append(prompt(client))
        client.close()
        assert writer.stop() == 0
        assert verify(writer)["verdict"] == "intact"
        assert set(acknowledged) <= {record["event"] for record in opened(writer)}
        assert "not_durable" in [fault["fault"] for fault in faults(writer)]


def test_an_unlinked_database_is_a_record_after_the_restart_that_ended_it(
    writer: Writer, client: AuditClient
) -> None:
    prompt(client)
    aside = writer.root / "aside"
    writer.database.rename(aside)
    for _ in range(3):
        with pytest.raises(LogUnavailableError, match="removed or replaced"):
            prompt(client)
    writer.stop()
    aside.rename(writer.database)
    writer.start()
    (told,) = [fault for fault in faults(writer) if fault["fault"] == "read_only"]
    assert "removed or replaced" in told["reason"]
    assert told["refused"] == 3
    writer.stop()
    writer.start()
    assert [fault["fault"] for fault in faults(writer)].count("read_only") == 1
