"""What the report says, as blocks that HTML and PDF set alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from audit.formats.event import rfc3339
from audit.report import Report, Verdict
from audit.reporting.drawing import BLUE, Drawing, bars, columns, grouped
from audit.reporting.tally import ALL, ANSWERED, CANCELLED, FAILED, KEPT, Noted, Tally

WIDTH: Final = 482.0  # points; A4 between its margins
HALF: Final = 229.0

_COLOURS: Final = {ANSWERED: BLUE, CANCELLED: "#a9b4c0", FAILED: "#c4561c"}
_GREEN: Final = "#3c8577"
_MOST_DAYS: Final = 62
_MOST_WEEKS: Final = 62
_SHOWN: Final = 20  # problems and remarks that are told in full
_TOKEN: Final = 16  # characters of a token
_MONTHS: Final = [
    "Jan",
    "Feb",
    "Mar",
    "Apr",
    "May",
    "Jun",
    "Jul",
    "Aug",
    "Sep",
    "Oct",
    "Nov",
    "Dec",
]


@dataclass(frozen=True, slots=True)
class Banner:
    """The verdict. `good` says whether all is well."""

    good: bool
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading, with a sentence about what follows."""

    text: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """Names and values."""

    rows: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Figures:
    """Large numbers in a row, each with what it counts."""

    rows: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Charts:
    """One or two charts side by side, each with a title."""

    drawings: Sequence[Drawing]


