"""The client: one record at most for each call, whatever happens to the writer."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from pathlib import Path

import pytest

from audit.client import AuditClient, LogUnavailableError, RecordRefusedError, RecordType
from audit.errors import FrameError
from audit.frames import HEADER, body_length, decode_body, encode_frame
from tests.service.audit.harness import Writer, verify


def append(client: AuditClient) -> int:
    return client.append(RecordType.PROMPT, actor="a", meta={}).index


def test_a_client_goes_on_after_the_writer_was_restarted(
    writer: Writer, client: AuditClient
) -> None:
    append(client)
    for stop in (writer.stop, writer.kill):
        stop()
        writer.start()
        append(client)
    assert verify(writer)["verdict"] == "intact"


def test_many_threads_go_on_after_the_writer_was_restarted(
    writer: Writer, client: AuditClient
) -> None:
    def turn() -> list[int]:
        places: list[int] = []
        threads = [
            threading.Thread(target=lambda: places.append(append(client))) for _ in range(16)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return places

    assert len(turn()) == 16
    writer.stop()
    writer.start()
    assert len(turn()) == 16


def test_without_a_writer_it_says_so_at_once(root: Path) -> None:
    client = AuditClient(root / "absent")
    started = time.monotonic()
    with pytest.raises(LogUnavailableError, match="can not be reached") as caught:
        append(client)
    assert caught.value.code == "unreachable"
    assert time.monotonic() - started < 1


def test_a_writer_that_does_not_answer_costs_the_timeout_and_no_more(writer: Writer) -> None:
    client = AuditClient(writer.socket, timeout=0.5)
    append(client)
    process = writer.process
    assert process is not None
    process.send_signal(signal.SIGSTOP)
    started = time.monotonic()
    with pytest.raises(LogUnavailableError, match=r"within 0\.5 s"):
        append(client)
    assert time.monotonic() - started < 1.5
    process.send_signal(signal.SIGCONT)
    client.close()


def test_a_forked_process_makes_connections_of_its_own(writer: Writer, client: AuditClient) -> None:
    append(client)
    child = os.fork()
    if child == 0:
        try:
            append(client)
            os._exit(0)
        finally:
            os._exit(1)
    append(client)
    _, status = os.waitpid(child, 0)
    assert status == 0
    assert client.status().size == 4


class Impostor:
    """A peer that takes requests and answers as a test tells it."""

    def __init__(self, path: Path, answers: list[bytes | None]) -> None:
        self.requests: list[bytes] = []
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen()
        self._thread = threading.Thread(target=self._run, args=(answers,))
        self._thread.start()

    def _run(self, answers: list[bytes | None]) -> None:
        for answer in answers:
            peer, _ = self._listener.accept()
            with peer:
                length = body_length(peer.recv(HEADER.size, socket.MSG_WAITALL))
                self.requests.append(peer.recv(length, socket.MSG_WAITALL))
                if answer is not None:
                    peer.sendall(answer)

    def close(self) -> None:
        self._thread.join(10)
        self._listener.close()


@pytest.fixture
def path(root: Path) -> Path:
    return root / "s"


def test_a_retry_carries_the_same_event_so_that_it_counts_once(path: Path) -> None:
    impostor = Impostor(path, [None, None])
    client = AuditClient(path)
    with pytest.raises(LogUnavailableError, match="closed the connection"):
        append(client)
    impostor.close()
    first, again = [decode_body(request) for request in impostor.requests]
    assert first["event"]
    assert again == first


@pytest.mark.parametrize(
    "answer",
    [
        encode_frame({"ok": True}),
        encode_frame({"ok": True, "receipt": {"event": "x"}}),
        encode_frame({"ok": False}),
        HEADER.pack(3) + b"no!",
        HEADER.pack(2**31),
    ],
)
def test_a_strange_answer_counts_as_no_answer(path: Path, answer: bytes) -> None:
    impostor = Impostor(path, [answer])
    client = AuditClient(path, timeout=1)
    with pytest.raises(LogUnavailableError):
        append(client)
    client.close()
    impostor.close()


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("not_durable", LogUnavailableError),
        ("read_only", LogUnavailableError),
        ("refused", RecordRefusedError),
        ("bad_request", RecordRefusedError),
    ],
)
def test_each_code_of_the_writer_is_one_of_two_errors(
    path: Path, code: str, error: type[LogUnavailableError | RecordRefusedError]
) -> None:
    answer = encode_frame({"ok": False, "error": {"code": code, "message": "why"}})
    impostor = Impostor(path, [answer])
    client = AuditClient(path)
    with pytest.raises(error, match="why") as caught:
        append(client)
    assert caught.value.code == code
    client.close()
    impostor.close()


def test_frames_hold_one_json_object_of_bounded_length() -> None:
    with pytest.raises(FrameError, match="the limit is"):
        encode_frame({"x": "y" * 2**24})
    with pytest.raises(FrameError, match="not JSON"):
        encode_frame({"x": object()})
    with pytest.raises(FrameError, match="not a JSON object"):
        decode_body(b"1")
