"""The engine's metrics: counts and states only, nothing of what anybody wrote."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

_COUNTERS = {
    "steps": "Decode steps.",
    "requests": "Requests that left the queue.",
    "prompt_tokens": "Prompt tokens taken in.",
    "answer_tokens": "Answer tokens made.",
    "forced_tokens": "Answer tokens that a grammar forced, without sampling.",
    "drafted_tokens": "Answer tokens that were guessed from the prompt.",
    "accepted_tokens": "Guesses that the model confirmed.",
    "shared_tokens": "Prompt tokens that were in the KV cache already.",
    "prefix_hits": "Prompts whose beginning was in the KV cache already.",
    "preemptions": "Sequences that gave up their KV cells for another.",
    "decode_seconds": "Seconds inside llama_decode.",
    "busy_seconds": "Seconds in which the scheduler had work.",
}
_GAUGES = {"in_use": "Sequences that decode.", "queued": "Requests that wait."}


class EngineCollector(Collector):
    """One reading of all models.

    Args:
        readings: by model: its runner's counts, and `state`, `restarts`, `memory_bytes`.
    """

    def __init__(self, readings: Mapping[str, Mapping[str, Any]]) -> None:
        """Keep the reading."""
        self._readings = readings

    def collect(self) -> Iterable[Metric]:
        """All metrics of the reading."""
        yield self._counter("restarts", "Restarts of the runner.")
        yield self._gauge("memory_bytes", "Resident set of the runner.")
        for name, text in _COUNTERS.items():
            yield self._counter(name, text)
        for name, text in _GAUGES.items():
            yield self._gauge(name, text)
        state = GaugeMetricFamily(
            "cloister_engine_model_state", "1 for the state of a model.", labels=["model", "state"]
        )
        for model, reading in self._readings.items():
            state.add_metric([model, str(reading["state"])], 1)
        yield state

    def _counter(self, name: str, text: str) -> Metric:
        family = CounterMetricFamily(f"cloister_engine_{name}", text, labels=["model"])
        for model, reading in self._readings.items():
            family.add_metric([model], reading.get(name, 0))
        return family

    def _gauge(self, name: str, text: str) -> Metric:
        family = GaugeMetricFamily(f"cloister_engine_{name}", text, labels=["model"])
        for model, reading in self._readings.items():
            family.add_metric([model], reading.get(name, 0))
        return family


def exposition(readings: Mapping[str, Mapping[str, Any]]) -> bytes:
    """Prometheus' text format of one reading."""
    registry = CollectorRegistry()
    registry.register(EngineCollector(readings))
    return generate_latest(registry)
