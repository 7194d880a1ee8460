"""What the board makes of the engine's words."""

from __future__ import annotations

from typing import Any

from appliance.engine.overview import read_overview
from appliance.web.board import Board, board

MIB = 1 << 20
_OWN: dict[str, Any] = {
    "state": "ready",
    "alias_of": None,
    "base": None,
    "aliases": [],
    "sha256": "0" * 64,
    "context": 4096,
    "sequences": 16,
    "in_use": 0,
    "queued": 0,
    "tokens_per_second": 0.0,
    "pace": [],
    "requests": 0,
    "prefix_hits": 0,
    "measured": True,
    "gives_way": False,
    "processor": "CPU, 1 thread",
    "weights_bytes": MIB,
    "memory_bytes": MIB,
    "held_bytes": 0,
    "error": None,
}


def _board(*models: dict[str, Any], held: int = 0, limit: int = 100 * MIB) -> Board:
    data = [{"id": f"m{number}", "cloister": _OWN | own} for number, own in enumerate(models)]
    memory = {"held_bytes": held, "limit_bytes": limit, "limit_set": True}
    return board(read_overview({"data": data, "cloister": {"memory": memory}}))


def test_aliases_have_no_row_of_their_own() -> None:
    shown = _board({"aliases": ["desk"]}, {"alias_of": "m0"})
    assert [(model.name, model.aliases) for model in shown.models] == [("m0", ["desk"])]


def test_the_bar_has_a_part_for_each_loaded_model_and_one_for_those_that_come_or_go() -> None:
    shown = _board({"held_bytes": 20 * MIB}, {"state": "stopped"}, held=50 * MIB)
    assert [(part.name, part.width) for part in shown.memory.parts] == [
        ("m0", 20.0),
        ("runners that come or go", 30.0),
    ]
    assert shown.memory.free == 50 * MIB


def test_more_than_the_limit_leaves_nothing_free() -> None:
    assert _board({"held_bytes": 9}, held=9, limit=3).memory.free == 0


def test_the_summary_changes_with_a_state_and_with_nothing_else() -> None:
    quiet, busy = _board({}), _board({"in_use": 3, "tokens_per_second": 40.0, "queued": 1})
    assert quiet.summary == busy.summary == "m0: Ready"
    assert _board({"gives_way": True}).summary == "m0: Stops after its requests"
    assert _board({"state": "stopped"}).summary == "m0: On disk, starts when asked for"


def test_why_a_model_failed_is_told() -> None:
    (model,) = _board({"state": "failed", "error": "The file is cut off."}).models
    assert (model.standing.kind, model.standing.advice) == ("bad", "The file is cut off.")
