"""Making, changing and signing in with accounts; each with its record, or not at all."""

from __future__ import annotations

from datetime import timedelta

import pytest

from appliance.database import Database
from appliance.identity import Account, Accounts, Role, Sessions
from appliance.identity.errors import (
    AccountExistsError,
    BadCredentialsError,
    BadNameError,
    DisabledError,
    IdentityError,
    LastAdminError,
    LockedOutError,
    RoleConflictError,
    UnknownAccountError,
    WeakPasswordError,
)
from audit.client import AuditClient
from audit.errors import LogUnavailableError
from tests.unit.identity.conftest import Clock, Log

pytestmark = pytest.mark.usefixtures("cheap_hashes")

HERE = "10.0.0.1"
CHOSEN = "nine green bottles"


@pytest.fixture
def accounts(database: Database, log: Log, clock: Clock) -> Accounts:
    return Accounts(database, log.client, clock)


def make(accounts: Accounts, name: str = "ada", *roles: str) -> str:
    return accounts.create(name, roles or ["user"], actor="cli:root")


def test_a_new_account_signs_in_once_and_must_change_its_password(
    accounts: Accounts, log: Log
) -> None:
    first = make(accounts, "Ada ")
    account = accounts.authenticate(" ADA", first, HERE)
    assert (account.name, account.roles, account.must_change) == ("ada", {Role.USER}, True)
    changed = accounts.change_password(account, first, CHOSEN, HERE)
    assert not changed.must_change
    assert not accounts.authenticate("ada", CHOSEN, HERE).must_change
    with pytest.raises(BadCredentialsError):
        accounts.authenticate("ada", first, HERE)
    assert log.events() == [
        "identity:account:created",
        "identity:session:opened",
        "identity:password:changed",
        "identity:session:opened",
        "identity:session:refused",
    ]


def test_no_record_holds_a_password_or_an_unknown_name(accounts: Accounts, log: Log) -> None:
    first = make(accounts)
    accounts.authenticate("ada", first, HERE)
    for name, password in (("ada", "guess one two"), ("typed password", "x")):
        with pytest.raises(BadCredentialsError):
            accounts.authenticate(name, password, HERE)
    written = repr(log.records())
    assert "identity:session:refused" in written
    for secret in (first, "guess one two", "typed password"):
        assert secret not in written


@pytest.mark.parametrize("name", ["", "a b", "-a", "ä", "a" * 65, "a\nb", "../a"])
def test_a_name_with_other_characters_is_refused(accounts: Accounts, name: str) -> None:
    with pytest.raises(BadNameError):
        make(accounts, name)


def test_an_account_can_not_be_admin_and_officer(accounts: Accounts) -> None:
    with pytest.raises(RoleConflictError):
        make(accounts, "ada", "admin", "officer")
    make(accounts, "bob", "admin")
    make(accounts, "ada", "officer")
    with pytest.raises(RoleConflictError):
        accounts.set_roles("ada", ["officer", "admin"], actor="bob")
    assert accounts.get("ada").roles == {Role.OFFICER}


def test_a_name_is_given_once(accounts: Accounts) -> None:
    make(accounts)
    with pytest.raises(AccountExistsError):
        make(accounts, "ADA")


def test_a_weak_first_password_is_refused(accounts: Accounts) -> None:
    with pytest.raises(WeakPasswordError):
        accounts.create("ada", ["user"], "password", actor="cli:root")
    assert accounts.list() == []


def test_five_failures_lock_the_pair_out_and_the_right_password_does_not_help(
    accounts: Accounts, clock: Clock, log: Log
) -> None:
    first = make(accounts)
    for _ in range(5):
        with pytest.raises(BadCredentialsError):
            accounts.authenticate("ada", "wrong password", HERE)
    with pytest.raises(LockedOutError) as caught:
        accounts.authenticate("ada", first, HERE)
    assert caught.value.retry_after == 30
    assert accounts.authenticate("ada", first, "10.0.0.2").name == "ada"
    clock.advance(timedelta(seconds=30))
    assert accounts.authenticate("ada", first, HERE).name == "ada"
    reasons = [record.meta.get("reason") for record in log.records()]
    assert reasons.count("locked_out") == 1


