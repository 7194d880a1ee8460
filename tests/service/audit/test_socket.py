"""The socket: who may speak, what a frame may be, and that nobody can hurt the others."""

from __future__ import annotations

import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from audit.client import AuditClient, RecordType
from audit.frames import MAX_FRAME
from tests.service.audit.harness import Writer


class Raw:
    """A connection that sends whatever it likes."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(20)
        self.socket.connect(str(path))

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def frame(self, body: bytes) -> dict[str, Any]:
        self.send(struct.pack(">I", len(body)) + body)
        return self.reply()

    def reply(self) -> dict[str, Any]:
        (length,) = struct.unpack(">I", self._exactly(4))
        answer: dict[str, Any] = json.loads(self._exactly(length))
        return answer

    def at_end(self) -> bool:
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            piece = self.socket.recv(count - len(data))
            assert piece, "the writer closed the connection"
            data += piece
        return data


@pytest.fixture
def writer(shared: Writer) -> Writer:
    return shared


@pytest.fixture
def raw(writer: Writer) -> Iterator[Raw]:
    connection = Raw(writer.socket)
    yield connection
    connection.socket.close()


def works(client: AuditClient) -> bool:
    started = time.monotonic()
    client.append(RecordType.PROMPT, actor="a", meta={})
    return time.monotonic() - started < 5


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"nothing", "not JSON"),
        (b"[]", "not a JSON object"),
        (b"{}", "'op' must be one of append, status, proof"),
        (b'{"op":"delete"}', "'op' must be one of"),
        (b'{"op":"append"}', "'type' must be one of"),
        (b'{"op":"append","type":"prompt","actor":"a","meta":{"x":NaN}}', "not JSON"),
        (b'{"op":"proof"}', "'index' must be a whole number"),
        (b'{"op":"proof","index":true}', "'index' must be a whole number"),
        (b'{"op":"proof","index":99}', "no record 99"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"op":"append","meta":' + b'{"a":' * 20_000 + b"1" + b"}" * 20_001, ""),
    ],
)
def test_a_malformed_message_gets_an_answer_and_the_connection_goes_on(
    raw: Raw, client: AuditClient, body: bytes, says: str
) -> None:
    answer = raw.frame(body)
    assert answer["ok"] is False
    assert answer["error"]["code"] == "bad_request"
    assert says in answer["error"]["message"]
    assert raw.frame(b'{"op":"status"}')["ok"] is True
    assert works(client)


APPEND = b'{"op":"append","type":"prompt","actor":"a","meta":{},"content":{"text":"%s"}}'


def framed(body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + body


def test_frames_that_come_at_once_are_answered_in_their_order(raw: Raw) -> None:
    bodies = [APPEND % b"one", b'{"op":"delete"}', b'{"op":"status"}', APPEND % (b"x" * 300_000)]
    raw.send(b"".join(map(framed, bodies * 3)))
    first = [raw.reply() for _ in bodies]
    assert ["receipt" in first[0], first[1]["ok"], "status" in first[2]] == [True, False, True]
    rest = [raw.reply() for _ in bodies * 2]
    places = [answer["receipt"]["index"] for answer in [*first, *rest] if "receipt" in answer]
    assert len(places) == 6
    assert places == sorted(places)


def test_a_frame_that_comes_byte_by_byte_is_answered(raw: Raw) -> None:
    for byte in framed(APPEND % b"slow"):
        raw.send(bytes([byte]))
    assert raw.reply()["ok"] is True


def test_who_says_that_he_is_done_still_gets_his_receipt(raw: Raw) -> None:
    raw.send(framed(APPEND % b"last words"))
    raw.socket.shutdown(socket.SHUT_WR)
    assert raw.reply()["ok"] is True
    assert raw.at_end()


@pytest.mark.parametrize("length", [0, MAX_FRAME + 1, 2**32 - 1])
def test_a_frame_of_an_impossible_length_ends_its_connection_only(
    raw: Raw, client: AuditClient, length: int
) -> None:
    raw.send(struct.pack(">I", length))
    answer = raw.reply()
    assert answer["error"]["code"] == "bad_request"
    assert f"{length} bytes" in answer["error"]["message"]
    assert raw.at_end()
    assert works(client)


@pytest.mark.parametrize("sent", [b"", b"\x00", b"\x00\x00\x10\x00", b"\x00\x00\x10\x00{"])
def test_a_client_that_goes_away_in_a_frame_hurts_nobody(
    writer: Writer, client: AuditClient, sent: bytes
) -> None:
    connection = Raw(writer.socket)
    connection.send(sent)
    connection.socket.close()
    assert works(client)


def test_clients_that_hang_in_a_frame_block_nobody_and_are_dropped(
    writer: Writer, client: AuditClient
) -> None:
    hanging = [Raw(writer.socket) for _ in range(40)]
    for connection in hanging:
        connection.send(struct.pack(">I", MAX_FRAME) + b'{"op":"append"')
    for _ in range(5):
        assert works(client)
    assert hanging[0].at_end(), "a frame must end within 10 s"
    for connection in hanging:
        connection.socket.close()


def test_a_client_that_never_reads_its_answers_blocks_nobody(
    writer: Writer, client: AuditClient
) -> None:
    deaf = Raw(writer.socket)
    deaf.socket.settimeout(1)
    body = b'{"op":"status"}'
    frames = (struct.pack(">I", len(body)) + body) * 100_000
    with pytest.raises((TimeoutError, BrokenPipeError)):
        deaf.send(frames)
    assert works(client)
    deaf.socket.close()


def test_too_many_connections_are_refused_and_the_others_go_on(
    writer: Writer, client: AuditClient
) -> None:
    assert works(client)
    crowd = [Raw(writer.socket) for _ in range(300)]
    refused = crowd[-1].reply()
    assert refused["error"]["code"] == "refused"
    assert "Too many connections" in refused["error"]["message"]
    assert works(client)
    for connection in crowd:
        connection.socket.close()


CONNECT_AS = """
import json, socket, struct, sys
s = socket.socket(socket.AF_UNIX); s.settimeout(10); s.connect(sys.argv[1])
s.sendall(struct.pack(">I", 15) + b'{"op":"status"}')
n = struct.unpack(">I", s.recv(4))[0]; print(s.recv(n).decode())
"""


@pytest.mark.root
def test_another_user_is_refused_by_the_kernels_word(writer: Writer) -> None:
    writer.root.chmod(0o755)
    writer.socket.chmod(0o666)
    setpriv = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    python = ["/usr/bin/python3"] if Path("/usr/bin/python3").exists() else [sys.executable]
    command = [*setpriv, *python, "-c", CONNECT_AS, str(writer.socket)]
    result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    answer = json.loads(result.stdout)
    assert answer["ok"] is False
    assert answer["error"]["code"] == "refused"
    assert "--allow-uid 65534" in answer["error"]["message"]
    writer.stop()
    writer.start("--allow-uid", "65534", "--allow-uid", str(os.getuid()))
    writer.socket.chmod(0o666)
    result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    assert json.loads(result.stdout)["ok"] is True
    writer.stop()
    writer.start()


def test_the_socket_is_closed_to_others_by_its_mode(writer: Writer) -> None:
    assert writer.socket.stat().st_mode & 0o777 == 0o660


def test_a_second_writer_on_the_same_folder_is_refused(
    root: Path, writer: Writer, client: AuditClient
) -> None:
    second = Writer(root / "second", log=writer.log)
    process = second.spawn()
    assert process.wait(20) == 3
    assert f"{writer.log} is held by another audit writer" in second.errors
    assert works(client)


def test_a_second_writer_on_the_same_head_is_refused(root: Path, writer: Writer) -> None:
    second = Writer(root / "second", head=writer.head)
    process = second.spawn()
    assert process.wait(20) == 3
    assert f"{writer.head} is held by another audit writer" in second.errors


def test_a_stale_socket_is_replaced(writer: Writer, client: AuditClient) -> None:
    writer.kill()
    assert writer.socket.exists()
    writer.start()
    assert works(client)


def test_what_the_writer_can_not_start_without_is_named(root: Path) -> None:
    writer = Writer(root / "one")
    writer.officers.unlink()
    process = writer.spawn()
    assert process.wait(20) == 2
    assert "officers.json does not exist" in writer.errors
    assert "Traceback" not in writer.errors
    shutil.rmtree(writer.root)
