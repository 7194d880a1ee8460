"""The instructions of the tasks lie decoded before the first user asks, whatever was restarted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.tasks.library import TaskLibrary
from tests.support.records import read_records
from tests.support.stack import Stack
from tests.support.wait import wait_until

TASKS = TaskLibrary.load()
SHARED = "cloister_engine_shared_tokens_total"
PROMPT = "cloister_engine_prompt_tokens_total"


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack that the tests of this file break and mend."""
    folder: Path = tmp_path_factory.mktemp("warm")
    stack = Stack.start(folder)
    yield stack
    output = stack.output("web")
    stack.stop()
    assert "Traceback" not in output


def warmed(stack: Stack) -> int:
    """Beginnings that the demo model's runner has decoded ahead."""
    (model,) = stack.engine.models()
    return int(model.body["cloister"]["warmed"])


def wait_warm(stack: Stack) -> None:
    """Wait until all tasks' instructions lie decoded."""
    wait_until(lambda: warmed(stack) == len(TASKS), 60, "decoded beginning of each task")


def first_requests_share(stack: Stack) -> None:
    """Run each task once, and look that it found its instructions decoded."""
    with stack.http(stack.create_key()) as client:
        for task in TASKS:
            shared, prompt = stack.metric(SHARED), stack.metric(PROMPT)
            inputs = {field.name: "Good day." for field in task.inputs}
            answer = client.post(f"/v1/tasks/{task.name}", json={"inputs": inputs})
            assert answer.status_code == 200, answer.text
            assert stack.metric(SHARED) - shared >= 16, task.name
            assert stack.metric(SHARED) - shared < stack.metric(PROMPT) - prompt


def test_after_a_start_the_first_request_of_each_task_finds_its_instructions(own: Stack) -> None:
    wait_warm(own)
    assert own.metric(PROMPT) == 0
    # Nobody asked and nothing was answered: the log has no record of it.
    assert not [one for one in read_records(own.settings) if one.type in {"prompt", "answer"}]
    first_requests_share(own)


def test_after_a_runner_was_killed_too(own: Stack) -> None:
    wait_warm(own)
    (runner,) = own.runners()
    runner.kill()
    wait_until(lambda: own.runners() and own.runners() != [runner], 60, "new runner")
    wait_until(lambda: own.engine.models()[0].state == "ready", 60, "loaded model")
    wait_warm(own)
    first_requests_share(own)


def test_after_the_whole_engine_was_killed_too(own: Stack) -> None:
    own.kill("engine")
    own.restart("engine")
    wait_warm(own)
    first_requests_share(own)
