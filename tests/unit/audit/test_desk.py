"""What officers' pages read: records are found blindly, step by step, and come with proofs."""

from __future__ import annotations

from pathlib import Path

import pytest

from audit.desk import SHOWN, Desk, Found
from audit.errors import LogFormatError
from audit.grants import open_grants
from audit.leaf import Leaf, LeafType, leaf_hash
from audit.merkle import check_inclusion
from audit.note import VerifierKey
from audit.proof import parse_proof
from audit.search import Query, make_query
from audit.window import Window
from audit.writer.journal import Journal
from tests.unit.audit.logfolder import ORIGIN, LogFolder, append, request


@pytest.fixture
def desk(folder: LogFolder, journal: Journal) -> Desk:
    """A log of 1 opening and 120 prompts, every third of them extractions."""
    tasks = ["extract" if number % 3 == 0 else "triage" for number in range(120)]
    for task in tasks:
        folder.clock.advance(60)
        append(journal, request(task=task))
    return Desk(folder.settings.folder)


def _query(folder: LogFolder, desk: Desk, **terms: str) -> Query:
    """What one officer's key makes of the terms."""
    secrets = {
        span.number: open_grants(span.opening.grants, [folder.security], ORIGIN, span.number)
        for span in desk.epochs()
    }
    return make_query(ORIGIN, secrets, terms)


def _indices(found: Found) -> list[int]:
    return [row.index for row in found.rows]


def test_found_records_come_newest_first_without_contents(folder: LogFolder, desk: Desk) -> None:
    found = desk.find(_query(folder, desk, task="extract"), Window())
    assert _indices(found) == list(range(118, 0, -3))
    assert all(row.meta and row.content is None for row in found.rows)
    assert (found.below, found.looked) == (None, 121)


def test_more_than_fits_is_gone_on_with_where_it_ended(folder: LogFolder, desk: Desk) -> None:
    query = _query(folder, desk)
    first = desk.find(query, Window())
    assert len(first.rows) == SHOWN
    assert first.below == 121 - SHOWN
    second = desk.find(query, Window(), first.below)
    third = desk.find(query, Window(), second.below)
    every = _indices(first) + _indices(second) + _indices(third)
    assert every == list(range(120, -1, -1))
    assert third.below is None


def test_a_step_looks_at_so_many_records_and_no_more(folder: LogFolder, desk: Desk) -> None:
    found = desk.find(_query(folder, desk, task="none such"), Window(), step=1)
    assert (found.rows, found.looked) == ((), 121)  # one read is the least
    assert desk.find(_query(folder, desk, task="none such"), Window(), 40, step=1).looked == 40


def test_time_and_kind_narrow_what_is_found(folder: LogFolder, desk: Desk) -> None:
    query = _query(folder, desk)
    (row,) = desk.find(query, Window(kinds=frozenset({"epoch-open"}))).rows
    begun = Leaf.unpack(row.leaf).wall_ns
    minute = 60 * 10**9
    window = Window(
        since=begun + 10 * minute,
        until=begun + 13 * minute,
        kinds=frozenset({LeafType.PROMPT.label}),
    )
    assert _indices(desk.find(query, window)) == [12, 11, 10]


def test_an_epoch_without_trapdoors_is_passed_over(folder: LogFolder, desk: Desk) -> None:
    assert desk.find(Query(ORIGIN, {7: {}}), Window()).rows == ()


def test_a_record_comes_with_a_proof_to_a_checkpoint_of_the_named_key(
    folder: LogFolder, desk: Desk
) -> None:
    found = desk.record(17)
    proof = parse_proof(found.proof)
    seen = VerifierKey(ORIGIN, found.key).verify(proof.checkpoint)
    check_inclusion(leaf_hash(found.row.leaf), proof.index, seen.size, proof.path, seen.root)
    assert (proof.index, found.vkey_epoch, found.word) == (17, 0, None)


@pytest.mark.parametrize("index", [-1, 121, 10**9])
def test_a_record_that_there_is_not_is_an_error(desk: Desk, index: int) -> None:
    with pytest.raises(LogFormatError, match="no record"):
        desk.record(index)


def test_a_missing_log_is_an_error_with_the_folder_in_it(tmp_path: Path) -> None:
    with pytest.raises(LogFormatError, match=str(tmp_path)):
        Desk(tmp_path).epochs()