@dataclass(frozen=True, slots=True)
class Table:
    """A table; `note` stands below it."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Points:
    """A list of sentences."""

    rows: Sequence[str]


Block = Banner | Heading | Facts | Figures | Charts | Table | Points


def report_blocks(report: Report, counted: Tally) -> list[Block]:
    """The report, from its verdict down.

    Args:
        report: of the verification.
        counted: the records that the report is about.
    """
    return [
        _verdict(report),
        Figures(_figures(report, counted)),
        *_asked(counted),
        *_listed(
            "Looks at the log",
            "Searches, openings and exports that the log has records of.",
            counted.looks,
            counted.look_count,
        ),
        *_listed("Faults", "", counted.faults, counted.fault_count),
        Heading("What was checked"),
        Facts(_checked(report, counted)),
        *_remarks(report.remarks),
    ]


def _verdict(report: Report) -> Banner:
    title, _, text = report.summary()[0].partition(": ")
    if report.verdict is Verdict.TAMPERED:
        shown = [str(problem) for problem in report.problems[:_SHOWN]]
        more = len(report.problems) - len(shown)
        text += " " + "; ".join(shown) + (f"; and {more} more." if more else ".")
    return Banner(report.verdict is Verdict.INTACT, title, text[:1].upper() + text[1:])


def _figures(report: Report, counted: Tally) -> list[tuple[str, str]]:
    answers = sum(counted.outcomes.values())
    good = counted.outcomes[ANSWERED]
    share = f"{100 * good / answers:.1f} %" if answers else "none"
    return [
        (grouped(counted.records), "records"),
        (grouped(counted.kinds["prompt"]), "prompts"),
        (share, "of answers complete"),
        (grouped(counted.look_count), "looks at the log"),
        (grouped(counted.fault_count), "faults"),
        (grouped(report.records - report.witnessed), "seen by no outsider"),
    ]


def _asked(counted: Tally) -> list[Block]:
    return [
        Heading("What was recorded"),
        Charts([_by_period("Records", counted.days, {ALL: _GREEN}, 105)]),
        Heading("What was asked and answered"),
        Charts([_by_period("Answers", counted.answers, _COLOURS, 125)]),
        Charts(
            [
                bars("Answers by task", counted.tasks.most_common(), HALF),
                bars("Answers by model", counted.models.most_common(), HALF),
            ]
        ),
        Charts(
            [
                bars("Outcomes", counted.outcomes.most_common(), HALF),
                bars("Records by kind", counted.kinds.most_common(), HALF),
            ]
        ),
        Facts(
            [
                ("Tokens read", grouped(counted.prompt_tokens)),
                ("Tokens written", grouped(counted.completion_tokens)),
                ("Came in by", _counts(counted.sources)),
                ("Refused", f"{grouped(counted.refusals)} sign-ins, requests and changes"),
                ("Masked", f"card data in {grouped(counted.masked)} records"),
            ]
        ),
    ]


def _by_period(
    what: str, days: dict[date, Counter[str]], colours: Mapping[str, str], height: float
) -> Drawing:
    word, points = _periods(days)
    return columns(f"{what} by {word}", points, colours, WIDTH, height)


def _periods(
    days: dict[date, Counter[str]],
) -> tuple[str, list[tuple[str, Counter[str]]]]:
    """The days from first to last, put together to weeks or months where they are too many."""
    if not days:
        return "day", []
    first, last = min(days), max(days)
    span = (last - first).days + 1
    if span <= _MOST_DAYS:
        every = [first + timedelta(number) for number in range(span)]
        return "day", [(_label(day), days.get(day, Counter())) for day in every]
    weeks = span <= 7 * _MOST_WEEKS
    found: dict[str, Counter[str]] = {}
    # Every period is there, also one in which nothing happened; far too many days are not walked.
    step = timedelta(1 if weeks else 27)
    day = first
    while span < 100 * 366 and day <= last:
        found.setdefault(_period(day, weeks=weeks), Counter())
        day += step
    for day in sorted(days):
        found.setdefault(_period(day, weeks=weeks), Counter()).update(days[day])
    return "week" if weeks else "month", sorted(found.items())


def _period(day: date, *, weeks: bool) -> str:
    year, week, _ = day.isocalendar()
    return f"{year}-W{week:02}" if weeks else f"{day.year}-{day.month:02}"


def _label(day: date) -> str:
    return f"{day.day} {_MONTHS[day.month - 1]}"


def _listed(title: str, note: str, noted: Iterable[Noted], count: int) -> list[Block]:
    rows = [
        (_moment(one.wall_ns), str(one.index), _who(one.who), one.what)
        for one in reversed(list(noted))
    ]
    if not rows:
        return [Heading(title, "None.")]
    more = f"The newest {KEPT} of {grouped(count)}." if count > KEPT else ""
    return [Heading(title, note), Table(("Time, UTC", "Record", "Who", "What"), rows, more)]


def _checked(report: Report, counted: Tally) -> list[tuple[str, str]]:
    period = f"{_moment(counted.first_ns)} to {_moment(counted.last_ns)} UTC"
    seen = f"{grouped(report.witnessed)} records, {report.witness}" if report.witnessed else "none"
    unseen = grouped(report.records - report.witnessed)
    return [
        ("Log", report.origin),
        ("This report", f"{grouped(counted.records)} records, {period}"),
        ("Verified", f"{grouped(report.records)} records in {_epochs(len(report.openings))}"),
        ("Checkpoints", f"{grouped(report.checkpoints)} signed and checked"),
        ("Seen outside", seen),
        ("Exposed", f"{unseen} records, whose removal no outsider would notice"),
        ("Verifier key", report.vkey),
    ]  # fmt: skip


def _remarks(remarks: Sequence[str]) -> list[Block]:
    if not remarks:
        return []
    shown = [f"{remark[:1].upper()}{remark[1:]}." for remark in remarks[:_SHOWN]]
    if len(remarks) > _SHOWN:
        shown.append(f"And {len(remarks) - _SHOWN} more: cloister-audit verify names all.")
    return [Heading("Remarks", "Unusual, and no proof of harm."), Points(shown)]


def _counts(counts: Counter[str]) -> str:
    listed = (f"{name} {grouped(number)}" for name, number in counts.most_common())
    return ", ".join(listed) or "nothing"


def _epochs(count: int) -> str:
    return "1 epoch" if count == 1 else f"{count} epochs"


def _who(name: str) -> str:
    """A token by its beginning, which tells apart whom one epoch has."""
    short = name if len(name) <= _TOKEN else f"{name[:_TOKEN]}…"
    return short or "the log"


def _moment(wall_ns: int) -> str:
    return rfc3339(wall_ns)[:19].replace("T", " ")
