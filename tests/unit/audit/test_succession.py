"""Epochs follow each other by rule: a forger who writes with our own parts is still found out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from audit.blob import log_id
from audit.leaf import LeafType
from audit.note import VerifierKey
from audit.payloads import EpochLimits, EpochOpen, PreviousEpoch
from audit.report import Report, Verdict
from audit.writer.adopt import open_log
from audit.writer.draft import Draft
from audit.writer.epoch import EpochMaker, ending_of
from audit.writer.keyring import Keyring
from tests.unit.audit.logfolder import ORIGIN, LogFolder, append, request


def forge(
    folder: LogFolder,
    change: Callable[[EpochOpen], EpochOpen] = lambda opening: opening,
    *,
    number: int = 1,
    promised: bool = True,
    then: Callable[[Draft], object] = lambda draft: None,
) -> Report:
    """Continue a closed log of one epoch as the writer would, but for one thing."""
    journal = folder.journal()
    append(journal, request())
    journal.close()
    log = open_log(folder.settings)
    assert log.last is not None
    keys = Keyring(folder.settings.folder / "keys")
    keys.store(number, keys.load(1, log.last.opening.next_key))
    maker = EpochMaker(
        ORIGIN, folder.settings.officers, keys, folder.settings.folder / "grants", EpochLimits()
    )
    key = log.last.opening.next_key if promised else None
    epoch, opening = maker.make(number, key, folder.clock.now().boot)
    opening = replace(opening, previous=ending_of(log.last, log.tree.size, log.tree.root()))
    name = log_id(ORIGIN, VerifierKey.parse(log.vkey).public)
    draft = Draft(epoch, log.tree, log.prev, name, folder.clock, folder.clock.boot_id())
    draft.open_epoch(epoch, change(opening))
    then(draft)
    draft.checkpoint()
    log.store.commit(draft.batch)
    log.head.append(draft.batch.notes[-1][1])
    log.close()
    return folder.verify()


def previous(end: str, size: int, root: bytes) -> Callable[[EpochOpen], EpochOpen]:
    return lambda opening: replace(opening, previous=PreviousEpoch(end, size, root))


def test_a_continuation_by_the_rules_is_intact(folder: LogFolder) -> None:
    assert forge(folder).verdict is Verdict.INTACT


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (previous("unclean", 3, bytes(32)), "does not say how the epoch before it ended"),
        (previous("closed", 2, bytes(32)), "does not say how the epoch before it ended"),
        (previous("closed", 3, bytes(32)), "does not say how the epoch before it ended"),
        (lambda o: replace(o, previous=None), "does not say how the epoch before it ended"),
        (lambda o: replace(o, origin="other/audit"), "epoch of another log, other/audit"),
        (lambda o: replace(o, key=bytes(range(32))), "key that was not promised"),
    ],
)
def test_an_opening_that_says_something_else_is_named(
    folder: LogFolder, change: Callable[[EpochOpen], EpochOpen], says: str
) -> None:
    report = forge(folder, change)
    assert report.verdict is Verdict.TAMPERED
    assert report.problems[0].record == 3
    assert says in report.problems[0].text


def test_who_lacks_the_promised_key_can_not_continue(folder: LogFolder) -> None:
    report = forge(folder, promised=False)
    assert report.verdict is Verdict.TAMPERED
    assert "key that was not promised" in report.problems[0].text


def test_a_skipped_epoch_is_named(folder: LogFolder) -> None:
    report = forge(folder, number=2)
    assert report.verdict is Verdict.TAMPERED
    assert "should open epoch 1" in report.problems[0].text


def step_back(folder: LogFolder) -> Callable[[Draft], object]:
    def then(draft: Draft) -> None:
        folder.clock.boot -= 10**12
        draft.add_own(LeafType.HEARTBEAT)

    return then


def test_a_clock_that_runs_back_in_an_epoch_is_named(folder: LogFolder) -> None:
    report = forge(folder, then=step_back(folder))
    assert report.problems[0].record == 4
    assert "clock runs back" in report.problems[0].text


def test_a_record_after_the_end_of_its_epoch_is_named(folder: LogFolder) -> None:
    def then(draft: Draft) -> None:
        draft.add_own(LeafType.EPOCH_CLOSE, {"reason": "test"})
        draft.add_own(LeafType.HEARTBEAT)

    report = forge(folder, then=then)
    assert report.problems[0].record == 5
    assert "after the end of its epoch" in report.problems[0].text


def test_a_missing_sequence_number_is_named(folder: LogFolder) -> None:
    def then(draft: Draft) -> None:
        draft.epoch.advance()
        draft.add_own(LeafType.HEARTBEAT)

    report = forge(folder, then=then)
    assert report.problems[0].record == 4
    assert "should be number 1 of its epoch" in report.problems[0].text


def test_plain_metadata_of_a_record_that_must_be_sealed_is_named(folder: LogFolder) -> None:
    report = forge(folder, then=lambda draft: draft.add_own(LeafType.PROMPT, {"x": 1}))
    assert report.problems[0].record == 4
    assert "plain" in report.problems[0].text


def test_a_long_silence_is_remarked(folder: LogFolder) -> None:
    def then(draft: Draft) -> None:
        folder.clock.advance(47 * 60)
        draft.add_own(LeafType.HEARTBEAT)

    report = forge(folder, then=then)
    assert report.verdict is Verdict.INTACT
    assert any("no record for 47 minutes before record 4" in remark for remark in report.remarks)
