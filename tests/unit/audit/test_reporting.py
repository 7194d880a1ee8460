"""The report for people: what is counted, drawn and said, whatever the log holds."""

from __future__ import annotations

import json
import re
from collections import Counter
from datetime import date
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.leaf import Leaf, LeafFlag, LeafType
from audit.opening import OpenedRecord
from audit.report import Report
from audit.reporting.document import Banner, Charts, Table, report_blocks
from audit.reporting.drawing import Rectangle, Words, bars, columns, nice_step, shortened
from audit.reporting.html import html_report, svg
from audit.reporting.tally import KEPT, Tally, tally
from tests.unit.audit.logfolder import ORIGIN, LogFolder
from tests.unit.audit.manyrecords import SECRET, make_log, opened, written

DAY = 86_400_000_000_000  # nanoseconds


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> LogFolder:
    return make_log(tmp_path_factory.mktemp("report") / "one")


@pytest.fixture(scope="module")
def counted(log: LogFolder) -> Tally:
    return tally(ORIGIN, opened(log))


def record(kind: LeafType, number: int = 0, wall: int = 0, **meta: object) -> OpenedRecord:
    leaf = Leaf(kind, 0, number, 0, 0, 0, wall, *[bytes(16)] * 4, bytes(32))
    return OpenedRecord(leaf, {"meta": meta})


def page(report: Report, counted: Tally) -> str:
    return html_report("Audit report", report.origin, report_blocks(report, counted))


def test_everything_is_counted_once(counted: Tally) -> None:
    assert counted.records == 10
    assert counted.kinds == Counter(
        {"answer": 2, "auth": 2, "prompt": 1, "admin": 1, "access": 1, "fault": 1,
         "epoch-open": 1, "epoch-close": 1}
    )  # fmt: skip
    assert counted.outcomes == Counter({"answered": 1, "error:engine_lost": 1})
    assert counted.tasks == Counter({"triage": 2})
    assert counted.models == Counter({"tiny": 2})
    assert (counted.prompt_tokens, counted.completion_tokens) == (24, 60)
    assert (counted.look_count, counted.fault_count, counted.refusals) == (1, 1, 2)
    (day,) = counted.days.values()
    assert sum(day.values()) == 10
    (day,) = counted.answers.values()
    assert day == Counter({"answered": 1, "failed": 1})


def test_masked_records_are_counted_and_told() -> None:
    leaf = Leaf(LeafType.PROMPT, LeafFlag.MASKED, 0, 0, 0, 0, 0, *[bytes(16)] * 4, bytes(32))
    counted = tally(ORIGIN, [OpenedRecord(leaf), record(LeafType.PROMPT)])
    assert counted.masked == 1
    assert "card data in 1 records" in page(Report(), counted)
    assert json.loads(written("ocsf", [OpenedRecord(leaf)]))["unmapped"]["masked"] is True
    assert "masked" not in json.loads(written("ocsf", [record(LeafType.PROMPT)]))["unmapped"]


def test_of_looks_and_faults_the_newest_are_kept() -> None:
    many = (record(LeafType.ACCESS, number, event="audit:search:run") for number in range(100))
    counted = tally(ORIGIN, many)
    assert counted.look_count == 100
    assert [look.index for look in counted.looks] == list(range(100 - KEPT, 100))
    tables = [block for block in report_blocks(Report(), counted) if isinstance(block, Table)]
    assert tables[0].rows[0][1] == "99"
    assert tables[0].note == f"The newest {KEPT} of 100."


def test_a_page_says_verdict_exposure_and_charts(log: LogFolder, counted: Tally) -> None:
    report = log.verify()
    text = page(report, counted)
    assert "<b>INTACT</b>" in text
    assert "10 records, whose removal no outsider would notice" in text
    assert report.vkey in text
    for title in (
        "Records by day",
        "Answers by day",
        "Answers by task",
        "Answers by model",
        "Outcomes",
    ):
        assert f'aria-label="{title}"' in text
    assert SECRET not in text
    assert "keller" not in text


def test_a_changed_log_is_said_first_and_in_red(log: LogFolder, counted: Tally) -> None:
    report = log.verify()
    for number in range(30):
        report.blame(number, "its content was changed")
    banner = report_blocks(report, counted)[0]
    assert isinstance(banner, Banner)
    assert (banner.good, banner.title) == (False, "TAMPERED")
    assert "record 0: its content was changed; record 1" in banner.text
    assert "and 10 more" in banner.text
    assert 'class="banner bad"' in page(report, counted)


