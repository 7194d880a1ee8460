"""More models than memory: started when asked for, stopped when idle, and never while they answer.

Each engine here may hold two of its three models, by `--memory-mib`.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from appliance.catalogue.inspection import inspect
from appliance.catalogue.manifest import read_manifest
from appliance.engine.budget import planned
from appliance.engine.client import Answer
from appliance.engine.errors import EngineError
from appliance.engine.options import EngineOptions
from tests.service.engine.conftest import Engine, add_model, chat
from tests.support.tiny_gguf import Shape
from tests.support.wait import wait_until

# As in test_aliases: an answer does not depend on what else runs, so a wrong text is a wrong model.
# Exact, so that an answer tells which model gave it, whatever else was in the batch.
SIZES = EngineOptions(threads=1, sequences=4, context=1024, queue=16, step_tokens=32, exact=True)
QUANTISED = Shape(quantised=True)
NAMES = ("ash", "beech", "cedar")
CLIENTS = 8
ROUNDS = 6
TRIES = 60


def room_for(engine: Engine, count: int) -> int:
    """MiB into which so many of the engine's models fit, and no more."""
    manifest = read_manifest(engine.models / "ash.toml")
    needed = planned(inspect(manifest, engine.models), manifest.context, SIZES).needed
    return (64 * 2**20 + needed * (2 * count + 1) // 2) // 2**20


def make(folder: Path, *options: str, room: int = 2) -> Engine:
    """An engine with the three models, not started."""
    engine = Engine(folder)
    for seed, name in enumerate(NAMES, 1):
        add_model(engine, name, seed, QUANTISED)
    engine.options = (*SIZES.arguments(), f"--memory-mib={room_for(engine, room)}", *options)
    return engine


@pytest.fixture
def crowded(make_folder: Callable[[], Path]) -> Iterator[Callable[..., Engine]]:
    """Starts engines whose models do not fit together; returns when all have settled."""
    engines: list[Engine] = []

    def start(*options: str, room: int = 2) -> Engine:
        engine = make(make_folder(), *options, room=room)
        engines.append(engine)
        engine.start()
        wait_until(lambda: "starting" not in states(engine).values(), 60, "start of the models")
        return engine

    yield start
    for engine in engines:
        engine.stop()


def states(engine: Engine) -> dict[str, str]:
    return {model.id: model.state for model in engine.client().models()}


def resident(engine: Engine) -> set[str]:
    return {name for name, state in states(engine).items() if state == "ready"}


def ask(engine: Engine, model: str, **changes: object) -> str:
    """The model's answer; fails if another one gave it."""
    answer = engine.client().chat(chat(model=model, **changes))
    assert answer.identity.model == model
    return answer.text


@contextmanager
def long_answer(engine: Engine, model: str) -> Iterator[Future[Answer]]:
    """A request under way that ends only after `resume` was called, or the `with` ended."""
    for runner in engine.runners():
        runner.suspend()
    with ThreadPoolExecutor(1) as pool:
        try:
            asked = pool.submit(engine.client().chat, chat(model=model), "held")
            wait_until(lambda: is_live(engine, "held"), 30, "request under way")
            yield asked
        finally:
            resume(engine)


def is_live(engine: Engine, request_id: str) -> bool:
    """Whether a request of this id lives: then no other may have it."""
    with pytest.raises(EngineError) as seen:
        engine.client().chat(chat(model="nobody"), request_id)
    return seen.value.status == 400


def resume(engine: Engine) -> None:
    for runner in engine.runners():
        runner.resume()


def ask_until_answered(engine: Engine, model: str, refused: Counter[str]) -> str:
    """As a good client does: a 503 is tried again after the time that it names."""
    for _ in range(TRIES):
        try:
            return ask(engine, model, max_tokens=24)
        except EngineError as error:
            if error.status != 503 or error.retry_after is None:
                raise
            refused[error.code] += 1
            time.sleep(min(error.retry_after, 2))  # the server said so
    raise AssertionError(f"{model} did not answer in {TRIES} tries")


def test_models_start_as_far_as_they_fit_and_the_others_rest(
    crowded: Callable[..., Engine],
) -> None:
    engine = crowded()
    assert states(engine) == {"ash": "ready", "beech": "ready", "cedar": "stopped"}
    assert engine.status("cedar").error is None
    assert len(engine.runners()) == 2


def test_the_overview_tells_what_the_loaded_models_hold_of_the_limit(
    crowded: Callable[..., Engine],
) -> None:
    engine = crowded()
    overview = engine.client().overview()
    held = {model.id: model.body["cloister"]["held_bytes"] for model in overview.models}
    assert held["cedar"] == 0
    assert held["ash"] == held["beech"] > 0
    assert sum(held.values()) == overview.held_bytes < overview.limit_bytes
    assert overview.limit_bytes == room_for(engine, 2) * 2**20
    assert overview.limit_set is True


def test_a_runner_that_tells_no_numbers_is_not_said_to_be_idle(
    crowded: Callable[..., Engine],
) -> None:
    engine = crowded(room=1)
    assert engine.status("ash").body["cloister"]["measured"] is True
    with long_answer(engine, "ash"):
        ash = engine.status("ash")
        assert (ash.state, ash.body["cloister"]["measured"]) == ("ready", False)
    wait_until(lambda: engine.status("ash").body["cloister"]["measured"], 30, "numbers of ash")


def test_a_model_that_is_asked_for_takes_the_place_of_the_one_used_longest_ago(
    crowded: Callable[..., Engine],
) -> None:
    engine = crowded()
    ask(engine, "beech")
    ask(engine, "ash")
    ask(engine, "cedar")
    assert resident(engine) == {"ash", "cedar"}
    ask(engine, "beech")
    assert resident(engine) == {"beech", "cedar"}
    assert len(engine.runners()) == 2
    assert "Traceback" not in engine.log()


def test_a_model_that_answers_is_not_stopped(crowded: Callable[..., Engine]) -> None:
    engine = crowded(room=1)
    with ThreadPoolExecutor(1) as pool:
        with long_answer(engine, "ash") as asked:
            other = pool.submit(ask, engine, "beech")
            wait_until(lambda: states(engine)["beech"] == "starting", 30, "wait for room")
            assert states(engine)["ash"] == "ready"
            assert engine.status("beech").queued == 1
            resume(engine)
            assert asked.result(60).identity.model == "ash"
        other.result(60)
    assert resident(engine) == {"beech"}


def test_two_requests_for_two_models_that_do_not_fit_together_are_both_served(
    crowded: Callable[..., Engine],
) -> None:
    engine = crowded(room=1)
    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(ask, engine, name) for name in ("beech", "cedar")]
        assert all(each.result(120) for each in asked)


