"""Tokens are handed over together; starts and ends are not kept waiting."""

from __future__ import annotations

import time

from appliance.engine.outbox import Event, Outbox
from appliance.engine.sequence import Finish
from tests.unit.engine.runs import Heard


def test_a_start_is_delivered_at_once() -> None:
    delivered: list[list[Event]] = []
    sink = Heard()
    Outbox(delivered.append).put([(sink, [], None, None)])
    assert delivered == [[(sink, [], None, None)]]


def test_tokens_that_come_fast_are_delivered_together_and_in_order() -> None:
    delivered: list[list[Event]] = []
    outbox, sink = Outbox(delivered.append), Heard()
    outbox.put([(sink, [], None, None)])
    for token in range(200):
        outbox.put([(sink, [token], None, None)])
    outbox.put([(sink, [], None, Finish.STOP)])
    tokens = [token for events in delivered for event in events for token in event[1]]
    assert tokens == list(range(200))
    assert len(delivered) < 100
    assert delivered[-1][-1][3] is Finish.STOP


def test_tokens_that_come_slowly_are_delivered_one_by_one() -> None:
    delivered: list[list[Event]] = []
    outbox, sink = Outbox(delivered.append), Heard()
    for token in range(3):
        time.sleep(0.005)  # the pace of a model whose steps take so long
        outbox.put([(sink, [token], None, None)])
    assert [events[0][1] for events in delivered] == [[0], [1], [2]]
