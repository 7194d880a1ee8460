"""A prompt's beginning, decoded before anybody asks: a sequence whose answer nobody hears."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence as Tokens

from appliance.engine.errors import DecodeError
from appliance.engine.llama import Adapter
from appliance.engine.sampling import Sampling, TokenLogprobs
from appliance.engine.sequence import Finish, Group, Sequence


class Ahead:
    """The sink of such a sequence.

    Args:
        tokens: the beginning.
        adapter: that it is decoded with.
    """

    def __init__(self, tokens: list[int], adapter: Adapter | None = None) -> None:
        """Nothing is decoded yet."""
        # Room for one token: a sequence ends when it has drawn its last, with its prompt decoded.
        most = len(tokens) + 1
        sampling = Sampling(temperature=0.0)
        sequence = Sequence(self, sampling, 0, list(tokens), most, adapter=adapter)
        # Announced: it is no request, and is not counted as one.
        self.group = Group([sequence], len(tokens), announced=True)
        self._finish: Finish | None = None
        self._ended = asyncio.Event()

    def started(self) -> None:
        """Nobody waits for this."""

    def take(
        self, _tokens: Tokens[int], _logprobs: TokenLogprobs | None, finish: Finish | None
    ) -> None:
        """Drop what was drawn; remember why it ended."""
        if finish is not None:
            self._finish = finish
            self._ended.set()

    async def decoded(self) -> None:
        """Return once the beginning lies in the KV cache.

        Raises:
            DecodeError: it can not be decoded.
        """
        await self._ended.wait()
        if self._finish in {Finish.FAILED, Finish.CANCELLED}:
            raise DecodeError("A beginning could not be decoded ahead.")
