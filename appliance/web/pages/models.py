"""Models on this appliance, how they stand, and how they run now."""

from __future__ import annotations

from typing import Final

from flask import Blueprint, Response, make_response, render_template

from appliance.identity import Role
from appliance.web import state
from appliance.web.access import needs
from appliance.web.board import Board, board

blueprint = Blueprint("models", __name__)

_EVERY_SECONDS: Final = 3
_AWAY_SECONDS: Final = 10


@blueprint.get("/models")
@needs(Role.OPERATOR, Role.ADMIN)
def show() -> str:
    """Every model with its state; says so where the engine does not answer."""
    return render_template(
        "pages/models.html",
        models=state.model_list(),
        board=_board(),
        every=_EVERY_SECONDS,
    )


@blueprint.get("/models/now")
@needs(Role.OPERATOR, Role.ADMIN, background=True)
def now() -> Response:
    """The part of the page that changes; 503 where the engine does not answer."""
    found = _board()
    response = make_response(render_template("parts/board.html", board=found))
    if found is None:
        response.status_code = 503
        response.headers["Retry-After"] = str(_AWAY_SECONDS)
    return response


def _board() -> Board | None:
    found = state.overview()
    return None if found is None else board(found)
