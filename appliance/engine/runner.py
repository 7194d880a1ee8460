"""A runner: the process of one model. Started by the supervisor, on a socket only it uses.

The HTTP front runs in the main thread's event loop, the scheduler in a thread of its own; so does
the encoder, where the model only reads. Whatever
can go wrong while loading is reported on the `ready` pipe before the process ends.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette

from appliance.catalogue.architectures import Nature, possible_capabilities
from appliance.catalogue.errors import CatalogueError
from appliance.catalogue.manifest import ModelManifest, read_manifest
from appliance.engine.adapters import Adapters
from appliance.engine.asgi import bind_socket, server
from appliance.engine.encoder_front import EncoderFront
from appliance.engine.encoding import Encoder, Reading
from appliance.engine.errors import ModelLoadError
from appliance.engine.front import Front, deliver
from appliance.engine.grammar import Grammars
from appliance.engine.heads import find_pooling, read_head
from appliance.engine.infill import find_infill, make_vocabulary
from appliance.engine.intake import Served
from appliance.engine.llama import Loaded, LogTail, engine_build, load
from appliance.engine.options import EngineOptions, add_option_arguments, options_from
from appliance.engine.outbox import Event
from appliance.engine.process import die_with_parent
from appliance.engine.reading import ServedEncoder
from appliance.engine.scheduler import Scheduler
from appliance.engine.stepper import Stepper
from appliance.engine.template import ChatTemplate
from appliance.engine.translating import TranslatingStepper, first_token
from appliance.engine.vocab import Vocabulary

EXIT_LOAD_FAILED = 3
EXIT_DECODE_FAILED = 4
_GRACE_SECONDS = 2
# Seconds. The scheduler needs the interpreter lock back as soon as a decode step ends; Python's
# default of 5 ms would leave it waiting for longer than the step of a small model takes.
_SWITCH_INTERVAL = 0.0002

_log = logging.getLogger(__name__)

Serving = Served | ServedEncoder


def main(arguments: list[str] | None = None) -> int:
    """Load the model, say so, and serve until told to stop."""
    given = _parser().parse_args(arguments)
    die_with_parent(given.parent)
    logging.basicConfig(level=logging.WARNING, format="runner %(levelname)s %(message)s")
    sys.setswitchinterval(_SWITCH_INTERVAL)
    options = options_from(given)
    try:
        manifest = read_manifest(given.manifest)
        loaded = _load(manifest, given.manifest.parent, options)
        served = _serve(manifest, loaded, options)
    except (CatalogueError, ModelLoadError) as error:
        _report(given.ready, {"error": str(error)})
        return EXIT_LOAD_FAILED
    except Exception as error:  # the edge of the process: a hostile file may break any assumption
        _log.exception("loading failed")
        _report(given.ready, {"error": f"loading failed with {type(error).__name__}; see the log"})
        return EXIT_LOAD_FAILED
    start = partial(_assembled, served, loaded, manifest, given.manifest.parent, options)
    asyncio.run(_run(given.socket, given.ready, served, start))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m appliance.engine.runner")
    parser.add_argument("--manifest", type=Path, required=True)
    parser.add_argument("--socket", type=Path, required=True)
    parser.add_argument("--ready", type=int, required=True, help="file descriptor of a pipe")
    parser.add_argument("--parent", type=int, required=True, help="process id of the supervisor")
    add_option_arguments(parser)
    return parser


def _load(manifest: ModelManifest, models: Path, options: EngineOptions) -> Loaded:
    log = LogTail()
    log.install()
    # llama.cpp calls back into the log for as long as the process lives.
    _keep.append(log)
    return load(manifest.weights(models), manifest.context, options, log)


_keep: list[LogTail] = []


def _serve(manifest: ModelManifest, loaded: Loaded, options: EngineOptions) -> Serving:
    _check_capabilities(manifest, loaded)
    if loaded.nature is Nature.ENCODER:
        return _serve_encoder(manifest, loaded)
    vocabulary = make_vocabulary(manifest, loaded)
    translates = loaded.nature is Nature.ENCODER_DECODER
    return Served(
        name=manifest.name,
        digest=manifest.sha256,
        build=engine_build(),
        context=min(manifest.context, loaded.sequence_tokens),
        sequences=options.sequences,
        capabilities=manifest.capabilities,
        stops=manifest.stop,
        vocabulary=vocabulary,
        grammars=None if translates else Grammars(loaded, vocabulary),
        template=_template(manifest, loaded, vocabulary),
        infill=find_infill(manifest, loaded, vocabulary),
        keeps=loaded.shared and options.prefixes > 0,
        opening=first_token(loaded) if translates else None,
    )


def _check_capabilities(manifest: ModelManifest, loaded: Loaded) -> None:
    possible = possible_capabilities(loaded.architecture)
    wrong = [each for each in manifest.capabilities if each not in possible]
    if wrong:
        raise ModelLoadError(
            f"The manifest of {manifest.name!r} says it can {', '.join(wrong)}, but the most that a"
            f" model of the architecture {loaded.architecture!r} can is {', '.join(possible)};"
            " correct its capabilities."
        )


def _serve_encoder(manifest: ModelManifest, loaded: Loaded) -> ServedEncoder:
    return ServedEncoder(
        name=manifest.name,
        digest=manifest.sha256,
        build=engine_build(),
        # Behind the last position that was trained there is none: llama.cpp would end the process.
        context=min(manifest.context, loaded.trained),
        capabilities=manifest.capabilities,
        vocab=loaded.vocab,
        vocabulary_size=loaded.vocabulary_size,
        width=loaded.width,
        pooling=find_pooling(loaded),
        head=read_head(loaded) if "classify" in manifest.capabilities else None,
    )


def _template(
    manifest: ModelManifest, loaded: Loaded, vocabulary: Vocabulary
) -> ChatTemplate | None:
    source = loaded.metadata("tokenizer.chat_template")
    if manifest.template is not None:
        source = manifest.template.chat
    if source is None or "chat" not in manifest.capabilities:
        return None
    bos, eos = vocabulary.spelling(vocabulary.bos), vocabulary.spelling(vocabulary.eos)
    return ChatTemplate(source, vocabulary.marker_pattern, bos, eos)


Start = Callable[[asyncio.AbstractEventLoop], tuple[Starlette, Scheduler | Encoder]]


async def _run(path: Path, ready: int, served: Serving, start: Start) -> None:
    app, worker = start(asyncio.get_running_loop())
    worker.start()
    listener = bind_socket(path)
    _report(ready, {"context": served.context, "build": served.build})
    # uvicorn raises the signals that it took once more when it is done; we end in our own way.
    signal.signal(signal.SIGTERM, lambda *_: None)
    http: uvicorn.Server = server(app, _GRACE_SECONDS)
    await http.serve(sockets=[listener])
    await asyncio.to_thread(worker.close)
    path.unlink(missing_ok=True)


def _assembled(
    served: Serving,
    loaded: Loaded,
    manifest: ModelManifest,
    models: Path,
    options: EngineOptions,
    loop: asyncio.AbstractEventLoop,
) -> tuple[Starlette, Scheduler | Encoder]:
    """The HTTP application, and the thread that works for it."""

    def hand_over(events: list[Event]) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(deliver, events)

    def make_encoder(done: Callable[[list[Reading]], None]) -> Encoder:
        return Encoder(loaded, served.context, options, done, _stop_hard)

    if isinstance(served, ServedEncoder):
        front = EncoderFront(served, make_encoder)
        return front.app(), front.encoder
    options = options.fitting(loaded.nature, served.context)
    kind = Stepper if served.opening is None else TranslatingStepper
    stepper = kind(loaded, served.vocabulary.ends, options)
    scheduler = Scheduler(stepper, options, hand_over, _stop_hard)
    adapters = Adapters(manifest, models, loaded, scheduler.between_steps)
    return Front(served, scheduler, adapters).app(), scheduler


def _stop_hard(_error: Exception) -> None:
    """Decoding failed and the context is lost: a new process is the only clean state."""
    logging.shutdown()
    os._exit(EXIT_DECODE_FAILED)


def _report(ready: int, value: dict[str, Any]) -> None:
    with os.fdopen(ready, "w") as pipe:
        json.dump(value, pipe)


if __name__ == "__main__":
    sys.exit(main())
