"""Triage examples: a message of one scenario, dressed with greetings, asides, urgency and tone."""

from __future__ import annotations

import json
from random import Random

from models.demo.recipe import prose
from models.demo.recipe.banks import bank
from models.demo.recipe.notes import Scene
from models.demo.recipe.templates import plain, typo

BANK = bank("messages")
FIELDS = ("category", "urgency", "product", "next_action", "needs_human")
CATEGORIES = list(BANK["scenarios"])
WEIGHTS = [len(groups) ** 0.5 for groups in BANK["scenarios"].values()]
PROSE_SHARE = 0.12
"""Of the asides: sentences of the grammar, in which any word may stand and means nothing."""
PEOPLE_ACTIONS = frozenset({"investigate", "assess_claim", "call_back"})


def answer(category: str, urgency: str, product: str, action: str, *, upset: bool) -> str:
    """The JSON answer; a person is needed when it is urgent, upset or needs judgement."""
    needs_human = urgency == "high" or upset or action in PEOPLE_ACTIONS
    values = (category, urgency, product, action, needs_human)
    return json.dumps(dict(zip(FIELDS, values, strict=True)), separators=(",", ":"))


def _dress(rng: Random, scene: Scene, core: list[str]) -> str:
    """Add greeting, asides and signature, in one of several message styles."""

    def say(bank: list[str]) -> str:
        return plain(rng, rng.choice(bank), scene.supply)

    lines = list(core)
    for _ in range(rng.choices((0, 1, 2, 4), (50, 30, 14, 6))[0]):
        aside = (
            prose.plain_sentence(rng, scene.supply)
            if rng.random() < PROSE_SHARE
            else say(BANK["asides"])
        )
        lines.insert(rng.randint(0, len(lines)), aside)
    body = rng.choice((" ", " ", " ", "\n")).join(lines)
    head = tail = ""
    if rng.random() < 0.55:
        head = say(BANK["openings"]) + rng.choice((" ", "\n", "\n\n"))
    if rng.random() < 0.5:
        tail = rng.choice((" ", "\n", "\n\n")) + say(BANK["closings"])
    text = head + body + tail
    if rng.random() < 0.12:
        text = say(BANK["envelopes"]) + "\n" + text
    return text


def _roughen(rng: Random, text: str) -> str:
    roll = rng.random()
    if roll < 0.16:
        text = text.lower()
    elif roll < 0.19:
        text = text.upper()
    elif roll < 0.24:
        text = text.replace(".", "").replace(",", "").lower()
    if rng.random() < 0.3:
        text = typo(rng, text, rng.choice((0.01, 0.03, 0.06)))
    return text


def triage_example(rng: Random) -> tuple[str, str]:
    """A message and its JSON answer."""
    scene = Scene(rng)
    category = rng.choices(CATEGORIES, WEIGHTS)[0]
    scenario = rng.choice(BANK["scenarios"][category])
    gold = scenario["answer"]
    urgency = gold["urgency"]
    core = [plain(rng, rng.choice(scenario["says"]), scene.supply)]
    if rng.random() < 0.2:
        core.append(plain(rng, rng.choice(scenario["says"]), scene.supply))
    upset = rng.random() < 0.14
    if upset:
        core.append(plain(rng, rng.choice(BANK["upset"]), scene.supply))
    roll = rng.random()
    if (urgency == "normal" and roll < 0.15) or (urgency == "low" and roll < 0.06):
        urgency = "high"
        core.append(plain(rng, rng.choice(BANK["urgent"]), scene.supply))
    elif urgency == "normal" and roll < 0.27 and not upset:
        urgency = "low"
        core.append(plain(rng, rng.choice(BANK["relaxed"]), scene.supply))
    elif urgency == "high" and roll < 0.4:
        core.append(plain(rng, rng.choice(BANK["urgent"]), scene.supply))
    text = _roughen(rng, _dress(rng, scene, core))
    return text, answer(category, urgency, gold["product"], gold["next_action"], upset=upset)
