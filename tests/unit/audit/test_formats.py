"""Records in the forms that other programs read: what each holds, and what it never holds."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.formats.choose import Choice, chosen_records
from audit.formats.convert import FORMS
from audit.formats.event import rfc3339
from audit.leaf import Leaf, LeafType, leaf_hash
from audit.opening import OpenedRecord, epoch_secrets, epoch_spans
from audit.reader import open_records
from audit.window import Window
from tests.unit.audit.exportfolder import Export
from tests.unit.audit.logfolder import LogFolder
from tests.unit.audit.manyrecords import DIGEST, NASTY, PROMPT, SECRET, make_log, opened, written

LINES = ["jsonl", "ocsf", "cef", "syslog"]


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> LogFolder:
    return make_log(tmp_path_factory.mktemp("formats") / "one")


@pytest.fixture(scope="module")
def facts(log: LogFolder) -> list[OpenedRecord]:
    """Metadata alone."""
    return opened(log)


@pytest.fixture(scope="module")
def everything(log: LogFolder) -> list[OpenedRecord]:
    return opened(log, Choice(contents=True))


@pytest.mark.parametrize("form", FORMS)
def test_metadata_alone_hold_no_name_and_no_word(form: str, facts: list[OpenedRecord]) -> None:
    text = written(form, facts)
    for word in (b"keller", SECRET.encode(), b"case-7", base64.b64encode(SECRET.encode())[:12]):
        assert word not in text
    assert b"tok:" in text or form == "jsonl"


@pytest.mark.parametrize("form", FORMS)
def test_the_same_records_give_the_same_bytes(form: str, log: LogFolder) -> None:
    assert written(form, opened(log)) == written(form, opened(log))


@pytest.mark.parametrize("form", [name for name, form in FORMS.items() if form.contents])
def test_contents_stand_in_it_if_they_are_asked_for(
    form: str, everything: list[OpenedRecord]
) -> None:
    text = written(form, everything).decode()
    if form.startswith("fhir"):
        (first, *_) = re.findall(r'"valueBase64Binary":"([^"]+)"', text)
        text += base64.b64decode(first).decode()
    assert SECRET in text
    assert "m.keller" in text


def test_log_hosts_get_no_contents() -> None:
    assert {name for name, form in FORMS.items() if not form.contents} == {"cef", "syslog"}


@pytest.mark.parametrize("form", LINES)
def test_a_record_is_one_line(form: str, facts: list[OpenedRecord]) -> None:
    lines = written(form, facts).decode().splitlines()
    assert len(lines) == len(facts)


def test_a_choice_narrows_by_time_and_kind(log: LogFolder, facts: list[OpenedRecord]) -> None:
    answers = opened(log, Choice(Window(kinds=frozenset({"answer"}))))
    assert {record.leaf.kind for record in answers} == {LeafType.ANSWER}
    middle = facts[4].leaf.wall_ns
    assert opened(log, Choice(Window(until=middle))) == facts[:4]
    assert opened(log, Choice(Window(since=middle))) == facts[4:]


def test_an_export_is_converted_like_its_log(
    log: LogFolder, facts: list[OpenedRecord], tmp_path_factory: pytest.TempPathFactory
) -> None:
    export = Export.make(log, tmp_path_factory.mktemp("export") / "e")
    report = export.verify()
    with open_records(export.folder) as rows:
        spans = epoch_spans(report.openings, report.records)
        secrets, _ = epoch_secrets(spans, log.identities)
        assert list(chosen_records(rows, spans, secrets, Choice())) == facts


# --- CSV -----------------------------------------------------------------------------------------


def table(records: list[OpenedRecord]) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(written("csv", records).decode(), newline="")))


def test_a_table_has_a_row_a_record_and_a_column_a_fact(facts: list[OpenedRecord]) -> None:
    rows = table(facts)
    assert len(rows) == len(facts)
    answer = rows[2]
    assert answer["type"] == "answer"
    assert answer["begin"] == str(PROMPT)
    assert answer["model_digest"] == DIGEST
    assert answer["completion_tokens"] == "30"
    assert json.loads(answer["other"])["checks"] == {"complete": True}
    assert answer["leaf_hash"] == leaf_hash(facts[2].leaf.pack()).hex()


def test_a_cell_is_never_a_formula(everything: list[OpenedRecord]) -> None:
    rows = table(everything)
    assert rows[1]["actor"] == "'=m.keller"
    assert rows[6]["model"] == "'" + NASTY
    for row in rows:
        assert not any(cell.strip().startswith(("=", "+", "-", "@")) for cell in row.values())


@given(st.text(max_size=20))
@settings(max_examples=300)
def test_any_text_is_guarded_and_can_be_read_back(text: str) -> None:
    leaf = Leaf(LeafType.ADMIN, 0, 0, 0, 0, 0, 0, *[bytes(16)] * 4, bytes(32))
    (row,) = table([OpenedRecord(leaf, {"meta": {"task": text}})])
    cell = row["task"]
    assert cell.lstrip(" ")[:1] not in set("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20") - {""}
    assert (cell[1:] if cell.startswith("'") else cell) == text


# --- CEF and RFC 5424 ----------------------------------------------------------------------------


def test_cef_has_seven_fields_in_front_and_pairs_behind(facts: list[OpenedRecord]) -> None:
    for line in written("cef", facts).decode().splitlines():
        head = re.split(r"(?<!\\)\|", line, maxsplit=7)
        assert head[:4] == ["CEF:0", "Cloister", "Cloister", "2"]
        assert 0 <= int(head[6]) <= 10
        assert re.fullmatch(r"\w+=(\\[\\=nr]|[^\\=\n\r])*( \w+=(\\[\\=nr]|[^\\=\n\r])*)*", head[7])


def test_cef_says_what_happened(facts: list[OpenedRecord]) -> None:
    lines = written("cef", facts).decode().splitlines()
    assert f"externalId={facts[2].event}" in lines[2]
    assert f"cs1Label=model_sha256 cs1={DIGEST}" in lines[2]
    assert "src=10.1.2.3" in lines[2]
    assert "outcome=success" in lines[2]
    assert "outcome=failure reason=error:engine_lost" in lines[3]
    assert "c6a2=2001:db8::1" in lines[3]
    assert "src=" not in lines[5]


def test_syslog_lines_are_rfc_5424(facts: list[OpenedRecord]) -> None:
    value = r'"(\\["\\\]]|[^"\\\]])*"'
    grammar = re.compile(
        r"<(\d{1,3})>1 (\S+) ([!-~]{1,255}) ([!-~]{1,48}) - ([!-~]{1,32}) "
        rf"\[cloister@32473( [!-<>-~]{{1,32}}={value})+\]"
    )
    for record, line in zip(facts, written("syslog", facts).decode().splitlines(), strict=True):
        match = grammar.fullmatch(line)
        assert match, line
        assert int(match[1]) // 8 == 13
        when = datetime.fromisoformat(match[2])
        assert int(when.timestamp() * 1000) == record.leaf.wall_ns // 1_000_000
        assert f'leaf="{record.leaf.index}"' in line


# --- OCSF ----------------------------------------------------------------------------------------


def ocsf(records: list[OpenedRecord]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in written("ocsf", records).splitlines()]


def test_ocsf_events_have_what_the_class_requires(facts: list[OpenedRecord]) -> None:
    for event in ocsf(facts):
        assert event["type_uid"] == 600300 + event["activity_id"]
        assert event["activity_name"]
        assert event["metadata"]["profiles"] == ["ai_operation"]
        assert event["metadata"]["version"] == "1.8.0"
        assert event["actor"].keys() & {"user", "app_name"}
        assert event["src_endpoint"].keys() & {"ip", "svc_name"}
        assert event["api"]["operation"]


def test_ocsf_tells_of_model_and_message(facts: list[OpenedRecord]) -> None:
    answer = ocsf(facts)[2]
    assert answer["ai_model"] == {"ai_provider": "Internal", "name": "tiny", "uid": DIGEST}
    message = answer["message_context"]
    assert (message["ai_role_id"], message["total_tokens"]) == (2, 42)
    assert message["uid"] == answer["metadata"]["correlation_uid"] == str(PROMPT)
    assert answer["unmapped"]["asked_for"] == "assistant"
    assert "ai_model" not in ocsf(facts)[4]


def test_ocsf_says_whether_it_succeeded(facts: list[OpenedRecord]) -> None:
    failed = [event["metadata"]["sequence"] for event in ocsf(facts) if event["status_id"] == 2]
    assert failed == [3, 5, 8]


# --- FHIR ----------------------------------------------------------------------------------------


def fhir(form: str, records: list[OpenedRecord]) -> list[dict[str, Any]]:
    bundle = json.loads(written(form, records))
    assert (bundle["resourceType"], bundle["type"]) == ("Bundle", "collection")
    return [entry["resource"] for entry in bundle["entry"]]


def test_r4_has_type_and_r5_has_category_and_code(facts: list[OpenedRecord]) -> None:
    for four, five in zip(fhir("fhir-r4", facts), fhir("fhir-r5", facts), strict=True):
        assert four["id"] == five["id"]
        assert four["type"] == five["code"]["coding"][0]
        assert "category" in five
        assert "category" not in four
        assert four["outcome"] == five["outcome"]["code"]["code"]
    prompt, _, export = (fhir("fhir-r4", facts)[place] for place in (1, 2, 7))
    assert prompt["type"]["code"] == "rest"
    assert export["type"]["code"] == "110106"
    assert prompt["agent"][0]["network"] == {"address": "10.1.2.3", "type": "2"}
    assert prompt["agent"][0]["requestor"]


def test_a_bundle_of_nothing_is_a_bundle() -> None:
    assert fhir("fhir-r4", []) == []


# --- whatever a log may hold ---------------------------------------------------------------------


def test_a_clock_that_no_calendar_has_breaks_no_form() -> None:
    leaf = Leaf(LeafType.ADMIN, 0, 0, 0, 0, 0, 2**64 - 1, *[bytes(16)] * 4, bytes(32))
    for form in FORMS:
        assert written(form, [OpenedRecord(leaf)])
    assert rfc3339(10**30).startswith("9999-")
    assert rfc3339(1_500_000) == "1970-01-01T00:00:00.001500Z"


@pytest.mark.parametrize("form", FORMS)
@given(
    st.dictionaries(
        st.sampled_from(["event", "outcome", "task", "model", "address", "source", "x"]),
        st.none() | st.text(max_size=12) | st.integers() | st.lists(st.text(max_size=3)),
    )
)
@settings(max_examples=60)
def test_whatever_metadata_say_it_is_written_and_never_breaks_a_line(
    form: str, meta: dict[str, object]
) -> None:
    leaf = Leaf(LeafType.ANSWER, 0, 0, 0, 0, 0, 0, *[bytes(16)] * 4, bytes(32))
    record = OpenedRecord(leaf, {"meta": meta}, "\ud800", None, {"a": "\ud800"})
    text = written(form, [record]).decode()
    if form in LINES:
        assert len(re.split("[\n\r]", text)) == 2
    if FORMS[form].media.endswith("json"):
        json.loads(text)
