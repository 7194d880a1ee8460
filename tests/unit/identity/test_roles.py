"""Which roles may meet in one account."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.identity import Role
from appliance.identity.errors import RoleConflictError
from appliance.identity.roles import check_roles


@given(st.sets(st.sampled_from(list(Role))))
def test_no_set_of_roles_with_admin_and_officer_is_accepted(roles: set[Role]) -> None:
    conflict = not roles or {Role.ADMIN, Role.OFFICER} <= roles
    if conflict:
        with pytest.raises(RoleConflictError):
            check_roles(roles)
    else:
        assert check_roles(role.value for role in roles) == roles


def test_an_unknown_role_names_those_that_there_are() -> None:
    with pytest.raises(RoleConflictError, match="user, operator, officer, admin"):
        check_roles(["root"])
