"""The workloads: which requests, how many clients, and what is measured of the answers."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import jsonschema

from tests.benchmarks.disturb import Disturbed, disturb
from tests.benchmarks.drive import Answer, Request, ask, drive
from tests.benchmarks.measure import Clock, percentile
from tests.benchmarks.peers import Server, Side
from tests.benchmarks.texts import FORM, bare_grammar, fitted, note
from tests.benchmarks.weights import CONTEXT, Model

CHAT, PLAIN = "/v1/chat/completions", "/v1/completions"
_ROOM = 96  # tokens that a template, a beginning and the end of an answer may add


@dataclass(frozen=True)
class Outcome:
    """What one side did in one round: figures, and its answers to compare them."""

    figures: dict[str, float]
    texts: list[str]


class Workload(Protocol):
    """One table. `context` and `sequences` are what the servers are given."""

    @property
    def title(self) -> str: ...

    @property
    def context(self) -> int: ...

    @property
    def sequences(self) -> int: ...

    def run(self, side: Side, server: Server, model: Model, turn: int) -> Outcome:
        """Drive the server; `turn` numbers the round and picks the texts."""
        ...


@dataclass(frozen=True)
class Load:
    """Requests taken one after another by a number of clients.

    Args:
        make: a request by its seed.
        checked: answers must be a form.
    """

    title: str
    clients: int
    count: int
    tokens: int
    make: Callable[[Model, str], Request]
    checked: bool = False

    @property
    def context(self) -> int:
        """Cells for all clients at once, and never fewer than for one long request."""
        return max(CONTEXT, self.clients * (self.tokens + _ROOM))

    @property
    def sequences(self) -> int:
        """One a client."""
        return self.clients

    def run(self, side: Side, server: Server, model: Model, turn: int) -> Outcome:
        """Warm up, then drive and measure."""
        requests = [
            side.adapt(self.make(model, f"{self.title} {turn} {number}"), model, bare_grammar(FORM))
            for number in range(self.count)
        ]
        warm_up(side, server, model)
        with Clock(server.process) as clock:
            answers = drive(server.address, requests, self.clients)
        figures = load_figures(answers, clock)
        if self.checked:
            valid = sum(is_form(answer.text) for answer in answers)
            figures |= {"valid": valid / len(answers), "valid_per_cpu": valid / clock.cpu}
        return Outcome(figures, [answer.text for answer in answers])


@dataclass(frozen=True)
class Single:
    """One stream after a short prompt: the pace of decoding, nothing else."""

    bytes_per_second: float
    tokens: int = 128
    title: str = "single stream"
    context: int = CONTEXT
    sequences: int = 1

    def run(self, side: Side, server: Server, model: Model, turn: int) -> Outcome:
        """Warm up, then measure one answer."""
        warm_up(side, server, model)
        request = side.adapt(_free(16, self.tokens, model, f"single {turn}"), model, "")
        with Clock(server.process) as clock:
            answer = ask(server.address, request)
        pace = (answer.tokens - 1) / (answer.arrivals[-1] - answer.arrivals[0])
        more = {"per_cpu": answer.tokens / clock.cpu, "others": clock.others}
        return Outcome(self.figures(pace, model) | more, [answer.text])

    def figures(self, pace: float, model: Model) -> dict[str, float]:
        """A pace in tokens a second, beside the bytes that it must read."""
        return {"single": pace, "bandwidth": pace * model.size / self.bytes_per_second}


@dataclass(frozen=True)
class Newcomer:
    """One long prompt that arrives among running streams."""

    streams: int = 8
    tokens: int = 480
    prompt: int = 4000
    title: str = "4,000-token prompt among 8 running streams"

    @property
    def context(self) -> int:
        """Cells for all at once."""
        return self.streams * (32 + self.tokens + _ROOM) + self.prompt + _ROOM

    @property
    def sequences(self) -> int:
        """The streams and the newcomer."""
        return self.streams + 1

    def run(self, side: Side, server: Server, model: Model, turn: int) -> Outcome:
        """Warm up, let the streams run, and disturb them."""
        warm_up(side, server, model)
        running = [
            side.adapt(_free(32, self.tokens, model, f"stream {turn} {number}"), model, "")
            for number in range(self.streams)
        ]
        prompt = _free(self.prompt, 4, model, f"newcomer {turn}")
        with Clock(server.process) as clock:
            found = disturb(server.address, running, side.adapt(prompt, model, ""))
        return Outcome(_disturbed_figures(found, clock), [each.text for each in found.streams])


def warm_up(side: Side, server: Server, model: Model) -> None:
    """One small request that is not measured."""
    request = side.adapt(_free(16, 4, model, "warm up"), model, "")
    drive(server.address, [request], 1)


def load_figures(answers: Sequence[Answer], clock: Clock) -> dict[str, float]:
    """The figures of all loads."""
    made = sum(answer.tokens for answer in answers)
    firsts = [answer.arrivals[0] - answer.began for answer in answers if answer.arrivals]
    gaps = [end - start for answer in answers for start, end in answer.gaps]
    told = [answer.prompt_tokens for answer in answers if answer.prompt_tokens]
    return {
        "wall": clock.wall / len(answers),
        "cpu": clock.cpu / len(answers),
        "rate": made / clock.wall,
        "per_cpu": made / clock.cpu,
        "first": statistics.median(firsts) * 1e3,
        "gap": percentile(gaps, 0.95) * 1e3,
        **({"prompt": statistics.mean(told)} if told else {}),
        "length": made / len(answers),
        "others": clock.others,
    }


def _disturbed_figures(found: Disturbed, clock: Clock) -> dict[str, float]:
    quiet, disturbed = (percentile(gaps, 0.95) * 1e3 for gaps in (found.quiet, found.disturbed))
    return {
        "quiet": quiet,
        "disturbed": disturbed,
        "slowdown": disturbed / quiet,
        "stall": max(found.disturbed) * 1e3,
        "newcomer": (found.newcomer.arrivals[0] - found.newcomer.began) * 1e3,
        "others": clock.others,
    }


def is_form(text: str) -> bool:
    """Whether an answer is JSON that the form's schema allows."""
    try:
        jsonschema.validate(json.loads(text), FORM)
    except (ValueError, jsonschema.ValidationError):
        return False
    return True


