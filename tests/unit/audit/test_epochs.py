"""Attacks on whole epochs, by somebody who has the disk and knows the format.

A log of three closed epochs is continued, cut, spliced and replayed. What no look at the log alone
can show, a cut at a checkpoint, is shown by the head file or any checkpoint that is kept outside.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterator

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit.leaf import leaf_hash
from audit.merkle import Frontier
from audit.note import Checkpoint, VerifierKey, sign_checkpoint
from audit.payloads import EpochLimits
from audit.report import Report, Verdict
from audit.verify import verify_log
from audit.writer.epoch import Epoch
from tests.unit.audit.logcopy import Copy, relink
from tests.unit.audit.logfolder import LogFolder, append, make_folder, request


@pytest.fixture(scope="module")
def stolen() -> list[Epoch]:
    """Every epoch while it ran: what a thief of the writer's memory would have."""
    return []


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, stolen: list[Epoch]) -> LogFolder:
    folder = make_folder(tmp_path_factory.mktemp("log") / "one")
    journal = folder.journal()
    for text in ("a", "b", "c"):
        assert journal._running is not None
        stolen.append(journal._running.epoch)
        append(journal, request(text), request(text * 2))
        if text != "c":
            journal.write_head(journal.next_epoch().notes)
    journal.close()
    return folder


@pytest.fixture
def copy(written: LogFolder) -> Iterator[Copy]:
    copy = Copy(written)
    yield copy
    copy.database.close()


def starts(copy: Copy) -> list[int]:
    return [index for index, _, _ in copy.verify().openings]


def cut(copy: Copy, size: int) -> None:
    for statement in (
        "DELETE FROM leaves WHERE idx >= ?",
        "DELETE FROM blobs WHERE idx >= ?",
        "DELETE FROM checkpoints WHERE size > ?",
    ):
        copy.database.execute(statement, (size,))


def sign_anew(copy: Copy, sign: Callable[[int, bytes], str]) -> None:
    """Replace every checkpoint by one over the tree as it now is, and add one at the end."""
    tree = Frontier()
    leaves = copy.column("leaves", "leaf")
    for index, leaf in leaves.items():
        tree.add(leaf_hash(leaf))
        if copy.rows.checkpoint(index + 1) is not None:
            copy.put("checkpoints", "note", index + 1, sign(index + 1, tree.root()))
    copy.database.execute(
        "INSERT OR REPLACE INTO checkpoints VALUES (?, ?)",
        (tree.size, sign(tree.size, tree.root())),
    )


def replay(copy: Copy, start: int, end: int) -> None:
    """Append an epoch's records once more, renumbered and chained."""
    copy.database.execute("DROP INDEX leaves_by_event")
    leaves = copy.column("leaves", "leaf")
    relink(copy, [*leaves.values(), *(leaves[index] for index in range(start, end))])
    for index in range(start, end):
        copy.database.execute(
            "INSERT INTO blobs SELECT ? + idx, meta, content FROM blobs WHERE idx = ?",
            (len(leaves) - start, index),
        )


def test_the_three_epochs_are_intact_and_closed(copy: Copy) -> None:
    report = copy.verify()
    assert report.verdict is Verdict.INTACT
    assert [number for _, number, _ in report.openings] == [0, 1, 2]
    assert not any("unclean" in remark for remark in report.remarks)


def test_a_last_epoch_that_is_cut_off_is_found_by_the_head_and_counted(
    written: LogFolder, copy: Copy
) -> None:
    size, last = copy.size, starts(copy)[2]
    cut(copy, last)
    assert copy.verify().verdict is Verdict.INTACT  # nothing inside the log can show it
    report = verify_log(copy.rows, written.root, trusted=copy.key, head=written.settings.head)
    assert report.verdict is Verdict.TAMPERED
    assert f"the last {size - last} are missing" in report.problems[0].text


def test_a_first_epoch_that_is_cut_off_is_found_though_the_rest_is_mended(copy: Copy) -> None:
    second = starts(copy)[1]
    relink(copy, list(copy.column("leaves", "leaf").values())[second:])
    copy.database.execute("DELETE FROM blobs WHERE idx < ?", (second,))
    copy.database.execute("UPDATE blobs SET idx = idx - ?", (second,))
    report = copy.verify()
    assert report.verdict is Verdict.TAMPERED
    assert report.problems[0].record == 0


def test_a_middle_epoch_that_is_cut_out_is_found_though_the_rest_is_mended(
    copy: Copy, stolen: list[Epoch]
) -> None:
    _, second, third = starts(copy)
    leaves = list(copy.column("leaves", "leaf").values())
    copy.database.execute("DELETE FROM blobs WHERE idx >= ? AND idx < ?", (second, third))
    copy.database.execute("UPDATE blobs SET idx = idx - ? WHERE idx >= ?", (third - second, third))
    copy.database.execute("DELETE FROM checkpoints WHERE size > ?", (second,))
    relink(copy, leaves[:second] + leaves[third:])
    sign_anew_end(copy, stolen[2])
    report = copy.verify()
    assert report.verdict is Verdict.TAMPERED
    assert report.problems[0].record == second
    assert "should open epoch 1" in report.problems[0].text


