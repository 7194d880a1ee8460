"""Manifests that are added, changed or removed while the engine runs."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

import psutil
import pytest

from appliance.engine.client import EngineClient
from appliance.engine.errors import EngineError
from tests.service.engine.conftest import Engine, add_model, chat
from tests.support.cloister import alive
from tests.support.tiny_gguf import write_manifest, write_tiny_gguf
from tests.support.wait import wait_until


@pytest.fixture
def running(own_engine: Engine) -> Engine:
    """An engine with the model `tiny`, ready."""
    add_model(own_engine, "tiny")
    own_engine.start()
    own_engine.wait_for("tiny", "ready")
    return own_engine


def change(engine: Engine, name: str, sha256: str, **changes: str | int) -> None:
    """Write a manifest anew as an editor does: whole, and renamed over the old one."""
    path = engine.models / f"{name}.toml"
    aside = engine.folder / "aside"
    aside.mkdir(exist_ok=True)
    os.replace(write_manifest(aside, name, sha256, **changes), path)


def title(engine: Engine, name: str = "tiny") -> str:
    return str(engine.status(name).body["cloister"]["title"])


def code_of(ask: Callable[[], object]) -> str:
    with pytest.raises(EngineError) as caught:
        ask()
    return caught.value.code


def test_a_model_added_while_the_engine_runs_answers_without_a_restart(running: Engine) -> None:
    client = running.client()
    assert code_of(lambda: client.chat(chat(model="late"))) == "model_not_found"
    add_model(running, "late", seed=2)
    # The first request for the unknown name makes the engine look, and waits for the load.
    assert client.chat(chat(model="late")).identity.model == "late"


def test_an_added_model_can_be_activated_at_once(running: Engine) -> None:
    add_model(running, "late", seed=2)
    admin = running.admin()
    admin.activate("new", "late", "tests", admin.prepare("new", "late")["sha256"])
    assert running.client().chat(chat(model="new")).identity.model == "late"


def test_a_removed_model_is_a_404_and_its_runner_ends_after_its_last_request(
    running: Engine,
) -> None:
    client = running.client()
    with client.stream_chat(chat(max_tokens=150)) as stream:
        next(stream)
        (running.models / "tiny.toml").unlink()
        assert client.models() == []
        assert code_of(lambda: client.chat(chat())) == "model_not_found"
        assert len(running.runners()) == 1
        assert list(stream)[-1].finish_reason == "length"
    wait_until(lambda: not running.runners(), 30, "end of the runner")


def test_a_live_request_of_a_removed_model_can_be_cancelled(running: Engine) -> None:
    client = running.client()
    with client.stream_chat(chat(max_tokens=200), "to-cancel") as stream:
        next(stream)
        (running.models / "tiny.toml").unlink()
        assert client.models() == []
        assert client.cancel("to-cancel")
        assert list(stream)[-1].finish_reason == "cancelled"


def test_an_alias_of_a_removed_model_says_so_and_answers_with_no_other(running: Engine) -> None:
    add_model(running, "other", seed=2)
    admin = running.admin()
    admin.activate("desk", "tiny", "tests", admin.prepare("desk", "tiny")["sha256"])
    (running.models / "tiny.toml").unlink()
    with pytest.raises(EngineError, match="no longer here") as caught:
        running.client().chat(chat(model="desk"))
    assert caught.value.code == "model_failed"
    listed = next(one for one in running.client().names() if one.id == "desk")
    assert (listed.state, listed.alias_of) == ("failed", "tiny")


def test_new_weights_under_the_same_name_take_over_and_no_request_fails(running: Engine) -> None:
    old = running.status("tiny").sha256
    new = write_tiny_gguf(running.models / "anew.gguf", seed=2)
    seen: list[str] = []
    wrong: list[EngineError] = []
    over = threading.Event()

    def ask() -> None:
        with EngineClient(running.socket, 60) as client:
            while not over.is_set():
                try:
                    seen.append(client.chat(chat()).identity.model_digest)
                except EngineError as error:
                    wrong.append(error)
                    return

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: len(seen) > 8 or wrong, 60, "answers of the old weights")
        change(running, "tiny", new, file="anew.gguf")
        wait_until(lambda: running.status("tiny").sha256 == new, 60, "the new weights")
        count = len(seen)
        wait_until(lambda: len(seen) > count + 8 or wrong, 60, "answers of the new weights")
    finally:
        over.set()
        for thread in threads:
            thread.join(60)
    assert wrong == []
    assert set(seen) == {old, new}
    assert seen[-1] == new
    wait_until(lambda: len(running.runners()) == 1, 30, "end of the old runner")


def test_a_changed_manifest_that_can_not_be_used_leaves_the_model_as_it_was(
    running: Engine,
) -> None:
    digest = running.status("tiny").sha256
    (runner,) = running.runners()
    for wrong, words in (("0" * 64, "SHA-256"), ("no digest", "sha256")):
        change(running, "tiny", wrong, title="Changed")

        def told(words: str = words) -> bool:
            status = running.status("tiny")
            return status.state == "ready" and words in (status.error or "")

        wait_until(told, 60, "complaint")
        assert running.client().chat(chat()).identity.model_digest == digest
        assert code_of(lambda: running.admin().prepare("desk", "tiny")) == "model_failed"
    change(running, "tiny", digest, title="Test model tiny")
    assert running.status("tiny").error is None
    assert [one.pid for one in running.runners()] == [runner.pid]


def test_weights_that_come_after_the_changed_manifest_are_taken_at_the_next_activation(
    running: Engine,
) -> None:
    aside = running.folder / "new.gguf"
    new = write_tiny_gguf(aside, seed=2)
    change(running, "tiny", new, file="new.gguf")
    wait_until(lambda: running.status("tiny").error, 60, "complaint")
    os.replace(aside, running.models / "new.gguf")
    assert running.admin().prepare("desk", "tiny")["sha256"] == new


def test_a_folder_that_is_away_for_a_while_stops_nothing(running: Engine) -> None:
    (before,) = running.runners()
    running.models.rename(running.folder / "away")
    client = running.client()
    assert client.chat(chat()).identity.model == "tiny"
    assert [one.state for one in client.models()] == ["ready"]
    (running.folder / "away").rename(running.models)
    assert client.chat(chat()).identity.model == "tiny"
    assert running.runners() == [before]


def test_a_manifest_that_is_only_touched_starts_nothing(running: Engine) -> None:
    (before,) = running.runners()
    os.utime(running.models / "tiny.toml", ns=(1, 1))
    assert title(running) == "Test model tiny"
    assert running.runners() == [before]


def test_the_last_of_many_changes_wins(running: Engine) -> None:
    digest = running.status("tiny").sha256
    for number in range(4):
        change(running, "tiny", digest, title=f"Change {number}")
        running.client().models()
    wait_until(lambda: title(running) == "Change 3", 60, "the last change")
    wait_until(lambda: len(running.runners()) == 1, 30, "end of all others")


def test_a_model_that_takes_the_name_of_an_alias_is_left_out_until_the_alias_goes(
    running: Engine,
) -> None:
    admin = running.admin()
    admin.activate("desk", "tiny", "tests", admin.prepare("desk", "tiny")["sha256"])
    add_model(running, "desk", seed=2)
    client = running.client()
    assert [one.id for one in client.models()] == ["tiny"]
    assert client.chat(chat(model="desk")).identity.model == "tiny"
    assert "an alias has its name" in running.log()
    admin.remove("desk")
    running.wait_for("desk", "ready")
    assert client.chat(chat(model="desk")).identity.model == "desk"


def test_stopping_the_engine_ends_the_runners_that_still_drain(running: Engine) -> None:
    client = running.client()
    with client.stream_chat(chat(max_tokens=200)) as stream:
        next(stream)
        family: list[psutil.Process] = running.runners()
        (running.models / "tiny.toml").unlink()
        client.models()
        assert running.process is not None
        running.process.terminate()
        running.process.wait(30)
    assert not any(alive(one) for one in family)
    assert not list((running.folder / "run").glob("*.sock"))