def _free(length: int, tokens: int, model: Model, seed: str) -> Request:
    return Request(
        PLAIN,
        {
            "prompt": fitted(model.tokens, length, seed),
            "max_tokens": tokens,
            "temperature": 0,
            "logit_bias": {str(token): -100 for token in model.ends},
        },
    )


def _triage(model: Model, seed: str) -> Request:
    form = {"name": "form", "schema": FORM, "strict": True}
    return Request(
        CHAT,
        {
            "messages": [
                {"role": "system", "content": fitted(model.tokens, 600, "instructions")},
                {"role": "user", "content": fitted(model.tokens, 30, seed)},
            ],
            "max_tokens": 256,
            "temperature": 0,
            "response_format": {"type": "json_schema", "json_schema": form},
        },
    )


def _copy(model: Model, seed: str) -> Request:
    task = "Copy the note. Replace each name, date, id, phone, address and e-mail by its label."
    return Request(
        CHAT,
        {
            "messages": [
                {"role": "system", "content": task},
                {"role": "user", "content": note(seed)},
            ],
            "max_tokens": 256,
            "temperature": 0,
        },
    )


def loads(name: str, clients: Sequence[int], requests: int | None) -> list[Load]:
    """The loads called `name`, one for each number of clients."""
    if name == "copy":
        return [Load("copying a note, 1 client", 1, requests or 8, 512, _copy)]
    triage = name == "triage"
    title = "triage, 600 + 30 in, form of 8 fields" if triage else "free text, 256 in, 64 out"
    tokens = 600 + 30 + 256 if triage else 256 + 64
    make = _triage if triage else partial(_free, 256, 64)
    return [
        Load(
            f"{title}, {each} client{'s' * (each > 1)}",
            each,
            requests or (64 if triage else max(8, 2 * each)),
            tokens,
            make,
            checked=triage,
        )
        for each in clients
    ]
