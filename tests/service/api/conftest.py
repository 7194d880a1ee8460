"""One whole appliance for the tests that only ask; tests that break parts start their own."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from openai import OpenAI

from tests.support.stack import Stack


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    started = Stack.start(tmp_path_factory.mktemp("api"))
    yield started
    started.stop()


@pytest.fixture(scope="session")
def key(stack: Stack) -> str:
    """A key that may do everything."""
    return stack.create_key("tests")


@pytest.fixture
def http(stack: Stack, key: str) -> Iterator[httpx.Client]:
    with stack.http(key) as client:
        yield client


@pytest.fixture
def openai(stack: Stack, key: str) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{stack.url}/v1", api_key=key, max_retries=0, timeout=60) as client:
        yield client