def test_who_waits_too_long_is_told_the_model_its_state_and_when_to_try_again(
    crowded: Callable[..., Engine],
) -> None:
    engine = crowded("--wait-seconds=1", room=1)
    with long_answer(engine, "ash"):
        with pytest.raises(
            EngineError, match=r"'beech' can not answer now: it is starting"
        ) as seen:
            ask(engine, "beech")
        assert (seen.value.status, seen.value.code) == (503, "no_room")
        assert seen.value.retry_after == 5
        assert states(engine)["ash"] == "ready"
    ask_until_answered(engine, "beech", Counter())


def test_a_pinned_model_is_never_stopped_and_who_can_not_have_its_room_is_told_at_once(
    crowded: Callable[..., Engine],
) -> None:
    engine = crowded("--pin=cedar", room=1)
    assert resident(engine) == {"cedar"}
    with pytest.raises(EngineError, match="beside 'cedar'") as seen:
        ask(engine, "ash")
    assert (seen.value.code, seen.value.retry_after) == ("no_room", 5)
    assert resident(engine) == {"cedar"}


def test_the_targets_of_aliases_start_first(make_folder: Callable[[], Path]) -> None:
    engine = make(make_folder(), room=1)
    try:
        engine.start()
        admin = engine.admin()
        admin.activate("desk", "cedar", "tests", admin.prepare("desk", "cedar")["sha256"])
        assert engine.process is not None
        engine.process.terminate()
        engine.process.wait(30)
        engine.start()
        engine.wait_for("cedar", "ready")
        assert states(engine) == {"ash": "stopped", "beech": "stopped", "cedar": "ready"}
    finally:
        engine.stop()


def test_a_request_that_waits_for_its_model_can_be_cancelled(
    crowded: Callable[..., Engine],
) -> None:
    engine = crowded(room=1)
    with ThreadPoolExecutor(1) as pool, long_answer(engine, "ash"):
        waiting = pool.submit(engine.client().chat, chat(model="beech"), "waits")
        client = engine.client()
        wait_until(lambda: client.cancel("waits"), 30, "request that waits")
        error = waiting.exception(30)
        assert isinstance(error, EngineError)
        assert error.code == "cancelled"
        wait_until(lambda: states(engine)["beech"] == "stopped", 30, "end of the wait for room")


def test_eight_clients_of_three_models_with_room_for_two_are_all_answered_by_the_right_one(
    crowded: Callable[..., Engine],
) -> None:
    engine = crowded("--wait-seconds=20")
    known = {name: ask(engine, name, max_tokens=24) for name in NAMES}
    assert len(set(known.values())) == len(NAMES)
    refused: Counter[str] = Counter()

    def client(number: int) -> list[tuple[str, str]]:
        names = [NAMES[(number + turn) % len(NAMES)] for turn in range(ROUNDS)]
        return [(name, ask_until_answered(engine, name, refused)) for name in names]

    with ThreadPoolExecutor(CLIENTS) as pool:
        answers = [pair for each in pool.map(client, range(CLIENTS)) for pair in each]
    assert len(answers) == CLIENTS * ROUNDS
    assert [pair for pair in answers if known[pair[0]] != pair[1]] == []
    assert set(refused) <= {"no_room", "model_not_ready", "queue_full"}
    assert len(engine.runners()) <= 2
    assert "Traceback" not in engine.log()


