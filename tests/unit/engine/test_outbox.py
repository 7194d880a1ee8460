"""Tokens are handed over together; starts, first tokens and ends are not kept waiting."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from appliance.engine.outbox import Event, Outbox
from appliance.engine.sampling import TokenLogprobs
from appliance.engine.sequence import Finish
from tests.unit.engine.runs import Heard


class Bench:
    """An outbox with a clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0
        self.delivered: list[list[Event]] = []
        self.outbox = Outbox(self.delivered.append, lambda: self.now)
        self.outbox.put([(Heard(), [], None, None)])  # time begins to count
        self.delivered.clear()


def test_a_start_and_the_first_tokens_are_delivered_at_once() -> None:
    bench, sinks = Bench(), [Heard(), Heard()]
    for sink in sinks:
        bench.outbox.put([(sink, [], None, None)])
        bench.outbox.put([(sink, [7], None, None)])
    assert bench.delivered == [
        [(sink, tokens, None, None)] for sink in sinks for tokens in ([], [7])
    ]


def test_tokens_that_come_fast_are_delivered_together_and_in_order() -> None:
    bench, sink = Bench(), Heard()
    for token in range(200):
        bench.now += 0.001
        bench.outbox.put([(sink, [token], None, None)])
    bench.outbox.put([(sink, [], None, Finish.STOP)])
    tokens = [token for events in bench.delivered for event in events for token in event[1]]
    assert tokens == list(range(200))
    assert 5 < len(bench.delivered) < 20
    assert all(len(events) == 1 for events in bench.delivered)
    assert bench.delivered[-1][-1][3] is Finish.STOP


def test_a_first_token_and_an_end_take_nobody_elses_tokens_along() -> None:
    bench, going_on, ending, late = Bench(), Heard(), Heard(), Heard()
    bench.outbox.put([(going_on, [1], None, None), (ending, [2], None, None)])
    bench.delivered.clear()
    bench.outbox.put([(going_on, [3], None, None), (ending, [4], None, Finish.STOP)])
    bench.outbox.put([(going_on, [5], None, None), (late, [6], None, None)])
    assert bench.delivered == [[(ending, [4], None, Finish.STOP)], [(late, [6], None, None)]]
    bench.now += 0.021
    bench.outbox.put([(late, [7], None, None)])
    assert bench.delivered[2] == [(going_on, [3, 5], None, None), (late, [7], None, None)]


def test_tokens_that_come_slowly_are_delivered_one_by_one() -> None:
    bench, sink = Bench(), Heard()
    for token in range(3):
        bench.now += 0.021  # the pace of a model whose steps take so long
        bench.outbox.put([(sink, [token], None, None)])
    assert [events[0][1] for events in bench.delivered] == [[0], [1], [2]]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9), st.booleans()), max_size=60))
def test_each_sink_gets_its_own_tokens_in_order_with_their_log_probabilities(
    said: list[tuple[int, int, bool]],
) -> None:
    delivered: list[Event] = []
    outbox, sinks = Outbox(delivered.extend), [Heard() for _ in range(4)]
    for number, token, logged in said:
        found = TokenLogprobs(-float(token), ()) if logged else None
        outbox.put([(sinks[number], [token], found, None)])
    outbox.put([(sink, [], None, Finish.STOP) for sink in sinks])
    for number, sink in enumerate(sinks):
        events = [event for event in delivered if event[0] is sink]
        mine = [each for each in said if each[0] == number]
        assert [token for event in events for token in event[1]] == [each[1] for each in mine]
        logged = [-event[2].logprob for event in events if event[2] is not None]
        assert logged == [token for _, token, has in mine if has]
        assert [event[3] for event in events if event[3]] == [Finish.STOP]
