"""Accounts, roles, sessions and API keys."""

from appliance.identity.accounts import Accounts
from appliance.identity.keys import ApiKeys
from appliance.identity.model import Account, KeyInfo, KeyPrincipal, Session
from appliance.identity.roles import Role
from appliance.identity.sessions import Sessions

__all__ = [
    "Account",
    "Accounts",
    "ApiKeys",
    "KeyInfo",
    "KeyPrincipal",
    "Role",
    "Session",
    "Sessions",
]