def test_a_runner_that_is_killed_among_them_costs_only_retries(
    crowded: Callable[..., Engine],
) -> None:
    engine = crowded("--wait-seconds=20")
    known = {name: ask(engine, name, max_tokens=24) for name in NAMES}
    refused: Counter[str] = Counter()
    wrong: list[object] = []
    served: Counter[str] = Counter()
    over = threading.Event()

    def client(number: int) -> None:
        while not over.is_set():
            name = NAMES[number % len(NAMES)]
            number += 1
            try:
                text = ask_until_answered(engine, name, refused)
            except AssertionError as error:
                wrong.append(error)
                return
            served[name] += 1
            if known[name] != text:
                wrong.append((name, text))

    threads = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(3):
            before = served.total()
            victims = [each for each in engine.runners() if "runner" in " ".join(each.cmdline())]
            for victim in victims[:1]:
                os.kill(victim.pid, signal.SIGKILL)
            wait_until(lambda: served.total() > before + CLIENTS or wrong, 90, "answers")  # noqa: B023
    finally:
        over.set()
        for thread in threads:
            thread.join(120)
    assert wrong == []
    assert set(refused) <= {"no_room", "model_not_ready", "queue_full", "runner_died"}
    for name in NAMES:
        ask_until_answered(engine, name, refused)
    assert "Traceback" not in engine.log()


def test_a_model_under_constant_load_gives_way_after_its_turn(
    crowded: Callable[..., Engine],
) -> None:
    engine = crowded("--wait-seconds=60", room=1)
    over = threading.Event()
    refused: Counter[str] = Counter()
    count: Counter[str] = Counter()

    def busy() -> None:
        while not over.is_set():
            ask_until_answered(engine, "ash", refused)
            count["ash"] += 1

    threads = [threading.Thread(target=busy) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: count["ash"] > 3, 60, "load")
        ask(engine, "beech")
        before = count["ash"]
        wait_until(lambda: count["ash"] > before + 3, 60, "load again")
    finally:
        over.set()
        for thread in threads:
            thread.join(120)
    assert refused.total() == 0


def test_an_alias_moves_only_with_stop_first_where_both_models_do_not_fit(
    crowded: Callable[..., Engine],
) -> None:
    engine = crowded(room=1)
    admin = engine.admin()
    admin.activate("desk", "ash", "tests", admin.prepare("desk", "ash")["sha256"])
    with pytest.raises(EngineError, match=r"beside 'ash'.*--stop-first") as seen:
        admin.prepare("desk", "beech")
    assert seen.value.code == "no_room_beside"
    assert resident(engine) == {"ash"}
    answered: Counter[str] = Counter()
    wrong: list[EngineError] = []
    over = threading.Event()

    def client() -> None:
        own = engine.client()
        while not over.is_set():
            try:
                answered[own.chat(chat(model="desk")).identity.model] += 1
            except EngineError as error:
                wrong.append(error)

    threads = [threading.Thread(target=client) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: answered["ash"] > 3, 60, "answers of the old model")
        move = admin.prepare("desk", "beech", stop_first=True)
        assert move["before"] == "ash"
        admin.activate("desk", "beech", "tests", move["sha256"])
        wait_until(lambda: answered["beech"] > 3 or wrong, 60, "answers of the new model")
        admin.prepare("desk", None, stop_first=True)
        admin.rollback("desk", "ash")
        before = answered["ash"]
        wait_until(lambda: answered["ash"] > before + 3 or wrong, 60, "answers after the rollback")
    finally:
        over.set()
        for thread in threads:
            thread.join(60)
    assert wrong == []


def test_a_move_with_stop_first_that_fails_leaves_the_alias_answering(
    crowded: Callable[..., Engine],
) -> None:
    engine = crowded(room=1)
    admin = engine.admin()
    admin.activate("desk", "ash", "tests", admin.prepare("desk", "ash")["sha256"])
    weights = engine.models / "beech.gguf"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\0")
    with pytest.raises(EngineError, match="SHA-256"):
        admin.prepare("desk", "beech", stop_first=True)
    assert engine.client().chat(chat(model="desk")).identity.model == "ash"


def test_a_client_that_hangs_up_while_it_waits_no_longer_asks_for_room(
    crowded: Callable[..., Engine],
) -> None:
    engine = crowded(room=1)
    with long_answer(engine, "ash"):
        with pytest.raises(EngineError) as seen:
            engine.client(timeout=1).chat(chat(model="beech"), "left")
        assert seen.value.code == "engine_timeout"
        wait_until(lambda: states(engine)["beech"] == "stopped", 30, "end of the wait for room")
    assert resident(engine) == {"ash"}
