"""The form that changes a password: on the first sign-in and on the account's page."""

from __future__ import annotations

from dataclasses import dataclass, field

from flask import request

from appliance.identity import Session
from appliance.identity.errors import BadCredentialsError, LockedOutError, WeakPasswordError
from appliance.identity.passwords import MIN_LENGTH
from appliance.web.client import address
from appliance.web.services import services
from appliance.web.session import account
from appliance.web.words import wait_of

PASSWORD_RULE = (
    f"At least {MIN_LENGTH} characters. Several words that do not belong together are fine; "
    "no digits or signs are asked for."
)


@dataclass(frozen=True)
class PasswordChange:
    """How it went: the new session, or what is wrong with which field."""

    session: Session | None = None
    errors: dict[str, str] = field(default_factory=dict)


def change_own_password() -> PasswordChange:
    """Change the password of who is signed in to what the form holds.

    All sessions of the account end; the one returned belongs to this browser.
    """
    old, new = request.form.get("current", ""), request.form.get("new", "")
    if new != request.form.get("again", ""):
        return PasswordChange(errors={"again": "The two new passwords differ; type both again."})
    try:
        changed = services().accounts.change_password(account(), old, new, address())
    except BadCredentialsError:
        return PasswordChange(errors={"current": "This is not your current password."})
    except LockedOutError as error:
        wait = wait_of(error.retry_after)
        return PasswordChange(errors={"current": f"Too many wrong tries. Try again in {wait}."})
    except WeakPasswordError as error:
        return PasswordChange(errors={"new": str(error)})
    return PasswordChange(services().sessions.open(changed, address()))