def test_the_same_records_give_the_same_page(log: LogFolder) -> None:
    pages = {page(log.verify(), tally(ORIGIN, opened(log))) for _ in range(2)}
    assert len(pages) == 1


def test_a_page_loads_nothing_and_nothing_in_it_runs(log: LogFolder) -> None:
    nasty = "<script>alert(1)</script>\"'&\u202e\x00"
    records = [record(LeafType.ANSWER, task=nasty, model=nasty, outcome=nasty)]
    records.append(record(LeafType.FAULT, event=nasty, code=nasty))
    text = page(log.verify(), tally(ORIGIN, records))
    assert "<script" not in text
    assert "\u202e" not in text
    assert not re.search(r"""(src|href|url|@import)\s*[=(]|https?:""", text)


class Balanced(HTMLParser):
    """Checks that every element is closed in its turn."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in {"meta"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_every_element_of_a_page_is_closed(log: LogFolder, counted: Tally) -> None:
    parser = Balanced()
    parser.feed(page(log.verify(), counted))
    assert parser.open == []


def test_an_empty_log_has_a_page() -> None:
    text = page(Report(), tally(ORIGIN, []))
    assert "None." in text


@pytest.mark.parametrize(
    ("days", "word", "labels"),
    [(1, "day", 1), (12, "day", 12), (62, "day", 11), (63, "week", 10), (1000, "month", 11)],
)
def test_many_days_are_put_together(days: int, word: str, labels: int) -> None:
    answers = (
        record(LeafType.ANSWER, wall=number * DAY, outcome="answered") for number in (0, days - 1)
    )
    blocks = report_blocks(Report(), tally(ORIGIN, answers))
    (drawing,) = next(block for block in blocks if isinstance(block, Charts)).drawings
    assert drawing.title == f"Records by {word}"
    below = [one for one in drawing.shapes if isinstance(one, Words) and one.anchor == "middle"]
    assert len(below) == labels


def test_a_clock_far_off_makes_no_endless_chart() -> None:
    far = (date(9999, 1, 1) - date(1970, 1, 1)).days * DAY
    answers = [record(LeafType.ANSWER, wall=wall) for wall in (0, far, 2**64 - 1)]
    blocks = report_blocks(Report(), tally(ORIGIN, answers))
    (drawing,) = next(block for block in blocks if isinstance(block, Charts)).drawings
    assert len(drawing.shapes) < 100


# --- drawing -------------------------------------------------------------------------------------


@given(
    st.lists(
        st.tuples(
            st.text(max_size=8), st.dictionaries(st.sampled_from("ab"), st.integers(0, 10**9))
        ),
        max_size=70,
    )
)
def test_columns_stay_in_their_frame(points: list[tuple[str, dict[str, int]]]) -> None:
    drawing = columns("x", points, {"a": "#000000", "b": "#ffffff"}, 480, 150)
    for shape in drawing.shapes:
        if isinstance(shape, Rectangle):
            assert -0.01 <= shape.y <= shape.y + shape.height <= drawing.height
            assert 0 <= shape.x <= shape.x + shape.width <= drawing.width + 0.01
    assert svg(drawing).endswith("</svg>")


@given(st.lists(st.tuples(st.text(max_size=60), st.integers(0, 10**12)), max_size=30))
def test_bars_stay_in_their_frame_and_lose_nothing(counts: list[tuple[str, int]]) -> None:
    drawing = bars("x", counts, 230)
    for shape in drawing.shapes:
        if isinstance(shape, Rectangle):
            assert 0 <= shape.x <= shape.x + shape.width <= drawing.width
            assert shape.y + shape.height <= drawing.height
    words = [one.text for one in drawing.shapes if isinstance(one, Words)]
    shown = [int(text.replace(",", "")) for text in words[1::2]]
    assert sum(shown) == sum(number for _, number in counts)


@given(st.integers(0, 10**15))
def test_a_scale_has_few_round_steps(highest: int) -> None:
    step = nice_step(highest)
    assert str(step).rstrip("0") in {"1", "2", "5"}
    assert highest / step <= 4


def test_a_long_label_is_cut() -> None:
    assert shortened("short", 100, 8) == "short"
    assert shortened("x" * 100, 50, 8).endswith("…")
