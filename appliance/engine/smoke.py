"""A small request to a runner whose model nobody has asked for anything yet."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from appliance.catalogue.manifest import ModelManifest
from appliance.engine.errors import EngineError, SmokeError
from appliance.engine.identity import ADAPTER_DIGEST, MODEL_DIGEST, Chosen
from appliance.engine.launch import Runner
from appliance.engine.relay import Call, RunnerGoneError, exchange

_ANSWER_SECONDS = 120.0  # on a busy model the request waits its turn


async def smoke(
    manifest: ModelManifest,
    runner: Runner,
    tokens: int = 1,
    seconds: float = _ANSWER_SECONDS,
    adapter: ModelManifest | None = None,
) -> None:
    """Return only if the runner answers a small request, from the right weights.

    Args:
        manifest: of the model.
        runner: that has loaded it.
        tokens: of the answer at most.
        seconds: that it may take.
        adapter: manifest of the adapter to answer with.

    Raises:
        SmokeError: it does not.
    """
    path, body = _small_request(manifest, tokens)
    name = manifest.name if adapter is None else adapter.name
    header = None if adapter is None else Chosen(name, adapter.sha256).header()
    call = Call(runner.socket, "POST", path, json.dumps(body).encode(), adapter=header)
    try:
        async with asyncio.timeout(seconds), exchange(call) as incoming:
            raw = b"".join([part async for part in incoming.body])
    except RunnerGoneError:
        raise SmokeError(name, "its process ended.") from None
    except TimeoutError:
        raise SmokeError(name, f"none came in {seconds:g} seconds.") from None
    if incoming.status != 200:
        error = EngineError.from_body(incoming.status, json.loads(raw))
        raise SmokeError(name, error.message)
    wanted = [(MODEL_DIGEST, manifest.sha256)]
    wanted += [] if adapter is None else [(ADAPTER_DIGEST, adapter.sha256)]
    for header_name, digest in wanted:
        if (header_name.lower().encode(), digest.encode()) not in incoming.headers:
            raise SmokeError(name, "it came from other weights than the manifest promises.")


def _small_request(manifest: ModelManifest, tokens: int) -> tuple[str, dict[str, Any]]:
    body: dict[str, Any] = {"model": manifest.name}
    if "embed" in manifest.capabilities:
        return "/v1/embeddings", body | {"input": "Hello."}
    if "classify" in manifest.capabilities:
        return "/v1/classify", body | {"input": "Hello."}
    body |= {"max_tokens": tokens, "temperature": 0}
    if "chat" in manifest.capabilities:
        return "/v1/chat/completions", body | {"messages": [{"role": "user", "content": "Hello."}]}
    return "/v1/completions", body | {"prompt": "Hello."}