def test_a_right_password_forgets_the_failures_before(accounts: Accounts) -> None:
    first = make(accounts)
    for _ in range(2):
        for _ in range(4):
            with pytest.raises(BadCredentialsError):
                accounts.authenticate("ada", "wrong password", HERE)
        accounts.authenticate("ada", first, HERE)


def test_unknown_names_are_locked_out_like_known_ones(accounts: Accounts) -> None:
    for _ in range(5):
        with pytest.raises(BadCredentialsError):
            accounts.authenticate("nobody", "wrong password", HERE)
    with pytest.raises(LockedOutError):
        accounts.authenticate("nobody", "wrong password", HERE)


def test_guessing_the_old_password_is_slowed_down_too(accounts: Accounts) -> None:
    account = accounts.authenticate("ada", make(accounts), HERE)
    for _ in range(5):
        with pytest.raises(BadCredentialsError):
            accounts.change_password(account, "wrong password", CHOSEN, HERE)
    with pytest.raises(LockedOutError):
        accounts.change_password(account, "wrong password", CHOSEN, HERE)


def test_changing_or_resetting_a_password_ends_all_sessions(
    accounts: Accounts, database: Database, log: Log, clock: Clock
) -> None:
    sessions = Sessions(database, log.client, timedelta(hours=1), timedelta(hours=9), clock)
    first = make(accounts)
    account = accounts.authenticate("ada", first, HERE)
    before = sessions.open(account, HERE)
    changed = accounts.change_password(account, first, CHOSEN, HERE)
    assert sessions.check(before.token) is None
    after = sessions.open(changed, HERE)
    one_time = accounts.reset("ada", actor="bob")
    assert sessions.check(after.token) is None
    assert accounts.authenticate("ada", one_time, HERE).must_change


def test_a_disabled_account_is_told_so_only_with_the_right_password(accounts: Accounts) -> None:
    first = make(accounts)
    accounts.disable("ada", actor="bob")
    assert accounts.get("ada").disabled
    with pytest.raises(BadCredentialsError):
        accounts.authenticate("ada", "wrong password", HERE)
    with pytest.raises(DisabledError):
        accounts.authenticate("ada", first, HERE)
    accounts.enable("ada", actor="bob")
    assert accounts.authenticate("ada", first, HERE).name == "ada"


def test_the_last_administrator_stays(accounts: Accounts) -> None:
    make(accounts, "ada", "admin")
    for change in (
        lambda: accounts.disable("ada", actor="ada"),
        lambda: accounts.set_roles("ada", ["user"], actor="ada"),
    ):
        with pytest.raises(LastAdminError):
            change()
    make(accounts, "bob", "admin")
    accounts.disable("ada", actor="bob")
    with pytest.raises(LastAdminError):
        accounts.set_roles("bob", ["officer"], actor="bob")


def test_an_unknown_account_is_named(accounts: Accounts) -> None:
    for change in (accounts.disable, accounts.enable, accounts.reset):
        with pytest.raises(UnknownAccountError, match="'nobody'"):
            change("nobody", actor="bob")


def test_without_the_log_nobody_signs_in_and_nothing_changes(
    accounts: Accounts, database: Database, no_log: AuditClient
) -> None:
    first = make(accounts)
    make(accounts, "boss", "admin")
    account = accounts.get("ada")
    before = accounts.list()
    dark = Accounts(database, no_log)
    for act in (
        lambda: dark.create("eve", ["admin"], actor="eve"),
        lambda: dark.authenticate("ada", first, HERE),
        lambda: dark.change_password(account, first, CHOSEN, HERE),
        lambda: dark.reset("ada", actor="eve"),
        lambda: dark.disable("ada", actor="eve"),
        lambda: dark.set_roles("ada", ["admin"], actor="eve"),
    ):
        with pytest.raises(LogUnavailableError):
            act()
    assert accounts.list() == before
    assert accounts.authenticate("ada", first, HERE).must_change


def test_errors_have_a_remedy_and_an_account_shows_no_hash(accounts: Accounts) -> None:
    make(accounts)
    account: Account = accounts.get("ada")
    assert "argon2" not in repr(account)
    for error in (BadCredentialsError(), DisabledError(), LockedOutError(30)):
        assert isinstance(error, IdentityError)
        assert "sk an administrator" in str(error)
