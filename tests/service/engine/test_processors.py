"""What a runner computes on, how it attends, and in what format it keeps keys and values."""

from __future__ import annotations

import subprocess
import sys

import llama_cpp.llama_cpp as lib
import pytest

from appliance.engine.errors import EngineError
from tests.service.engine.conftest import SMALL, Engine, add_model, chat
from tests.support.tiny_gguf import Shape

NO_GPU = not lib.llama_supports_gpu_offload()


@pytest.mark.parametrize(
    "options",
    [
        ("--cache-type-k=q8_0", "--cache-type-v=q8_0"),
        ("--cache-type-k=q4_0", "--cache-type-v=q4_0", "--flash-attention=on"),
        ("--cache-type-k=bf16", "--cache-type-v=f32"),
        ("--cache-type-k=q8_0", "--flash-attention=off"),
    ],
    ids=["q8_0", "q4_0", "wider", "no-flash"],
)
def test_a_model_answers_and_says_how_it_keeps_its_cache(
    own_engine: Engine, options: tuple[str, ...]
) -> None:
    own_engine.options = (*SMALL, *options)
    add_model(own_engine, "tiny")
    own_engine.start()
    own_engine.wait_for("tiny", "ready")
    client = own_engine.client()
    first = client.chat(chat("the user and the assistant", max_tokens=32))
    again = client.chat(chat("the user and the assistant", max_tokens=32))
    assert first.usage["completion_tokens"] == again.usage["completion_tokens"] == 32
    own = own_engine.status("tiny").body["cloister"]
    said = {
        f"--{name.replace('_', '-')}={own[name]}"
        for name in ("cache_type_k", "cache_type_v", "flash_attention")
    }
    assert set(options) <= said
    assert own["processor"] == "CPU, 1 thread"


def test_a_cache_type_that_the_heads_do_not_divide_into_is_refused_by_name(
    own_engine: Engine,
) -> None:
    own_engine.options = (*SMALL, "--cache-type-k=q8_0")
    add_model(own_engine, "tiny", shape=Shape(width=96, heads=4))
    own_engine.start()
    error = own_engine.wait_for("tiny", "failed").error or ""
    assert "q8_0" in error
    assert "engine_cache_type_k" in error


@pytest.mark.skipif(not NO_GPU, reason="this build of llama.cpp computes on a GPU")
def test_layers_for_a_gpu_that_is_not_there_are_refused_with_the_remedy(own_engine: Engine) -> None:
    own_engine.options = (*SMALL, "--gpu-layers=-1")
    add_model(own_engine, "tiny")
    own_engine.start()
    error = own_engine.wait_for("tiny", "failed").error or ""
    assert error.startswith("engine_gpu_layers is -1, but llama.cpp finds no GPU here")
    assert "set it to 0" in error
    with pytest.raises(EngineError, match="engine_gpu_layers"):
        own_engine.client().chat(chat())


def test_quantised_values_without_flash_attention_do_not_start(own_engine: Engine) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "appliance.engine",
            f"--socket={own_engine.socket}",
            f"--models={own_engine.models}",
            f"--run-dir={own_engine.folder / 'run'}",
            "--flash-attention=off",
            "--cache-type-v=q8_0",
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "need flash attention: set engine_flash_attention to auto" in done.stderr
    assert "Traceback" not in done.stderr
