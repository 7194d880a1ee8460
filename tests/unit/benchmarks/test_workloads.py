"""What the benchmarks send, and how they read what comes back."""

from __future__ import annotations

import ctypes
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import llama_cpp
import pytest

from tests.benchmarks.disturb import disturb, sort_gaps
from tests.benchmarks.drive import Address, Answer, Request, drive
from tests.benchmarks.peers import Side, cloister
from tests.benchmarks.texts import FORM, bare_grammar, fitted, note
from tests.benchmarks.weights import BenchmarkError, Model, model
from tests.benchmarks.workloads import Newcomer, is_form, loads

GOOD = {
    "category": "loan",
    "urgency": "low",
    "product": "card",
    "next_action": "reply",
    "language": "en",
    "needs_human": False,
    "days": 3,
    "summary": "a loan",
}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Model]:
    with model("demo", tmp_path_factory.mktemp("weights")) as subject:
        yield subject


# --- what is sent ----------------------------------------------------------------------------


@pytest.mark.parametrize("length", [16, 30, 256, 600, 4000])
def test_a_text_has_exactly_the_tokens_that_were_asked_for(demo: Model, length: int) -> None:
    assert demo.tokens(fitted(demo.tokens, length, "seed")) == length


def test_texts_of_two_seeds_differ_from_their_first_words_on(demo: Model) -> None:
    texts = [fitted(demo.tokens, 256, str(seed)) for seed in range(8)]
    assert len({text[:40] for text in texts}) == 8
    assert fitted(demo.tokens, 256, "0") == texts[0]


def test_two_notes_differ_and_one_seed_gives_one_note() -> None:
    assert len({note(str(seed)) for seed in range(20)}) > 10
    assert note("a") == note("a")


def test_the_ends_of_the_demo_model_are_those_that_its_answers_end_with(demo: Model) -> None:
    assert demo.ends == (2,)


def test_all_clients_fit_the_context_that_a_load_asks_for() -> None:
    assert [load.clients for load in loads("free", [1, 8, 32], None)] == [1, 8, 32]
    for load in (*loads("triage", [1, 8, 32], None), *loads("free", [64], 5)):
        assert load.context >= load.clients * load.tokens
        assert load.sequences == load.clients
    assert Newcomer().context > 4000 + 8 * 480


def test_triage_sends_64_requests_unless_told_otherwise() -> None:
    assert {load.count for load in loads("triage", [1, 8], None)} == {64}
    assert {load.count for load in loads("triage", [1, 8], 3)} == {3}


def test_a_side_asks_for_the_form_in_the_words_that_its_server_knows(demo: Model) -> None:
    schema = {"type": "json_schema", "json_schema": {"name": "form", "schema": FORM}}
    request = Request("/v1/chat/completions", {"response_format": schema})
    asked = cloister().adapt(request, demo, "g").body
    assert asked == {"model": "demo", "response_format": schema}
    bare = Side("b", "llama-server", (), bare_grammar=True).adapt(request, demo, "g").body
    assert bare == {"model": "demo", "grammar": "g", "cache_prompt": True}
    python = Side("p", "llama_cpp.server", ()).adapt(request, demo, "g").body
    assert python["response_format"] == {"type": "json_object", "schema": FORM}


def test_the_grammar_takes_the_bare_form_and_nothing_with_a_blank(demo: Model) -> None:
    bare = json.dumps(GOOD, separators=(",", ":"))
    assert _accepted(demo.file, bare_grammar(FORM), bare)
    assert not _accepted(demo.file, bare_grammar(FORM), json.dumps(GOOD))
    assert not _accepted(demo.file, bare_grammar(FORM), bare.replace("loan", "loam"))


def _accepted(file: Path, grammar: str, text: str) -> bool:
    """Whether llama.cpp's own grammar lets every token of a text through."""
    options = llama_cpp.llama_model_default_params()
    options.vocab_only = True
    loaded = llama_cpp.llama_model_load_from_file(str(file).encode(), options)
    vocabulary = llama_cpp.llama_model_get_vocab(loaded)
    room = (llama_cpp.llama_token * len(text))()
    count = llama_cpp.llama_tokenize(
        vocabulary, text.encode(), len(text), room, len(text), False, False
    )
    sampler = llama_cpp.llama_sampler_init_grammar(vocabulary, grammar.encode(), b"root")
    assert sampler
    try:
        return all(_allows(sampler, token) for token in room[:count])
    finally:
        llama_cpp.llama_sampler_free(sampler)
        llama_cpp.llama_model_free(loaded)


