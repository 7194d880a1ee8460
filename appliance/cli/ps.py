"""`cloister model ps`: how the models run, now or every second."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any, Final

import click
from rich.live import Live

from appliance.cli.common import console, json_option, print_list, size, table_of, words
from appliance.engine.client import EngineClient
from appliance.engine.errors import EngineError
from appliance.engine.overview import ModelStatus, Overview
from appliance.settings import Settings

_REFRESH_SECONDS: Final = 1.0
_AWAY: Final = "The engine does not answer. These are the last figures; it is asked again."
_COUNTS: Final = ("queued", "tokens_per_second", "requests", "prefix_hits", "restarts")
_FOR_PROGRAMS: Final = (
    "prompt_tokens",
    "answer_tokens",
    "shared_tokens",
    "measured",
    "pace",
    "gives_way",
    "held_bytes",
)
"""In JSON only: a table of all would not fit onto a wide screen."""


@click.command("ps")
@click.option("--watch", is_flag=True, help="Look again every second; Ctrl-C ends it.")
@json_option
def command(watch: bool, as_json: bool) -> None:
    """Show how each model runs: its aliases, memory, processor, load and speed.

    Tokens per second are those of the answers of the last ten seconds, all requests together.
    An adapter is in the memory of its base, which counts its requests too.
    Requests, and prefix hits (prompts whose beginning was in memory already), are counted since the
    model was loaded. Flash is whether attention does without a matrix of scores, cache the number
    formats of cached keys and values, as set. A stopped model starts when it is asked for. JSON has
    more: tokens, memory by plan and of the limit, and the pace of the last minute.

    \b
    Examples:
      cloister model ps
      cloister model ps --watch
      cloister model ps --json
    """
    if watch and as_json:
        raise click.UsageError("--watch is for people; ask again and again for --json instead.")
    with EngineClient(Settings().engine_socket, timeout=10.0) as client:
        if watch:
            _watch(client)
        else:
            print_list(_rows(client), _COLUMNS, as_json=as_json)


def _watch(client: EngineClient) -> None:
    table = table_of(_rows(client), _COLUMNS)
    # Ctrl-C is how a person ends it, so it is no failure.
    with suppress(KeyboardInterrupt), Live(table, console=console(), auto_refresh=False) as live:
        while True:
            try:
                table = table_of(_rows(client), _COLUMNS)
            except EngineError:
                table.caption = _AWAY
            live.update(table, refresh=True)
            time.sleep(_REFRESH_SECONDS)  # a picture a second, until Ctrl-C


def _rows(client: EngineClient) -> list[dict[str, Any]]:
    overview = client.overview()
    return [_row(model, overview) for model in overview.models]


def _row(model: ModelStatus, overview: Overview) -> dict[str, Any]:
    own = model.body["cloister"]
    return {
        "model": model.id,
        "base": own["base"],
        "aliases": own["aliases"],
        "state": model.state,
        "size": model.memory_bytes,
        "weights_bytes": own["weights_bytes"],
        "processor": own["processor"],
        "in_use": model.in_use,
        "sequences": model.sequences,
        **{name: own[name] for name in (*_COUNTS, *_FOR_PROGRAMS)},
        "flash": own["flash_attention"],
        "cache": f"{own['cache_type_k']}/{own['cache_type_v']}",
        "limit_bytes": overview.limit_bytes,
        "error": model.error,
    }


def _speed(tokens_per_second: float) -> str:
    return f"{tokens_per_second:.1f}"


_COLUMNS: Final = {
    "model": words,
    "base": words,
    "aliases": words,
    "state": words,
    "size": size,
    "processor": words,
    "in_use": words,
    **dict.fromkeys(_COUNTS, words),
    "tokens_per_second": _speed,
    "flash": words,
    "cache": words,
}
