"""Damaged files, dead processes: each is contained, named, and got over."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from appliance.catalogue.digest import file_digest
from appliance.engine.client import EngineClient
from appliance.engine.errors import EngineError
from tests.service.engine.conftest import ENDLESS, Engine, add_model, chat
from tests.support.gguf_bytes import words
from tests.support.tiny_gguf import write_manifest
from tests.support.wait import wait_until


def resign(weights: Path) -> None:
    """Let the manifest promise the bytes as they are, so that only llama.cpp can object."""
    write_manifest(weights.parent, weights.stem, file_digest(weights))


def truncated(weights: Path) -> None:
    os.truncate(weights, weights.stat().st_size // 2)


def headless(weights: Path) -> None:
    weights.write_bytes(b"not a model at all" * 100)


def empty(weights: Path) -> None:
    weights.write_bytes(b"")


def huge_counts(weights: Path) -> None:
    raw = bytearray(weights.read_bytes())
    raw[8:24] = b"\xff" * 16
    weights.write_bytes(raw)


def flipped_header(weights: Path) -> None:
    raw = bytearray(weights.read_bytes())
    for place in range(24, 2000, 97):
        raw[place] ^= 0x55
    weights.write_bytes(raw)


def not_finite(weights: Path) -> None:
    raw = bytearray(weights.read_bytes())
    raw[-4096:] = b"\xff" * 4096
    weights.write_bytes(raw)


def unknown_scaling(weights: Path) -> None:
    """A value that only llama.cpp looks at, which then aborts; 64 bytes keep the alignment."""
    raw = weights.read_bytes()
    count = int.from_bytes(raw[16:24], "little") + 1
    entry = words("llama.rope.scaling.type", "s" * 21)
    weights.write_bytes(raw[:16] + count.to_bytes(8, "little") + entry + raw[24:])


@pytest.mark.parametrize(
    "damage", [truncated, headless, empty, huge_counts, flipped_header, not_finite]
)
def test_a_damaged_file_fails_alone_and_by_name(
    own_engine: Engine, damage: Callable[[Path], None]
) -> None:
    add_model(own_engine, "tiny")
    weights = add_model(own_engine, "bad")
    damage(weights)
    resign(weights)
    own_engine.start()
    own_engine.wait_for("tiny", "ready")
    bad = wait_until(
        lambda: (
            found if (found := own_engine.status("bad")).state in ("failed", "backoff") else None
        ),
        30,
        "complaint about the damaged file",
    )
    assert bad is not None
    assert bad.error
    client = own_engine.client()
    with pytest.raises(EngineError) as caught:
        client.chat(chat(model="bad"))
    assert caught.value.status == 503
    assert caught.value.code in ("model_failed", "model_not_ready")
    assert caught.value.retry_after
    assert client.chat(chat()).usage["completion_tokens"] == 8
    assert "Traceback" not in own_engine.log()


def test_a_file_that_crashes_llama_cpp_takes_only_its_own_runner_down(own_engine: Engine) -> None:
    add_model(own_engine, "tiny")
    weights = add_model(own_engine, "bad")
    unknown_scaling(weights)
    resign(weights)
    own_engine.start()
    own_engine.wait_for("tiny", "ready")
    bad = own_engine.wait_for("bad", "backoff")
    assert "SIGABRT" in str(bad.error)
    assert own_engine.client().chat(chat()).finish_reason == "length"
    assert "5 times in a row" in str(own_engine.wait_for("bad", "failed").error)


def test_wrong_digest_missing_file_and_bad_manifest_are_named(own_engine: Engine) -> None:
    add_model(own_engine, "tiny")
    flipped = add_model(own_engine, "flipped")
    raw = bytearray(flipped.read_bytes())
    raw[-1] ^= 1
    flipped.write_bytes(raw)
    add_model(own_engine, "missing").unlink()
    (own_engine.models / "unreadable.toml").write_text("name = 5")
    own_engine.start()
    own_engine.wait_for("tiny", "ready")
    assert "SHA-256" in str(own_engine.wait_for("flipped", "failed").error)
    assert "missing.gguf" in str(own_engine.wait_for("missing", "failed").error)
    assert "unreadable.toml" in str(own_engine.wait_for("unreadable", "failed").error)
    assert own_engine.client().chat(chat()).finish_reason == "length"


def test_a_failed_model_comes_back_when_its_file_is_put_right(own_engine: Engine) -> None:
    weights = add_model(own_engine, "tiny")
    right = weights.read_bytes()
    weights.write_bytes(b"wrong")
    own_engine.start()
    own_engine.wait_for("tiny", "failed")
    weights.write_bytes(right)
    own_engine.wait_for("tiny", "ready")


def test_a_killed_runner_is_a_clean_error_for_all_its_requests_and_is_restarted(
    own_engine: Engine,
) -> None:
    add_model(own_engine, "tiny")
    own_engine.start()
    own_engine.wait_for("tiny", "ready")
    client = own_engine.client()
    errors: list[EngineError] = []

    def ask(number: int) -> None:
        body = chat(max_tokens=240)
        try:
            for _ in range(100):
                if number % 2:
                    client.chat(body)
                else:
                    with client.stream_chat(body) as stream:
                        assert list(stream)[-1].finish_reason == "length"
        except EngineError as error:
            errors.append(error)

    with ThreadPoolExecutor(6) as pool:
        asked = [pool.submit(ask, number) for number in range(6)]
        wait_until(lambda: own_engine.status("tiny").in_use > 0, 10, "load")
        own_engine.runners()[0].kill()
        for each in asked:
            each.result(30)
    assert len(errors) == 6
    assert all(error.status == 503 and error.retry_after for error in errors)
    assert {error.code for error in errors} <= {"runner_died", "model_not_ready", "queue_full"}
    assert "runner_died" in {error.code for error in errors}
    own_engine.wait_for("tiny", "ready")
    assert client.chat(chat()).finish_reason == "length"
    assert 'restarts_total{model="tiny"} 1.0' in client.metrics()


def test_delays_between_restarts_grow(own_engine: Engine) -> None:
    add_model(own_engine, "tiny")
    own_engine.start()
    for delay in ("0.5", "1"):
        own_engine.wait_for("tiny", "ready")
        own_engine.runners()[0].kill()
        assert f"next start in {delay} s" in str(own_engine.wait_for("tiny", "backoff").error)


def test_runners_die_with_their_supervisor_and_its_restart_works(own_engine: Engine) -> None:
    add_model(own_engine, "tiny")
    own_engine.start()
    own_engine.wait_for("tiny", "ready")
    runners = own_engine.runners()
    assert own_engine.process is not None
    own_engine.process.kill()
    own_engine.process.wait(10)
    _, alive = psutil.wait_procs(runners, timeout=5)
    assert not alive
    own_engine.start()
    own_engine.wait_for("tiny", "ready")
    assert own_engine.client().chat(chat()).finish_reason == "length"


def test_runners_die_even_when_the_supervisor_ends_while_they_load(own_engine: Engine) -> None:
    add_model(own_engine, "tiny")
    own_engine.start()
    wait_until(own_engine.runners, 10, "runner")
    runners = own_engine.runners()
    assert own_engine.process is not None
    own_engine.process.kill()
    own_engine.process.wait(10)
    _, alive = psutil.wait_procs(runners, timeout=10)
    assert not alive


def test_sigterm_ends_everything_and_leaves_no_socket(own_engine: Engine) -> None:
    add_model(own_engine, "tiny")
    own_engine.start()
    own_engine.wait_for("tiny", "ready")
    runners = own_engine.runners()
    assert own_engine.process is not None
    own_engine.process.terminate()
    assert own_engine.process.wait(15) == 0
    assert not any(runner.is_running() for runner in runners)
    assert not list(own_engine.folder.rglob("*.sock"))
    assert "Traceback" not in own_engine.log()


def test_sigterm_under_load_ends_in_bounded_time(own_engine: Engine) -> None:
    add_model(own_engine, "tiny")
    own_engine.start()
    own_engine.wait_for("tiny", "ready")
    stream = own_engine.client().stream_chat(chat(max_tokens=200, logit_bias=ENDLESS))
    next(stream)
    assert own_engine.process is not None
    began = time.monotonic()
    own_engine.process.send_signal(signal.SIGTERM)
    assert own_engine.process.wait(20) == 0
    assert time.monotonic() - began < 15
    stream.close()


def test_a_second_supervisor_does_not_take_the_socket(own_engine: Engine) -> None:
    add_model(own_engine, "tiny")
    own_engine.start()
    second = subprocess.run(
        [
            sys.executable,
            "-m",
            "appliance.engine",
            f"--socket={own_engine.socket}",
            f"--models={own_engine.models}",
            f"--run-dir={own_engine.folder / 'other'}",
        ],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert second.returncode == 1
    assert "Another process answers" in second.stderr
    assert own_engine.client().healthy()


def test_the_socket_is_for_owner_and_group_only(own_engine: Engine) -> None:
    own_engine.start()
    assert own_engine.socket.stat().st_mode & 0o777 == 0o660


def test_the_supervisor_is_small_and_loads_no_model_code(own_engine: Engine) -> None:
    add_model(own_engine, "tiny")
    own_engine.start()
    own_engine.wait_for("tiny", "ready")
    own_engine.client().metrics()
    assert own_engine.process is not None
    maps = Path(f"/proc/{own_engine.process.pid}/maps").read_text()
    assert "libllama" not in maps
    assert "numpy" not in maps
    assert psutil.Process(own_engine.process.pid).memory_info().rss < 60_000_000


def test_an_idle_engine_uses_no_cpu(own_engine: Engine) -> None:
    add_model(own_engine, "tiny")
    own_engine.start()
    own_engine.wait_for("tiny", "ready")
    own_engine.client().chat(chat())
    runner = own_engine.runners()[0]
    before = sum(runner.cpu_times()[:2])
    time.sleep(1.0)  # the span that is measured
    assert sum(runner.cpu_times()[:2]) - before <= 0.05


def test_without_the_engine_the_client_says_so(tmp_path: Path) -> None:
    client = EngineClient(tmp_path / "none.sock")
    assert not client.healthy()
    with pytest.raises(EngineError) as caught:
        client.models()
    assert (caught.value.status, caught.value.code) == (503, "engine_unavailable")
    client.close()
