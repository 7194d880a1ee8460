"""No process of ours opens a socket that reaches beyond this machine: the kernel's own word."""

from __future__ import annotations

import ipaddress
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from tests.support.cloister import Cloister, tiny_model_tree

_CALL = re.compile(r"^(?P<pid>\d+)\s+(?P<name>\w+)\((?P<rest>.*)$")
_FAMILY = re.compile(r"\bAF_\w+|\bPF_\w+")
_ADDRESS = re.compile(r'inet_addr\("(?P<four>[^"]+)"\)|inet_pton\(AF_INET6, "(?P<six>[^"]+)"')


@dataclass
class Trace:
    """Every socket that was made, and every internet address that was named, in a whole run."""

    families: set[str] = field(default_factory=set)
    addresses: set[str] = field(default_factory=set)
    calls: set[str] = field(default_factory=set)
    processes: set[str] = field(default_factory=set)

    @classmethod
    def read(cls, file: Path) -> Trace:
        trace = cls()
        with file.open(errors="replace") as lines:
            for line in lines:
                trace.add(line)
        return trace

    def add(self, line: str) -> None:
        call = _CALL.match(line)
        if call is None:
            return
        self.calls.add(call["name"])
        self.processes.add(call["pid"])
        if call["name"] in {"socket", "socketpair"}:
            self.families |= set(_FAMILY.findall(call["rest"].split(",")[0]))
        for found in _ADDRESS.finditer(call["rest"]):
            self.addresses.add(found["four"] or found["six"])


def test_a_whole_run_with_real_requests_stays_on_this_machine(tmp_path: Path) -> None:
    """`strace -f` over start-up, requests by page, API and command line, and the end.

    Every address that any process passes to any network call has to be loopback, and every socket
    has to be AF_UNIX or, for the pages, AF_INET.
    """
    strace = shutil.which("strace")
    assert strace is not None, "Remedy: make ready-test"
    file = tmp_path / "trace"
    tiny_model_tree(tmp_path / "var")
    wrapper = [strace, "--follow-forks", "--trace=network", "-qq", f"--output={file}"]
    with Cloister(tmp_path / "var", wrapper=wrapper) as cloister:
        cloister.start()
        _use(cloister)
        assert cloister.stop() == 0
    trace = Trace.read(file)
    assert len(trace.processes) >= 6
    assert {"socket", "bind", "listen", "connect", "accept4"} <= trace.calls
    assert trace.families == {"AF_UNIX", "AF_INET"}
    strangers = {one for one in trace.addresses if not ipaddress.ip_address(one).is_loopback}
    assert strangers == set()
    assert "127.0.0.1" in trace.addresses


def _use(cloister: Cloister) -> None:
    key = {"Authorization": f"Bearer {cloister.key()}"}
    with httpx.Client(base_url=cloister.url, timeout=120) as http:
        assert http.get("/").status_code in {200, 302, 303}
        assert http.get("/readyz").status_code == 200
        asked = {"model": "demo", "messages": [{"role": "user", "content": "Hello"}]}
        for stream in (False, True):
            body = {**asked, "max_tokens": 16, "stream": stream}
            answer = http.post("/v1/chat/completions", json=body, headers=key)
            assert answer.status_code == 200, answer.text
        answer = http.post("/v1/tasks/triage", json={"inputs": {"text": "Hello"}}, headers=key)
        assert answer.status_code == 200, answer.text
    done = cloister.call("task", "run", "triage", "--input", "text=Hello")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("line", "families", "addresses"),
    [
        ("12 socket(AF_INET6, SOCK_DGRAM|SOCK_CLOEXEC, IPPROTO_IP) = 3", {"AF_INET6"}, set()),
        (
            "12 connect(3, {sa_family=AF_INET, sin_port=htons(53), "
            'sin_addr=inet_addr("192.0.2.1")}, 16) = 0',
            set(),
            {"192.0.2.1"},
        ),
        (
            '7 sendto(3, "x", 1, 0, {sa_family=AF_INET6, sin6_port=htons(1), '
            'inet_pton(AF_INET6, "2001:db8::1", &sin6_addr)}, 28) = 1',
            set(),
            {"2001:db8::1"},
        ),
        ('7 connect(3, {sa_family=AF_UNIX, sun_path="/x"}, 5) = 0', set(), set()),
    ],
)
def test_the_reading_of_the_trace_misses_no_address(
    line: str, families: set[str], addresses: set[str]
) -> None:
    trace = Trace()
    trace.add(line)
    assert (trace.families, trace.addresses) == (families, addresses)
