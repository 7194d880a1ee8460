"""What others' models of FHIR and OCSF say to converted records."""

from __future__ import annotations

import pytest

from audit.formats.choose import Choice
from audit.opening import OpenedRecord
from tests.support.peers import ask_peer
from tests.unit.audit.manyrecords import make_log, opened, written

FHIR = """
import json, sys
from fhir.resources{version}.bundle import Bundle
bundle = Bundle.model_validate(json.load(sys.stdin))
events = [entry.resource for entry in bundle.entry]
print(len(events), {{event.get_resource_type() for event in events}}, bundle.type)
"""
OCSF = """
import json, sys
from ocsf.events.application.api import APIActivity
from ocsf.objects.metadata import Metadata
found = [APIActivity.model_validate(json.loads(line)) for line in sys.stdin]
print(len(found), {one.class_uid for one in found}, {one.category_uid.value for one in found})
"""


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> list[OpenedRecord]:
    log = make_log(tmp_path_factory.mktemp("foreign") / "one")
    return opened(log, Choice(contents=True))


@pytest.mark.parametrize(("form", "version"), [("fhir-r4", ".R4B"), ("fhir-r5", "")])
def test_fhir_resources_takes_the_bundle(
    form: str, version: str, records: list[OpenedRecord]
) -> None:
    said = ask_peer(FHIR.format(version=version), written(form, records))
    assert said.split() == [str(len(records)), "{'AuditEvent'}", "collection"]


def test_ocsf_pydantic_takes_every_event(records: list[OpenedRecord]) -> None:
    said = ask_peer(OCSF, written("ocsf", records))
    assert said.split() == [str(len(records)), "{6003}", "{6}"]


def test_the_peers_refuse_what_is_wrong(records: list[OpenedRecord]) -> None:
    """Else their agreement would say nothing."""
    bundle = written("fhir-r5", records).replace(b'"recorded"', b'"recordet"')
    with pytest.raises(AssertionError, match="recordet"):
        ask_peer(FHIR.format(version=""), bundle)
    events = written("ocsf", records).replace(b'"src_endpoint"', b'"source"')
    with pytest.raises(AssertionError, match="src_endpoint"):
        ask_peer(OCSF, events)
