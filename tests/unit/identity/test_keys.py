"""API keys: made once, kept as a hash, limited by their scope."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select

from appliance.database import Database
from appliance.database.tables import ApiKeyRow
from appliance.identity import Accounts, ApiKeys
from appliance.identity.errors import (
    BadKeyError,
    BadNameError,
    KeyExistsError,
    UnknownAccountError,
    UnknownKeyError,
)
from audit.client import AuditClient
from audit.errors import LogUnavailableError
from tests.unit.identity.conftest import Clock, Log

pytestmark = pytest.mark.usefixtures("cheap_hashes")

HERE = "10.0.0.1"


@pytest.fixture
def keys(database: Database, log: Log, clock: Clock) -> ApiKeys:
    return ApiKeys(database, log.client, clock)


def prefix_of(key: str) -> str:
    return key.split("_")[1]


def test_a_key_is_shown_once_and_kept_as_a_hash(
    keys: ApiKeys, database: Database, log: Log
) -> None:
    key = keys.create("billing", actor="bob")
    scheme, prefix, secret = key.split("_", 2)
    assert scheme == "clst"
    assert len(secret) >= 43  # 256 bits in base64
    with database.read() as session:
        row = session.scalars(select(ApiKeyRow)).one()
    assert secret not in repr(vars(row))
    assert secret not in repr(log.records())
    assert secret not in repr(keys.list())
    assert [one.prefix for one in keys.list()] == [prefix]


def test_a_right_key_says_whose_it_is_and_what_it_may(keys: ApiKeys) -> None:
    who = keys.check(keys.create("desk", actor="bob", models=["demo"], tasks=[]), HERE)
    assert who.actor == f"key:{who.prefix}"
    assert who.may_use_model("demo")
    assert not who.may_use_model("other")
    assert not who.may_run_task("triage")
    free = keys.check(keys.create("all", actor="bob"), HERE)
    assert free.may_use_model("other")
    assert free.may_run_task("triage")


def test_any_change_to_a_key_makes_it_wrong(keys: ApiKeys, log: Log) -> None:
    key = keys.create("billing", actor="bob")
    other = keys.create("other", actor="bob")
    mixed = f"clst_{prefix_of(other)}_{key.split('_', 2)[2]}"
    wrong = [
        None,
        "",
        "clst_",
        key[:-1],
        key + "A",
        key.upper(),
        f"x{key}",
        mixed,
        "\udce4",
        "k" * 999,
    ]
    for presented in wrong:
        with pytest.raises(BadKeyError) as caught:
            keys.check(presented, HERE)
        assert caught.value.record_id
    assert log.events().count("identity:key:refused") == len(wrong)
    assert keys.check(key, HERE).name == "billing"


def test_a_revoked_key_stops_and_its_name_is_free_again(keys: ApiKeys) -> None:
    key = keys.create("billing", actor="bob")
    assert keys.revoke(prefix_of(key), actor="bob").name == "billing"
    with pytest.raises(BadKeyError):
        keys.check(key, HERE)
    assert keys.list() == []
    assert [one.name for one in keys.list(revoked=True)] == ["billing"]
    keys.create("billing", actor="bob")
    keys.revoke("billing", actor="bob")
    with pytest.raises(UnknownKeyError):
        keys.revoke("billing", actor="bob")


def test_a_key_expires(keys: ApiKeys, clock: Clock) -> None:
    key = keys.create("batch", actor="bob", lifetime=timedelta(days=1))
    clock.advance(timedelta(hours=23))
    keys.check(key, HERE)
    clock.advance(timedelta(hours=1))
    with pytest.raises(BadKeyError):
        keys.check(key, HERE)


def test_a_key_stops_with_its_owners_account(keys: ApiKeys, database: Database, log: Log) -> None:
    accounts = Accounts(database, log.client)
    accounts.create("ada", ["operator"], actor="bob")
    key = keys.create("batch", actor="bob", owner="Ada")
    assert keys.check(key, HERE).owner == "ada"
    accounts.disable("ada", actor="bob")
    with pytest.raises(BadKeyError):
        keys.check(key, HERE)


def test_the_last_use_is_kept_to_the_minute(keys: ApiKeys, clock: Clock) -> None:
    key = keys.create("batch", actor="bob")
    assert keys.list()[0].used_at is None
    keys.check(key, HERE)
    first = clock.now
    clock.advance(timedelta(seconds=59))
    keys.check(key, HERE)
    assert keys.list()[0].used_at == first
    clock.advance(timedelta(seconds=1))
    keys.check(key, HERE)
    assert keys.list()[0].used_at == clock.now


def test_wrong_names_and_owners_are_refused(keys: ApiKeys) -> None:
    keys.create("billing", actor="bob")
    with pytest.raises(KeyExistsError):
        keys.create("Billing", actor="bob")
    with pytest.raises(BadNameError):
        keys.create("a b", actor="bob")
    with pytest.raises(UnknownAccountError):
        keys.create("batch", actor="bob", owner="nobody")


def test_without_the_log_no_key_is_made_or_revoked(
    keys: ApiKeys, database: Database, no_log: AuditClient
) -> None:
    key = keys.create("billing", actor="bob")
    dark = ApiKeys(database, no_log)
    with pytest.raises(LogUnavailableError):
        dark.create("eve", actor="eve")
    with pytest.raises(LogUnavailableError):
        dark.revoke("billing", actor="eve")
    assert [one.name for one in keys.list()] == ["billing"]
    assert keys.check(key, HERE).name == "billing"
