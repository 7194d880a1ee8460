"""Passwords: how they are stored, and which are refused."""

from __future__ import annotations

import secrets
import threading
import unicodedata
from functools import cache
from importlib import resources

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from appliance.identity.errors import WeakPasswordError

MIN_LENGTH = 12  # characters
MAX_LENGTH = 256  # characters; bounds the work of the hash, far above any passphrase

# RFC 9106, section 4, second recommended option: 64 MiB, three passes, four lanes.
_MEMORY_KIB = 64 * 1024
_PASSES = 3
_LANES = 4
_SALT_BYTES = 16
_HASH_BYTES = 32

# A burst of sign-ins may not take more than 2 * 64 MiB of a worker, nor all of its cores.
_turns = threading.BoundedSemaphore(2)

# No letters or digits that look alike: people copy the first password from a terminal.
_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"
_GROUPS, _GROUP_LENGTH = 4, 5


def new_password() -> str:
    """A random one-time password of 100 bits, in groups that can be read aloud."""
    groups = (
        "".join(secrets.choice(_ALPHABET) for _ in range(_GROUP_LENGTH)) for _ in range(_GROUPS)
    )
    return "-".join(groups)


def hash_password(password: str) -> str:
    """The password's Argon2id hash in PHC form (RFC 9106), with a fresh salt."""
    hasher = Argon2id(
        salt=secrets.token_bytes(_SALT_BYTES),
        length=_HASH_BYTES,
        iterations=_PASSES,
        lanes=_LANES,
        memory_cost=_MEMORY_KIB,
    )
    with _turns:
        return hasher.derive_phc_encoded(_bytes(password))


def verify_password(password: str, stored: str | None) -> bool:
    """Whether `password` belongs to the stored PHC hash.

    Without a stored hash it does the same work and says no, so that the time of the answer does
    not tell which names have an account.
    """
    encoded = _nobody() if stored is None else stored
    # Longer input can not have been set; the hash of the cut text differs from any stored one.
    with _turns:
        try:
            Argon2id.verify_phc_encoded(_bytes(password[: MAX_LENGTH + 1]), encoded)
        except InvalidKey:
            return False
    return stored is not None


def check_policy(password: str, name: str, old: str | None = None) -> None:
    """Refuse a password that is too easy to guess.

    The rules are those of NIST SP 800-63B-4, section 3.1.1: a minimum length, a list of common
    passwords, nothing taken from the account's name; no rules on kinds of characters.

    Args:
        password: The wanted password.
        name: The account's name.
        old: The password until now, where it is known.

    Raises:
        WeakPasswordError: Says which rule is broken.
    """
    wanted = _normal(password)
    plain = wanted.casefold()
    if len(wanted) < MIN_LENGTH:
        raise WeakPasswordError(f"Use at least {MIN_LENGTH} characters; several words are fine.")
    if len(wanted) > MAX_LENGTH:
        raise WeakPasswordError(f"Use at most {MAX_LENGTH} characters.")
    if old is not None and wanted == _normal(old):
        raise WeakPasswordError("The new password is the old one; choose another.")
    if _too_close(plain, name.casefold()):
        raise WeakPasswordError("The password is built from the account's name; choose another.")
    if _common(plain):
        raise WeakPasswordError("This password is on a list of common ones; choose another.")


def _too_close(plain: str, name: str) -> bool:
    rest = plain.replace(name, "").strip("0123456789.,-_!?*#$ ") if name else plain
    return name in plain and len(rest) < MIN_LENGTH // 2


def _common(plain: str) -> bool:
    if len(set(plain)) < 4:
        return True
    core = plain.replace(" ", "").rstrip("0123456789!.?*#$-_")
    return any(core == word or plain == word or _repeats(core, word) for word in _common_words())


def _repeats(text: str, word: str) -> bool:
    return bool(word) and text == word * (len(text) // len(word)) and len(text) > len(word)


@cache
def _common_words() -> frozenset[str]:
    text = resources.files("appliance.identity").joinpath("common_passwords.txt").read_text("utf-8")
    return frozenset(line for line in text.split() if line)


@cache
def _nobody() -> str:
    return hash_password(secrets.token_urlsafe(32))


def _normal(password: str) -> str:
    # The same characters typed on another keyboard may come in another form (800-63B, NFKC).
    return unicodedata.normalize("NFKC", password)


def _bytes(password: str) -> bytes:
    return _normal(password).encode("utf-8", "surrogatepass")
