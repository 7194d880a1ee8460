"""How the log stands, in numbers for a monitor."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from audit.client import LogStatus

HEALTHS: Final = ("ok", "no_room", "not_durable", "read_only", "unreachable")


class LogNumbers(Collector):
    """The numbers of one look at the log; its states stand beside each other, one of them is 1."""

    def __init__(self, status: LogStatus | None, grade: str, told: int | None) -> None:
        """Say what was found.

        Args:
            status: what the writer said; None where it does not answer.
            grade: the setting `audit_grade`.
            told: records that the log host was told; None where there is no log host.
        """
        self._told = told
        self._status = status
        self._grade = grade

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Give them to a registry."""
        status = self._status
        now = "unreachable" if status is None else status.health
        health = GaugeMetricFamily(
            "cloister_log_health", "1 for the state that the log is in.", labels=["state"]
        )
        for state in HEALTHS:
            health.add_metric([state], float(state == now))
        yield health
        grade = GaugeMetricFamily("cloister_log_grade", "1 for the grade.", labels=["grade"])
        grade.add_metric([self._grade], 1.0)
        yield grade
        if status is not None:
            yield from _of_status(status)
            if self._told is not None:
                yield GaugeMetricFamily(
                    "cloister_log_forward_waiting_records",
                    "Records that the log host was not told yet.",
                    max(0, status.size - self._told),
                )


def _of_status(status: LogStatus) -> Iterator[GaugeMetricFamily]:
    yield GaugeMetricFamily("cloister_log_records", "Records in the log.", status.size)
    yield GaugeMetricFamily(
        "cloister_log_unwitnessed_records",
        "Records that no outsider has seen.",
        status.size - status.witnessed,
    )
    yield GaugeMetricFamily(
        "cloister_log_used_ratio",
        "Share of the log's fullest disk or of its quota that is in use.",
        status.used,
    )
