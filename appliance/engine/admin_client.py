"""Client of the engine's `/admin` routes, for the command line of the engine's own user."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from appliance.engine.client import EngineClient

_ALIASES = "/admin/aliases"


class EngineAdmin(EngineClient):
    """Points aliases at models; every method raises `EngineError` as the engine says."""

    def aliases(self) -> list[dict[str, Any]]:
        """All aliases by name: `alias`, `model`, `sha256`, `since`, `by`, and `earlier` targets."""
        found: list[dict[str, Any]] = self._call("GET", _ALIASES).json()["data"]
        return found

    def prepare(
        self, alias: str, model: str | None, *, stop_first: bool = False
    ) -> Mapping[str, Any]:
        """Load the model of a move and have it answer a small request; move nothing yet.

        Args:
            alias: that is to be moved.
            model: where to; None for where it pointed before.
            stop_first: whether what it points at now may be stopped before; requests for the alias
                wait from now until the move is made.

        Returns:
            The move to come: `alias`, `model`, `sha256`, `before`.
        """
        body = {"model": model} if model else {}
        if stop_first:
            body["stop_first"] = "yes"
        return self._answered("POST", f"{_path(alias)}/prepare", body)

    def activate(self, alias: str, model: str, by: str, sha256: str) -> Mapping[str, Any]:
        """Point an alias at a model with these weights; returns the move.

        Args:
            alias: new or known.
            model: its own name.
            by: who does it.
            sha256: as `prepare` gave it.
        """
        return self._answered("PUT", _path(alias), {"model": model, "by": by, "sha256": sha256})

    def rollback(self, alias: str, model: str) -> Mapping[str, Any]:
        """Point an alias at `model`, which it pointed at before: as `activate`."""
        return self._answered("POST", f"{_path(alias)}/rollback", {"model": model})

    def remove(self, alias: str) -> Mapping[str, Any]:
        """Forget an alias."""
        return self._answered("DELETE", _path(alias))

    def _answered(
        self, method: str, path: str, body: Mapping[str, str] | None = None
    ) -> Mapping[str, Any]:
        answer: Mapping[str, Any] = self._call(method, path, body).json()
        return answer


def _path(alias: str) -> str:
    return f"{_ALIASES}/{quote(alias, safe='')}"
