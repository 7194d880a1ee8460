"""The report says in plain words what came out, and its value is the exit status."""

from __future__ import annotations

import pytest

from audit.report import Report, Verdict, format_time


@pytest.mark.parametrize(
    ("report", "verdict", "says"),
    [
        (Report(records=3, covered=3), Verdict.INTACT, "INTACT: all 3 records"),
        (Report(records=3, covered=2), Verdict.UNCOVERED, "the records 2 to 2"),
        (
            Report(records=3, covered=3, require_witness=True),
            Verdict.UNWITNESSED,
            "no outside witness",
        ),
    ],
)
def test_each_verdict_has_its_words(report: Report, verdict: Verdict, says: str) -> None:
    assert report.verdict is verdict
    assert says in report.lines()[0]
    assert report.to_json()["exit_status"] == int(verdict)


def test_exit_statuses_are_the_promised_ones() -> None:
    assert {verdict.name: int(verdict) for verdict in Verdict} == {
        "INTACT": 0,
        "TAMPERED": 1,
        "UNCOVERED": 2,
        "UNWITNESSED": 3,
    }


def test_a_record_is_blamed_once_and_a_long_list_is_cut() -> None:
    report = Report(records=100, covered=100)
    for record in [5, 5, *range(20)]:
        report.blame(record, "it was changed")
    assert report.verdict is Verdict.TAMPERED
    assert [problem.record for problem in report.problems][:3] == [5, 0, 1]
    assert len(report.problems) == 20
    assert "  … and 10 more." in report.lines()
    assert len(report.to_json()["problems"]) == 20


def test_times_that_no_calendar_has_are_still_shown() -> None:
    assert format_time(0) == "1970-01-01 00:00:00 UTC"
    assert format_time(2**64 - 1) == "2554-07-21 23:34:33 UTC"
