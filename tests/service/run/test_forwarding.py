"""`cloister run` with a log host: one more process, one address more, and nothing else."""

from __future__ import annotations

from pathlib import Path

import httpx

from tests.support.cloister import Cloister, tiny_model_tree
from tests.support.loghost import LogHost
from tests.support.wait import wait_until


def _forwarders(cloister: Cloister) -> list[int]:
    return [one.pid for one in cloister.family() if "audit.forward" in one.cmdline()]


def test_a_log_host_is_told_all_and_a_forwarder_that_dies_comes_back(tmp_path: Path) -> None:
    state = tmp_path / "var"
    tiny_model_tree(state)
    with LogHost() as host, Cloister(state) as cloister:
        cloister.environment["CLOISTER_AUDIT_FORWARD"] = f"tcp://127.0.0.1:{host.port}"
        cloister.start()
        wait_until(lambda: "EPOCH-OPEN" in "".join(host.lines), 20, "the first record")
        found = {one["check"]: one for one in cloister.json("doctor")}
        assert {name: one["state"] for name, one in found.items() if one["state"] != "ok"} == {}
        assert found["forward"]["detail"].endswith(f"records wait for tcp://127.0.0.1:{host.port}")
        assert "but to tcp://127.0.0.1" in found["egress"]["detail"]
        metrics = httpx.get(f"{cloister.url}/metrics", timeout=30).text
        assert "cloister_log_forward_waiting_records" in metrics
        (pid,) = _forwarders(cloister)
        next(one for one in cloister.family() if one.pid == pid).kill()
        wait_until(lambda: _forwarders(cloister) not in ([], [pid]), 20, "another forwarder")
        told = len(host.indices)
        assert cloister.call("key", "add", "narrow", "--model", "scoped").returncode == 0
        wait_until(lambda: len(host.indices) > told, 20, "the key's record")


def test_an_address_that_is_none_starts_nothing(tmp_path: Path) -> None:
    cloister = Cloister(tmp_path / "var")
    cloister.environment["CLOISTER_AUDIT_FORWARD"] = "tcp://loghost:514"
    done = cloister.call("run")
    assert done.returncode != 0
    assert "names are not looked up" in done.stderr
    assert "docs/audit.md" in done.stderr
