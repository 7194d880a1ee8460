"""What can go wrong with accounts, sessions and keys."""

from __future__ import annotations


class IdentityError(Exception):
    """Something about an account, a session or a key is refused."""


class BadCredentialsError(IdentityError):
    """Name and password do not belong together, or there is no such account."""

    def __init__(self) -> None:
        """Say the same for a wrong name as for a wrong password."""
        super().__init__("Name or password is wrong. Ask an administrator for a new password.")


class LockedOutError(IdentityError):
    """Too many failed sign-ins with this name from this address."""

    def __init__(self, retry_after: int) -> None:
        """`retry_after` is in seconds."""
        self.retry_after = retry_after
        super().__init__(
            "Too many failed sign-ins with this name from this address. "
            f"Try again in {retry_after} seconds, or ask an administrator to reset the password."
        )


class DisabledError(IdentityError):
    """The password is right, but the account was disabled."""

    def __init__(self) -> None:
        """Name who can help."""
        super().__init__("This account is disabled. Ask an administrator to enable it.")


class WeakPasswordError(IdentityError):
    """The new password breaks a rule of the password policy; the message says which."""


class RoleConflictError(IdentityError):
    """An account would be both admin and officer, or have no role at all."""


class AccountExistsError(IdentityError):
    """There is an account with this name already."""

    def __init__(self, name: str) -> None:
        """`name` is the account's."""
        super().__init__(f"There is an account named {name!r} already; choose another name.")


class UnknownAccountError(IdentityError):
    """There is no account with this name."""

    def __init__(self, name: str) -> None:
        """`name` is what was asked for."""
        super().__init__(f"There is no account named {name!r}; `cloister user list` shows all.")


class BadNameError(IdentityError):
    """A name of an account or key has characters that it may not have."""

    def __init__(self, name: str) -> None:
        """`name` is what was asked for."""
        super().__init__(
            f"{name[:64]!r} can not be a name: use 1 to 64 lower-case letters, digits, dots, "
            "dashes, underscores or @, and begin with a letter or digit."
        )


class LastAdminError(IdentityError):
    """The change would leave no administrator who can sign in."""

    def __init__(self, name: str) -> None:
        """`name` is the account's."""
        super().__init__(
            f"{name!r} is the last administrator who can sign in; make another one first."
        )


class KeyExistsError(IdentityError):
    """There is a live key with this name already."""

    def __init__(self, name: str) -> None:
        """`name` is the key's."""
        super().__init__(
            f"There is a key named {name!r} already; revoke it or choose another name."
        )


class UnknownKeyError(IdentityError):
    """There is no live key with this prefix or name."""

    def __init__(self, key: str) -> None:
        """`key` is a prefix or name, never a secret."""
        super().__init__(f"There is no live key {key!r}; `cloister key list` shows all.")


class BadKeyError(IdentityError):
    """The key that a request came with is unknown, revoked, expired, or its owner is disabled."""

    def __init__(self, record_id: str) -> None:
        """Say the same for all causes; the record of this id holds which it was."""
        self.record_id = record_id
        super().__init__(
            "The API key is not valid here. Ask an administrator for a new one "
            "(`cloister key add NAME`)."
        )
