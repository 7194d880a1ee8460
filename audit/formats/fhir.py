"""FHIR AuditEvent, R4 and R5: a Bundle of type `collection`, one resource a line in between.

https://hl7.org/fhir/R4/auditevent.html, https://hl7.org/fhir/R5/auditevent.html. R5 has `category`
and `code` where R4 has `type` and `subtype`, and other shapes of outcome, network and detail.
"""

from __future__ import annotations

import base64
from typing import Any, Final

from audit.formats.event import Event, compact, rfc3339
from audit.leaf import LeafType

HEAD: Final = '{"resourceType":"Bundle","type":"collection","entry":[\n'
SEPARATOR: Final = ",\n"
TAIL: Final = "\n]}\n"

_TYPES: Final = "http://terminology.hl7.org/CodeSystem/audit-event-type"
_DICOM: Final = "http://dicom.nema.org/resources/ontology/DCM"
_OUTCOMES: Final = "http://terminology.hl7.org/CodeSystem/audit-event-outcome"
_ENTITIES: Final = "http://terminology.hl7.org/CodeSystem/audit-entity-type"

_REST: Final = {"system": _TYPES, "code": "rest", "display": "RESTful Operation"}
_EXPORTED: Final = {"system": _DICOM, "code": "110106", "display": "Export"}
_APPLICATION: Final = {"system": _DICOM, "code": "110100", "display": "Application Activity"}
_CODES: Final = {
    LeafType.PROMPT: _REST,
    LeafType.ANSWER: _REST,
    LeafType.ACCESS: {"system": _DICOM, "code": "110101", "display": "Audit Log Used"},
    LeafType.AUTH: {"system": _DICOM, "code": "110114", "display": "User Authentication"},
    LeafType.FAULT: {"system": _DICOM, "code": "110113", "display": "Security Alert"},
}
# Create, Read, Update, Delete, Execute
_ACTIONS: Final = {
    LeafType.ACCESS: "R",
    LeafType.ADMIN: "U",
    LeafType.SHRED: "D",
    LeafType.PRUNE: "D",
}
_SUCCESS: Final = {"system": _OUTCOMES, "code": "0", "display": "Success"}
_MINOR: Final = {"system": _OUTCOMES, "code": "4", "display": "Minor failure"}
_IP_ADDRESS: Final = "2"
_PERSON: Final = {"system": _ENTITIES, "code": "1", "display": "Person"}
_OTHER: Final = {"system": _ENTITIES, "code": "4", "display": "Other"}


def r4_entry(event: Event) -> str:
    """An event as an entry of a Bundle of R4."""
    agent = _agent(event)
    if address := event.text("address"):
        agent["network"] = {"address": address, "type": _IP_ADDRESS}
    resource = {
        **_common(event),
        "type": _code(event),
        "subtype": [{"display": event.name}],
        "outcome": _outcome(event)["code"],
        "agent": [agent],
        "entity": [
            {
                "what": _identified(event.record.event),
                "type": _OTHER,
                "detail": [{"type": name, **value} for name, value in _details(event)],
            },
            *({"what": _identified(name), "type": _PERSON} for name in _about(event)),
        ],
    }
    if event.outcome:
        resource["outcomeDesc"] = event.outcome
    return _entry(event, resource)


def r5_entry(event: Event) -> str:
    """An event as an entry of a Bundle of R5."""
    agent = _agent(event)
    if address := event.text("address"):
        agent["networkString"] = address
    outcome: dict[str, Any] = {"code": _outcome(event)}
    if event.outcome:
        outcome["detail"] = [{"text": event.outcome}]
    resource = {
        **_common(event),
        "category": [{"coding": [_code(event)]}],
        "code": {"coding": [_code(event)], "text": event.name},
        "occurredDateTime": rfc3339(event.record.leaf.wall_ns),
        "outcome": outcome,
        "agent": [agent],
        "entity": [
            {
                "what": _identified(event.record.event),
                "detail": [{"type": {"text": name}, **value} for name, value in _details(event)],
            },
            *({"what": _identified(name)} for name in _about(event)),
        ],
    }
    return _entry(event, resource)


def _entry(event: Event, resource: dict[str, Any]) -> str:
    return compact({"fullUrl": f"urn:uuid:{event.record.event}", "resource": resource})


def _common(event: Event) -> dict[str, Any]:
    """What both versions call the same."""
    return {
        "resourceType": "AuditEvent",
        "id": event.record.event,
        "action": _ACTIONS.get(event.kind, "E"),
        "recorded": rfc3339(event.record.leaf.wall_ns),
        "source": {"observer": {**_identified(event.origin), "display": event.origin}},
    }


def _code(event: Event) -> dict[str, str]:
    if event.name.startswith("audit:export:"):
        return _EXPORTED
    return _CODES.get(event.kind, _APPLICATION)


def _outcome(event: Event) -> dict[str, str]:
    return _MINOR if event.failed else _SUCCESS


def _agent(event: Event) -> dict[str, Any]:
    """Who did it; the log's writer where nobody asked for it."""
    who = event.actor or "cloister-audit"
    return {"who": _identified(who), "requestor": bool(event.actor)}


def _about(event: Event) -> list[str]:
    return [event.subject] if event.subject else []


def _identified(name: str) -> dict[str, Any]:
    return {"identifier": {"value": name}}


def _details(event: Event) -> list[tuple[str, dict[str, str]]]:
    """All other facts as text; content as base64, because a FHIR string has a limit of length."""
    leaf = event.record.leaf
    facts = {"leaf": leaf.index, "epoch": leaf.epoch, "leaf_hash": event.leaf_hash}
    told = {**facts, **event.rest("event", "outcome", "address")}
    details = [
        (name, {"valueString": value if isinstance(value, str) else compact(value)})
        for name, value in told.items()
    ]
    if event.record.content is not None:
        raw = compact(event.record.content).encode()
        details.append(("content", {"valueBase64Binary": base64.b64encode(raw).decode()}))
    return details