def _allows(sampler: object, token: int) -> bool:
    one = (llama_cpp.llama_token_data * 1)(llama_cpp.llama_token_data(token, 0.0, 0.0))
    candidates = llama_cpp.llama_token_data_array(one, 1, -1, False)
    llama_cpp.llama_sampler_apply(sampler, ctypes.byref(candidates))
    if candidates.data[0].logit != 0.0:
        return False
    llama_cpp.llama_sampler_accept(sampler, token)
    return True


def test_only_a_whole_form_is_a_valid_answer() -> None:
    assert is_form(json.dumps(GOOD, indent=1))
    assert not is_form(json.dumps(GOOD)[:-1])
    assert not is_form(json.dumps(GOOD | {"days": 15}))
    assert not is_form(json.dumps(GOOD | {"more": 1}))


# --- what comes back -------------------------------------------------------------------------


class _Echo(BaseHTTPRequestHandler):
    """Streams the prompt's words, and ends as the prompt says."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        words = body["prompt"].split()
        if words[0] == "refuse":
            self._send(400, b'{"error": {"message": "no"}}')
            return
        events: list[dict[str, object]] = [{"choices": [{"text": word}]} for word in words]
        events.append({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 99}})
        lines = [f"data: {json.dumps(event)}\n\n" for event in events]
        if words[0] == "fail":
            lines[1] = 'data: {"error": {"message": "broken"}}\n\n'
        if words[0] != "cut":
            lines.append("data: [DONE]\n\n")
        self._send(200, "".join(lines).encode())

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def echo() -> Iterator[Address]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Echo) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield Address(server.server_address[1])
        server.shutdown()
        thread.join()


def _ask(prompt: str) -> Request:
    return Request("/v1/completions", {"prompt": prompt})


def test_answers_come_back_in_the_order_of_the_requests(echo: Address) -> None:
    answers = drive(echo, [_ask(f"one {number}") for number in range(9)], clients=3)
    assert [answer.text for answer in answers] == [f"one{number}" for number in range(9)]
    for answer in answers:
        assert (answer.prompt_tokens, answer.tokens) == (7, 99)
        assert answer.began < answer.arrivals[0] <= answer.arrivals[1]
        assert answer.gaps == [(answer.arrivals[0], answer.arrivals[1])]


@pytest.mark.parametrize(
    ("prompt", "complaint"),
    [("refuse it", "400"), ("fail it", "broken"), ("cut it", r"without \[DONE\]")],
)
def test_an_answer_that_went_wrong_is_never_counted(
    echo: Address, prompt: str, complaint: str
) -> None:
    with pytest.raises(BenchmarkError, match=complaint):
        drive(echo, [_ask("all right"), _ask(prompt)], clients=2)


def _stream(*arrivals: float) -> Answer:
    return Answer(0.0, list(arrivals))


def test_gaps_are_told_apart_by_the_newcomer_s_prompt() -> None:
    stream = _stream(*range(1, 21), 20.5, 23.5, 24.0, 25.0, 26.0)
    newcomer = Answer(20.6, [24.5])
    found = sort_gaps([stream, stream], newcomer)
    assert found.quiet == 2 * [*[1.0] * 16, 0.5]  # the first three are still settling
    assert found.disturbed == 2 * [3.0, 0.5, 1.0]


def test_streams_that_end_before_the_newcomer_is_served_measure_nothing() -> None:
    with pytest.raises(BenchmarkError, match="ended before"):
        sort_gaps([_stream(*range(1, 21))], Answer(19.5, [24.5]))


def test_a_newcomer_waits_until_all_streams_have_settled(echo: Address) -> None:
    with pytest.raises(BenchmarkError, match="ended before"):
        disturb(echo, [_ask("word " * 40)] * 2, _ask("late"))
