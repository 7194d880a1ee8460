"""Health, readiness and numbers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.support.asking import SHORT
from tests.support.stack import Stack


def test_the_process_says_that_it_lives(stack: Stack) -> None:
    response = httpx.get(f"{stack.url}/healthz", timeout=30)
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


def test_a_whole_appliance_is_ready_part_by_part(stack: Stack) -> None:
    response = httpx.get(f"{stack.url}/readyz", timeout=30)
    assert response.status_code == 200
    parts = response.json()["parts"]
    assert set(parts) == {"database", "log", "engine"}
    assert all(part["ready"] for part in parts.values())
    assert "demo" in parts["engine"]["detail"]


def test_numbers_count_answers_and_tokens(stack: Stack, http: httpx.Client) -> None:
    before = stack.metric("cloister_answers_total")
    tokens = stack.metric("cloister_tokens_total")
    usage = http.post("/v1/chat/completions", json=SHORT).json()["usage"]
    assert stack.metric("cloister_answers_total") == before + 1
    assert stack.metric("cloister_tokens_total") == tokens + usage["total_tokens"]


def test_numbers_name_no_person_no_key_and_no_text(
    stack: Stack, http: httpx.Client, key: str
) -> None:
    http.post("/v1/chat/completions", json=SHORT | {"model": "Ottoline"})
    http.get("/v1/Ottoline")
    text = httpx.get(f"{stack.url}/metrics", timeout=30).text
    for secret in ("Ottoline", key.split("_")[1], "admin"):
        assert secret not in text
    families = list(text_string_to_metric_families(text))
    assert len({family.name for family in families}) == len(families)
    assert all(len(family.samples) < 200 for family in families)


def test_numbers_and_parts_are_for_the_networks_in_the_settings(tmp_path: Path) -> None:
    alone = Stack.start(tmp_path, ("web",), metrics_networks=["10.1.0.0/16"])
    try:
        with alone.http() as client:
            assert client.get("/metrics").status_code == 403
            ready = client.get("/readyz")
            assert client.get("/healthz").status_code == 200
    finally:
        alone.stop()
    assert (ready.status_code, ready.json()) == (503, {"ready": False})
    assert int(ready.headers["Retry-After"]) > 0


def test_numbers_are_those_of_all_workers_together(tmp_path: Path) -> None:
    several = Stack.start(tmp_path, ("web",), web_workers=3)

    def ask(_: int) -> int:
        return httpx.get(f"{several.url}/healthz", timeout=30).status_code

    try:
        before = several.metric("cloister_http_requests_total")
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(ask, range(60)))
        after = [several.metric("cloister_http_requests_total") for _ in range(5)]
        several.restart("web")
        fresh = several.metric("cloister_http_requests_total")
    finally:
        several.stop()
    assert answers == [200] * 60
    # Whichever worker is asked; the request for the numbers themselves counts from the next on.
    assert after == [before + 61 + more for more in range(5)]
    assert fresh < 60


def test_a_web_process_alone_lives_but_is_not_ready(tmp_path: Path) -> None:
    alone = Stack.start(tmp_path, ("web",))
    try:
        with alone.http("clst_a_b") as client:
            assert client.get("/healthz").status_code == 200
            parts = client.get("/readyz").json()["parts"]
            refused = client.get("/v1/models")
    finally:
        alone.stop()
    assert {name: part["ready"] for name, part in parts.items()} == {
        "database": True,
        "log": False,
        "engine": False,
    }
    assert refused.status_code == 503
    assert refused.json()["error"]["code"] == "log_unavailable"
    assert int(refused.headers["Retry-After"]) > 0
