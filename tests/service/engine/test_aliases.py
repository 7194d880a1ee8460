"""Aliases: moved under load without a failed or a mixed request, kept, and rolled back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from appliance.engine.errors import EngineError
from tests.service.engine.conftest import Engine, add_model, chat, completion
from tests.support.tiny_gguf import Shape, write_manifest, write_tiny_gguf
from tests.support.wait import wait_until

# Each sequence has cells of its own and one kernel is used, so an answer does not depend on what
# else runs (docs/engine.md): a wrong text can only come from a wrong model.
EXACT = (
    "--threads=1",
    "--sequences=4",
    "--context=1024",
    "--queue=16",
    "--step-tokens=32",
    "--exact",
)
QUANTISED = Shape(quantised=True)
CLIENTS = 8
MOVES = 12


@pytest.fixture(scope="module")
def two(make_folder: Callable[[], Path]) -> Iterator[Engine]:
    """An engine with the models `first` and `second`, which answer differently."""
    engine = Engine(make_folder(), EXACT)
    add_model(engine, "first", 1, QUANTISED)
    add_model(engine, "second", 2, QUANTISED)
    try:
        engine.start()
        engine.wait_for("first", "ready")
        engine.wait_for("second", "ready")
        yield engine
    finally:
        engine.stop()


def activate(engine: Engine, alias: str, model: str) -> None:
    admin = engine.admin()
    admin.activate(alias, model, "tests", admin.prepare(alias, model)["sha256"])


def points_at(engine: Engine, alias: str) -> str | None:
    return next((one.alias_of for one in engine.client().names() if one.id == alias), None)


def test_an_answer_names_the_alias_and_the_model_behind_it(two: Engine) -> None:
    activate(two, "named", "second")
    second = two.status("second")
    client = two.client()
    answer = client.chat(chat(model="named"))
    assert answer.body["model"] == "named"
    assert answer.identity.asked == "named"
    assert answer.identity.model == "second"
    assert answer.identity.model_digest == second.sha256
    with client.stream_complete(completion(model="named")) as stream:
        assert {chunk.body["model"] for chunk in stream} == {"named"}
    assert stream.identity.model == "second"
    raw = httpx.Client(transport=httpx.HTTPTransport(uds=str(two.socket)))
    with raw:
        headers = raw.post("http://engine/v1/chat/completions", json=chat(model="named")).headers
    assert headers["X-Model"] == "second"
    assert headers["X-Model-Digest"] == second.sha256


def test_aliases_are_listed_beside_models_and_not_among_them(two: Engine) -> None:
    activate(two, "listed", "first")
    client = two.client()
    names = {one.id: one for one in client.names()}
    assert {"first", "second", "listed"} <= set(names)
    assert names["listed"].alias_of == "first"
    assert names["listed"].sha256 == names["first"].sha256
    assert "listed" in names["first"].body["cloister"]["aliases"]
    assert {one.id for one in client.models()} == {"first", "second"}


def test_an_unknown_name_is_a_404_and_never_another_model_s_answer(two: Engine) -> None:
    with pytest.raises(EngineError) as caught:
        two.client().chat(chat(model="nobody"))
    assert (caught.value.status, caught.value.code) == (404, "model_not_found")


def test_eight_clients_see_no_failure_and_no_mixture_while_an_alias_moves(two: Engine) -> None:
    activate(two, "moving", "first")
    client = two.client()
    known = {
        client.models()[number].sha256: client.chat(chat(model=name, max_tokens=24)).text
        for number, name in enumerate(("first", "second"))
    }
    assert len(set(known.values())) == 2
    seen: Counter[str] = Counter()
    wrong: list[object] = []
    over = threading.Event()

    def ask(streams: bool) -> None:
        own = two.client()
        body = chat(model="moving", max_tokens=24)
        while not over.is_set():
            try:
                if streams:
                    with own.stream_chat(body) as stream:
                        text = "".join(chunk.text for chunk in stream)
                    identity = stream.identity
                else:
                    answer = own.chat(body)
                    text, identity = answer.text, answer.identity
            except EngineError as error:
                wrong.append(error)
                return
            seen[identity.model] += 1
            if known[identity.model_digest] != text:
                wrong.append((identity, text))

    threads = [threading.Thread(target=ask, args=(number % 2 == 0,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        for number in range(MOVES):
            before = seen.total()
            if number % 3 == 2:
                two.admin().rollback("moving", "first" if number % 2 else "second")
            else:
                activate(two, "moving", "second" if number % 2 == 0 else "first")
            wait_until(lambda: seen.total() > before + CLIENTS or wrong, 60, "answers")  # noqa: B023
    finally:
        over.set()
        for thread in threads:
            thread.join(60)
    assert wrong == []
    assert seen["first"] > CLIENTS
    assert seen["second"] > CLIENTS


def test_a_request_under_way_ends_on_the_model_that_it_began_on(two: Engine) -> None:
    activate(two, "long", "first")
    client = two.client()
    body = chat(model="long", max_tokens=200)
    alone = client.chat({**body, "model": "first"}).text
    with client.stream_chat(body) as stream:
        text = next(stream).text
        activate(two, "long", "second")
        assert client.chat(chat(model="long")).identity.model == "second"
        text += "".join(chunk.text for chunk in stream)
    assert stream.identity.model == "first"
    assert text == alone


def test_rollback_goes_one_move_back_each_time(two: Engine) -> None:
    admin = two.admin()
    for model in ("first", "second", "first"):
        activate(two, "back", model)
    assert admin.rollback("back", "second")["before"] == "first"
    assert points_at(two, "back") == "second"
    admin.rollback("back", "first")
    with pytest.raises(EngineError) as caught:
        admin.rollback("back", "second")
    assert caught.value.code == "alias_refused"
    assert points_at(two, "back") == "first"


def test_activating_what_is_active_already_adds_no_step_to_the_history(two: Engine) -> None:
    activate(two, "again", "first")
    activate(two, "again", "first")
    found = next(one for one in two.admin().aliases() if one["alias"] == "again")
    assert (found["model"], found["by"], found["earlier"]) == ("first", "tests", [])


def test_a_rollback_that_somebody_else_overtook_is_refused(two: Engine) -> None:
    activate(two, "raced", "first")
    activate(two, "raced", "second")
    with pytest.raises(EngineError, match="moved meanwhile"):
        two.admin().rollback("raced", "second")
    assert points_at(two, "raced") == "second"


@pytest.mark.parametrize("alias", ["first", "Upper", "with space", "a" * 64, "..", "-x"])
def test_an_alias_has_a_name_of_its_own(two: Engine, alias: str) -> None:
    digest = two.status("second").sha256
    with pytest.raises(EngineError) as caught:
        two.admin().activate(alias, "second", "tests", digest)
    # A path with dots leads to no route at all.
    assert caught.value.code in {"alias_refused", "unknown_url"}
    assert points_at(two, alias) is None


def test_an_alias_points_at_a_model_and_at_no_alias(two: Engine) -> None:
    activate(two, "one", "first")
    with pytest.raises(EngineError, match="is an alias itself"):
        two.admin().prepare("other", "one")


def test_a_removed_alias_is_a_404(two: Engine) -> None:
    activate(two, "gone", "first")
    two.admin().remove("gone")
    with pytest.raises(EngineError) as caught:
        two.client().chat(chat(model="gone"))
    assert caught.value.code == "model_not_found"
    with pytest.raises(EngineError) as caught:
        two.admin().remove("gone")
    assert caught.value.code == "alias_not_found"


def test_other_weights_than_were_proven_are_not_activated(two: Engine) -> None:
    with pytest.raises(EngineError, match="other weights"):
        two.admin().activate("pinned", "first", "tests", "0" * 64)
    assert points_at(two, "pinned") is None


def test_metrics_count_by_model_and_know_no_alias(two: Engine) -> None:
    activate(two, "uncounted", "first")
    two.client().chat(chat(model="uncounted"))
    text = two.client().metrics()
    assert 'model="first"' in text
    assert "uncounted" not in text


def test_another_user_may_ask_for_answers_but_not_move_an_alias(two: Engine) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    activate(two, "guarded", "first")
    script = (
        "import os, socket, sys\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "for line in ('GET /v1/models', 'GET /admin/aliases', 'DELETE /admin/aliases/guarded'):\n"
        "    with socket.socket(socket.AF_UNIX) as s:\n"
        "        s.connect(sys.argv[1])\n"
        "        s.sendall((line + ' HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n').encode())\n"
        "        print(s.recv(4096).split()[1].decode())\n"
    )
    modes = two.folder.stat().st_mode, two.socket.stat().st_mode
    two.folder.chmod(0o755)
    two.socket.chmod(0o666)
    try:
        done = subprocess.run(
            [sys.executable, "-c", script, str(two.socket)],
            capture_output=True,
            text=True,
            check=True,
        )
    finally:
        two.folder.chmod(modes[0])
        two.socket.chmod(modes[1])
    assert done.stdout.split() == ["200", "403", "403"]
    assert points_at(two, "guarded") == "first"


def test_aliases_outlast_the_supervisor(own_engine: Engine) -> None:
    add_model(own_engine, "tiny")
    own_engine.start()
    activate(own_engine, "kept", "tiny")
    assert own_engine.process is not None
    own_engine.process.kill()
    own_engine.process.wait()
    own_engine.start()
    own_engine.wait_for("tiny", "ready")
    assert own_engine.client().chat(chat(model="kept")).identity.model == "tiny"
    assert (own_engine.state / "aliases.json").stat().st_mode & 0o777 == 0o600


def test_a_model_that_can_not_run_leaves_the_alias_where_it_was(own_engine: Engine) -> None:
    add_model(own_engine, "good")
    own_engine.start()
    activate(own_engine, "safe", "good")
    bad = add_model(own_engine, "flipped", seed=2)
    bad.write_bytes(bad.read_bytes()[:-1] + b"\0")
    mute = write_tiny_gguf(own_engine.models / "mute.gguf", template=None)
    write_manifest(own_engine.models, "mute", mute)
    admin = own_engine.admin()
    for model, code, words in (
        ("flipped", "model_failed", "SHA-256"),
        ("mute", "smoke_failed", "chat template"),
        ("absent", "model_not_found", "absent"),
    ):
        with pytest.raises(EngineError, match=words) as caught:
            admin.activate("safe", model, "tests", "0" * 64)
        assert caught.value.code == code
        assert points_at(own_engine, "safe") == "good"
    assert own_engine.client().chat(chat(model="safe")).identity.model == "good"


def test_a_move_that_can_not_be_written_is_not_made(own_engine: Engine) -> None:
    add_model(own_engine, "one")
    add_model(own_engine, "two", seed=2)
    own_engine.start()
    activate(own_engine, "stuck", "one")
    # A folder in the place of the new file: not even root writes there.
    (own_engine.state / ".aliases.json.new").mkdir()
    with pytest.raises(EngineError) as caught:
        activate(own_engine, "stuck", "two")
    assert caught.value.code == "alias_not_kept"
    assert own_engine.client().chat(chat(model="stuck")).identity.model == "one"


def test_a_damaged_file_of_aliases_stops_the_start_and_says_what_to_do(own_engine: Engine) -> None:
    own_engine.state.mkdir()
    (own_engine.state / "aliases.json").write_text('{"version": 1, "aliases": {"a": []}}')
    command = [sys.executable, "-m", "appliance.engine", f"--socket={own_engine.socket}"]
    folders = [f"--models={own_engine.models}", f"--run-dir={own_engine.folder / 'run'}"]
    done = subprocess.run(
        [*command, *folders, f"--state-dir={own_engine.state}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert "aliases.json is damaged" in done.stderr
    assert "cloister model activate" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_file_holds_every_step_back(two: Engine) -> None:
    for model in ("first", "second"):
        activate(two, "written", model)
    kept = json.loads((two.state / "aliases.json").read_text())
    assert [each["model"] for each in kept["aliases"]["written"]] == ["first", "second"]
