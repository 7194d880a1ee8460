"""Load that lasts: an answer that is being written while a test looks at something else."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.asking import long_request
from tests.support.stack import Stack


@contextmanager
def streaming(stack: Stack) -> Iterator[None]:
    """One answer after another is streamed, one at a time, while the block runs."""
    key = stack.create_key()
    enough = threading.Event()

    def read() -> None:
        body = {**long_request(), "stream": True}
        with stack.http(key) as http:
            while not enough.is_set():
                with http.stream("POST", "/v1/chat/completions", json=body) as answer:
                    for _ in answer.iter_bytes():
                        if enough.is_set():
                            return

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield
    finally:
        enough.set()
        thread.join()
