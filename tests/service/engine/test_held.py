"""Models that were imported are listed, and answer nobody before they are activated."""

from __future__ import annotations

import asyncio

import pytest

from appliance.engine import switch
from appliance.engine.errors import EngineError
from appliance.engine.keeper import State
from appliance.engine.options import EngineOptions, ResidencyOptions
from appliance.engine.supervisor import Supervisor
from tests.service.engine.conftest import Engine, add_model, chat
from tests.support.loop import run_apart
from tests.support.tiny_gguf import write_manifest, write_tiny_gguf
from tests.support.wait import wait_until


def add_held(engine: Engine, name: str, seed: int = 2) -> None:
    """A model as an import leaves it."""
    aside = engine.folder / "aside"
    aside.mkdir(exist_ok=True)
    digest = write_tiny_gguf(engine.models / f"{name}.gguf", seed=seed)
    manifest = write_manifest(aside, name, digest)
    manifest.write_text(manifest.read_text() + "held = true\n")
    manifest.rename(engine.models / manifest.name)


def activate(engine: Engine, alias: str, model: str) -> None:
    admin = engine.admin()
    admin.activate(alias, model, "tests", admin.prepare(alias, model)["sha256"])


def code_of(engine: Engine, model: str) -> str:
    with pytest.raises(EngineError) as caught:
        engine.client().chat(chat(model=model))
    return caught.value.code


@pytest.fixture
def running(own_engine: Engine) -> Engine:
    """An engine with the model `tiny`, ready, and the imported `new`."""
    add_model(own_engine, "tiny")
    add_held(own_engine, "new")
    own_engine.start()
    own_engine.wait_for("tiny", "ready")
    return own_engine


def test_an_imported_model_is_listed_but_neither_started_nor_served(running: Engine) -> None:
    assert running.status("new").state == "imported"
    assert code_of(running, "new") == "model_not_activated"
    assert len(running.runners()) == 1


def test_preparing_a_move_loads_it_and_still_serves_nothing(running: Engine) -> None:
    running.admin().prepare("desk", "new")
    assert len(running.runners()) == 2
    assert running.status("new").state == "imported"
    assert code_of(running, "new") == "model_not_activated"


def test_once_activated_it_answers_by_both_names_also_after_a_restart(running: Engine) -> None:
    activate(running, "desk", "new")
    client = running.client()
    for name in ("desk", "new"):
        assert client.chat(chat(model=name)).identity.model == "new"
    assert running.process is not None
    running.process.terminate()
    running.process.wait(30)
    running.start()
    running.wait_for("new", "ready")
    assert running.client().chat(chat(model="desk")).identity.model == "new"


def test_while_an_alias_can_go_back_to_it_it_stays_as_it_is(running: Engine) -> None:
    activate(running, "desk", "new")
    activate(running, "desk", "tiny")
    assert running.client().chat(chat(model="new")).identity.model == "new"
    running.admin().rollback("desk", "new")
    assert running.client().chat(chat(model="desk")).identity.model == "new"


def test_without_its_alias_it_is_stopped_again(running: Engine) -> None:
    activate(running, "desk", "new")
    running.admin().remove("desk")
    assert code_of(running, "new") == "model_not_activated"
    wait_until(lambda: len(running.runners()) == 1, 30, "end of the runner")
    assert running.status("new").state == "imported"
    activate(running, "desk", "new")
    assert running.client().chat(chat(model="desk")).identity.model == "new"


def test_other_weights_under_the_same_name_have_to_be_activated_themselves(
    running: Engine,
) -> None:
    activate(running, "desk", "new")
    activate(running, "desk", "tiny")
    for file in ("new.toml", "new.gguf"):
        (running.models / file).unlink()
    assert code_of(running, "new") == "model_not_found"
    add_held(running, "new", seed=3)
    assert code_of(running, "new") == "model_not_activated"


def test_a_held_model_that_was_changed_after_the_import_is_refused_and_named(
    running: Engine,
) -> None:
    file = running.models / "new.gguf"
    raw = bytearray(file.read_bytes())
    raw[-1] ^= 1
    file.write_bytes(raw)
    with pytest.raises(EngineError, match="SHA-256"):
        running.admin().prepare("desk", "new")
    assert "SHA-256" in running.log()


def test_a_model_that_was_loaded_for_a_move_that_never_comes_is_stopped(
    own_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(switch, "_UNUSED_SECONDS", 0.5)
    add_held(own_engine, "new")
    options = EngineOptions(threads=1, sequences=2, context=512)
    run_dir = own_engine.folder / "run"
    run_dir.mkdir()
    supervisor = Supervisor(
        own_engine.models, run_dir, own_engine.state, options, ResidencyOptions()
    )

    async def run() -> None:
        async with supervisor.app().router.lifespan_context(supervisor.app()):
            fleet = supervisor._fleet
            await supervisor._switch.prepare("desk", "new")
            assert fleet.find("new").keeper.state is State.READY
            while fleet.find("new").keeper.state is not State.IMPORTED or list(run_dir.iterdir()):
                await asyncio.sleep(0.02)  # a poll; the whole run is bounded

    run_apart(asyncio.wait_for(run(), 120))