def sign_anew_end(copy: Copy, epoch: Epoch) -> None:
    """One more checkpoint at the log's end, by this epoch's key."""
    tree = Frontier()
    for leaf in copy.column("leaves", "leaf").values():
        tree.add(leaf_hash(leaf))
    note = epoch.sign(tree.size, tree.root())
    copy.database.execute("INSERT OR REPLACE INTO checkpoints VALUES (?, ?)", (tree.size, note))


@pytest.mark.parametrize("number", [0, 1, 2])
def test_an_old_epoch_that_is_replayed_at_the_end_is_found(
    copy: Copy, stolen: list[Epoch], number: int
) -> None:
    bounds = [*starts(copy), copy.size]
    size = copy.size
    replay(copy, bounds[number], bounds[number + 1])
    sign_anew_end(copy, stolen[number])
    report = copy.verify()
    assert report.verdict is Verdict.TAMPERED
    assert report.problems[0].record == size
    assert "should open epoch 3" in report.problems[0].text


def test_an_old_epochs_key_signs_nothing_of_a_later_one(copy: Copy, stolen: list[Epoch]) -> None:
    last = max(copy.column("checkpoints", "note"))
    for thief in (stolen[0], stolen[1]):
        tree = copy.rows.frontier(last)
        copy.put("checkpoints", "note", last, thief.sign(last, tree.root()))
        report = copy.verify()
        assert report.verdict is Verdict.TAMPERED
        assert f"the checkpoint at size {last}" in report.problems[0].text


def test_a_closing_checkpoint_by_the_next_epochs_key_does_not_close(
    copy: Copy, stolen: list[Epoch]
) -> None:
    second = starts(copy)[1]
    root = copy.rows.frontier(second).root()
    copy.put("checkpoints", "note", second, stolen[1].sign(second, root))
    report = copy.verify()
    assert report.verdict is Verdict.TAMPERED
    assert f"the checkpoint at size {second}" in report.problems[0].text


@pytest.mark.parametrize("which", [1, 2])
def test_a_closing_checkpoint_that_is_missing_is_named(copy: Copy, which: int) -> None:
    start = starts(copy)[which]
    copy.database.execute("DELETE FROM checkpoints WHERE size = ?", (start,))
    report = copy.verify()
    assert report.verdict is Verdict.TAMPERED
    assert report.problems[0].record == start - 1
    assert "stands under no checkpoint" in report.problems[0].text


def certify(copy: Copy, at: int, key: bytes) -> None:
    """Write another promise into an opening record and mend hash, chain and stored leaf."""
    opening = json.loads(copy.column("blobs", "meta")[at])
    opening["next"] = base64.b64encode(key).decode()
    blob = json.dumps(opening).encode()
    copy.put("blobs", "meta", at, blob)
    leaves = list(copy.column("leaves", "leaf").values())
    leaves[at] = leaves[at][:136] + hashlib.sha256(blob).digest() + leaves[at][168:]
    relink(copy, leaves)


def forged_key(copy: Copy) -> Report:
    """A forger promises a key of his own in epoch 1 and signs all that follows with it."""
    forger = Ed25519PrivateKey.generate()
    public = VerifierKey(copy.key.name, forger.public_key().public_bytes_raw())
    certify(copy, starts(copy)[1], public.public)
    sign_anew(
        copy,
        lambda size, root: sign_checkpoint(Checkpoint(copy.key.name, size, root), forger, public),
    )
    return copy.verify()


def test_a_promise_that_is_exchanged_afterwards_convinces_nobody(copy: Copy) -> None:
    report = forged_key(copy)
    assert report.verdict is Verdict.TAMPERED
    assert "bears no signature by key" in report.problems[0].text


def test_an_epoch_that_outlasts_its_limits_is_remarked_once(folder: LogFolder) -> None:
    journal = folder.journal(EpochLimits(records=100, seconds=3600))
    folder.clock.advance(3600 + 900)
    append(journal, request(), request())
    journal.close()
    report = folder.verify()
    assert report.verdict is Verdict.INTACT
    late = [remark for remark in report.remarks if "beyond its 100 records or 1 h" in remark]
    assert len(late) == 1
    assert late[0].startswith("record 1: epoch 0")


def test_an_opening_without_limits_is_named(copy: Copy) -> None:
    opening = json.loads(copy.column("blobs", "meta")[0])
    for limits in (None, {"records": 0, "seconds": 1}, {"records": True, "seconds": 1}):
        blob = json.dumps({**opening, "limits": limits}).encode()
        copy.put("blobs", "meta", 0, blob)
        leaves = list(copy.column("leaves", "leaf").values())
        leaves[0] = leaves[0][:136] + hashlib.sha256(blob).digest() + leaves[0][168:]
        relink(copy, leaves)
        report = copy.verify()
        assert report.problems[0].record == 0
        assert "does not say how its epoch opened" in report.problems[0].text
