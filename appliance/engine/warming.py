"""Have the beginnings that requests have in common decoded before anybody asks.

Who makes requests of one kind (a task's instructions, then somebody's text) hands over two samples
of each kind. What the two begin with is decoded ahead by the runner of their model: when they are
handed over, when a runner was started again, and when an alias was moved to another model.
Nothing is answered, and nobody's words are in it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from appliance.engine.errors import BadRequestError, EngineError
from appliance.engine.fleet import Answerer
from appliance.engine.launch import Runner
from appliance.engine.relay import Call, RunnerGoneError, call_whole

_MOST = 64  # kinds of requests; a runner keeps `engine_prefixes` of them at most
_MOST_CHARS = 4 * 1024 * 1024
_SECONDS = 300.0  # for one beginning; on a busy model it waits its turn
_OK, _UNAVAILABLE = 200, 503

_log = logging.getLogger(__name__)


class _Kind(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = Field(min_length=1, max_length=256)
    samples: Annotated[list[dict[str, Any]], Field(min_length=2, max_length=2)]


class _Kinds(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    beginnings: Annotated[list[_Kind], Field(max_length=_MOST)]


@dataclass(frozen=True)
class _Wanted:
    asked: str  # model or alias
    body: bytes  # of the request to its runner
    digest: bytes


_Header = str | None
_Done = tuple[_Header, bytes]


class Warming:
    """The beginnings that runners shall have decoded, and which of them have.

    Args:
        answerer_of: finds who answers a name now; raises EngineError where none does.
        most: beginnings that one runner keeps.
    """

    def __init__(self, answerer_of: Callable[[str], Answerer], most: int) -> None:
        """Nothing is wanted yet."""
        self._answerer_of = answerer_of
        self._most = most
        self._wanted: list[_Wanted] = []
        self._done: dict[Runner, set[_Done]] = {}
        self._wake = asyncio.Event()

    def want(self, body: Mapping[str, Any]) -> int:
        """Take the whole list anew; to hand over the same list again costs nothing.

        Args:
            body: `{"beginnings": [{"model", "samples": [chat request, chat request]}]}`.

        Returns:
            How many beginnings are wanted now.

        Raises:
            BadRequestError: the list has another form, or is too long.
        """
        try:
            kinds = _Kinds.model_validate(body).beginnings
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            name = ".".join(map(str, first["loc"]))
            raise BadRequestError(name, f"{name}: {first['msg']}.") from error
        wanted = [_wanted(kind) for kind in kinds]
        if sum(len(each.body) for each in wanted) > _MOST_CHARS:
            raise BadRequestError(
                "beginnings", f"beginnings: all samples together pass {_MOST_CHARS} characters."
            )
        self._wanted = wanted
        self.look()
        return len(wanted)

    def look(self) -> None:
        """Something has changed: a runner was started, or an alias moved."""
        self._wake.set()

    async def run(self) -> None:
        """Decode ahead whatever is wanted, one after the other, for as long as the engine runs."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self._round()

    async def _round(self) -> None:
        present: dict[Runner, set[_Done]] = {}
        wanted = list(self._wanted)
        digests = {each.digest for each in wanted}
        for each in wanted:
            found = self._ready(each.asked)
            if found is None:
                continue
            runner, adapter = found
            before = {one for one in self._done.get(runner, set()) if one[1] in digests}
            done = present.setdefault(runner, before)
            if (adapter, each.digest) not in done and len(done) < self._most:
                await self._decode(each, runner, adapter, done)
        self._done = present

    def _ready(self, asked: str) -> tuple[Runner, _Header] | None:
        """The runner that answers a name now, and with which adapter."""
        try:
            found = self._answerer_of(asked)
        except EngineError:
            return None
        if found.keeper.runner is None or not found.keeper.takes_requests:
            return None
        return found.keeper.runner, found.header

    async def _decode(
        self, wanted: _Wanted, runner: Runner, adapter: _Header, done: set[_Done]
    ) -> None:
        call = Call(runner.socket, "POST", "/beginnings", wanted.body, adapter=adapter)
        try:
            async with asyncio.timeout(_SECONDS):
                status, _ = await call_whole(call)
        except (RunnerGoneError, TimeoutError):
            return
        if status == _UNAVAILABLE:
            return  # there are users already; it is handed over again before long
        done.add((adapter, wanted.digest))
        if status != _OK:
            _log.warning("a beginning for %s is not decoded ahead (%d)", wanted.asked, status)


def _wanted(kind: _Kind) -> _Wanted:
    body = json.dumps({"samples": kind.samples}, sort_keys=True).encode()
    return _Wanted(kind.model, body, hashlib.sha256(body).digest())
