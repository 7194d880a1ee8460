"""Records are found by their metadata: by whom they were meant to be found, and by nobody else."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.errors import QueryFormatError
from audit.grants import EpochSecrets
from audit.index import MARK_SIZE, MARKED, MARKS_SIZE, Index, marked_values, matches
from audit.leaf import Leaf
from audit.opening import EpochSpan, epoch_secrets, epoch_spans
from audit.reader import open_rows
from audit.search import Query, find, make_query
from audit.writer.request import AppendRequest, parse_append
from tests.unit.audit.logfolder import ORIGIN, LogFolder, append, request


def asked(actor: str, task: str, case: str | None = None) -> AppendRequest:
    meta = {"task": task, "model": "demo", "outcome": "answered", "n": 7}
    return parse_append(
        {"op": "append", "type": "answer", "actor": actor, "subject": case, "meta": meta}
    )


@pytest.fixture
def written(folder: LogFolder) -> LogFolder:
    journal = folder.journal()
    append(journal, asked("ada", "triage", "case-1"), asked("bob", "triage"), asked("ada", "reply"))
    journal.write_head(journal.heartbeat().notes)
    journal.write_head(journal.next_epoch().notes)
    append(journal, asked("ada", "triage", "case-1"), asked("bob", "reply", "case-1"))
    journal.close()
    return folder


def opened(folder: LogFolder) -> tuple[list[EpochSpan], dict[int, EpochSecrets]]:
    report = folder.verify()
    spans = epoch_spans(report.openings, report.records)
    return spans, epoch_secrets(spans, [folder.security], contents=False)[0]


def found(folder: LogFolder, **terms: str) -> list[int]:
    spans, secrets = opened(folder)
    query = Query.parse(make_query(ORIGIN, secrets, terms).to_json())
    with open_rows(folder.settings.folder) as rows:
        return [leaf.index for leaf in find(rows, spans, query)]


@pytest.mark.parametrize(
    ("terms", "records"),
    [
        ({"actor": "ada"}, [1, 3, 7]),
        ({"actor": "bob", "task": "triage"}, [2]),
        ({"subject": "case-1"}, [1, 7, 8]),
        ({"task": "reply"}, [3, 8]),
        ({"task": "reply", "subject": "case-1", "model": "demo"}, [8]),
        ({"outcome": "answered"}, [1, 2, 3, 7, 8]),
        ({"outcome": "cancelled"}, []),
        ({"actor": "ad"}, []),
        ({"task": "ada"}, []),
        ({}, list(range(10))),
    ],
)
def test_one_officers_key_finds_what_has_all_the_values(
    written: LogFolder, terms: dict[str, str], records: list[int]
) -> None:
    assert found(written, **terms) == records


def test_a_query_finds_in_the_epochs_that_it_was_made_for_and_in_no_other(
    written: LogFolder,
) -> None:
    spans, secrets = opened(written)
    of_first = make_query(ORIGIN, {0: secrets[0]}, {"actor": "ada"})
    elsewhere = Query(ORIGIN, {1: of_first.trapdoors[0]})
    with open_rows(written.settings.folder) as rows:
        assert [leaf.index for leaf in find(rows, spans, of_first)] == [1, 3]
        assert list(find(rows, spans, elsewhere)) == []


def test_a_query_says_neither_what_it_looks_for_nor_opens_anything(written: LogFolder) -> None:
    _, secrets = opened(written)
    text = make_query(ORIGIN, secrets, {"actor": "ada", "task": "triage"}).to_json()
    assert "ada" not in text
    assert "triage" not in text
    assert all(one.metadata.hex() not in text for one in secrets.values())


def test_equal_values_have_unequal_marks_so_that_nobody_counts_them(folder: LogFolder) -> None:
    journal = folder.journal()
    append(journal, *(asked("ada", "triage") for _ in range(40)))
    journal.close()
    with open_rows(folder.settings.folder) as rows:
        blobs = [row.meta for row in rows.rows(1, 41)]
    marks = Counter(
        blob[start : start + MARK_SIZE]
        for blob in blobs
        if blob is not None
        for start in range(0, MARKS_SIZE, MARK_SIZE)
    )
    assert len(marks) == 40 * len(MARKED)


@given(st.dictionaries(st.sampled_from(MARKED), st.text(min_size=1)), st.integers(0, 2**40))
@settings(max_examples=60)
def test_a_mark_matches_its_own_value_field_and_record_only(
    values: dict[str, str], number: int
) -> None:
    index = Index(bytearray(range(32)))
    leaf = _leaf(number)
    blob = index.marks(values, number) + b"sealed"
    for field in MARKED:
        right = values.get(field, "")
        assert matches(leaf, blob, {field: index.trapdoor(field, right)})
        assert not matches(leaf, blob, {field: index.trapdoor(field, right + "x")})
        assert not matches(_leaf(number + 1), blob, {field: index.trapdoor(field, right)})
    assert not matches(leaf, None, {"task": index.trapdoor("task", "")})


def test_only_texts_of_the_marked_fields_are_marked() -> None:
    meta = {"task": "triage", "model": None, "begin": 7, "address": "10.0.0.7", "source": ["web"]}
    assert marked_values(meta) == {"task": "triage"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"version": 2, "origin": "a", "epochs": {}}',
        '{"version": 1, "origin": "a"}',
        '{"version": 1, "origin": "a", "epochs": {"x": {}}}',
        '{"version": 1, "origin": "a", "epochs": {"0": {"task": "00"}}}',
        '{"version": 1, "origin": "a", "epochs": {"0": {"address": "' + "00" * 32 + '"}}}',
        '{"version": 1, "origin": "a", "epochs": {"0": "task"}}',
    ],
)
def test_what_is_no_query_is_refused_with_the_way_to_one(text: str) -> None:
    with pytest.raises(QueryFormatError, match="--write-query"):
        Query.parse(text)


def _leaf(index: int) -> Leaf:
    return Leaf.unpack(b"SLA1\x02\x01\x00\x02" + index.to_bytes(8, "big") + bytes(200 - 16))


def test_a_request_without_a_content_still_seals_the_name(folder: LogFolder) -> None:
    journal = folder.journal()
    append(journal, request("x"))
    append(journal, asked("ottoline", "triage", "case-77"))
    journal.close()
    stored = b"".join(
        path.read_bytes() for path in folder.settings.folder.rglob("*") if path.is_file()
    )
    assert b"ottoline" not in stored
    assert b"case-77" not in stored
