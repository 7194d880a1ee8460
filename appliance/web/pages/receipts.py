"""Receipts of one's own answers: a list, a page for print, a file."""

from __future__ import annotations

import json
from typing import Final

from flask import Blueprint, Response, render_template
from werkzeug.exceptions import NotFound

from appliance.web.access import signed_in
from appliance.web.receipts import KEEP, TaskReceipt
from appliance.web.services import services
from appliance.web.session import account

blueprint = Blueprint("receipts", __name__)
_SHOWN: Final = 50


@blueprint.get("/receipts")
@signed_in
def latest() -> str:
    """The last receipts of who is signed in."""
    return render_template(
        "pages/receipts.html",
        receipts=services().receipts.latest(account().id, _SHOWN),
        titles={task.name: task.title for task in services().tasks},
        shown=_SHOWN,
        days=KEEP.days,
    )


@blueprint.get("/receipts/<record_id>")
@signed_in
def show(record_id: str) -> str:
    """One receipt with everything in it, for reading and for print."""
    return render_template("pages/receipt.html", receipt=_own(record_id))


@blueprint.get("/receipts/<record_id>.json")
@signed_in
def download(record_id: str) -> Response:
    """One receipt as a file."""
    receipt = _own(record_id)
    text = json.dumps(receipt.body(), indent=2) + "\n"
    response = Response(text, mimetype="application/json")
    file = f"receipt-{receipt.record_id}.json"
    response.headers["Content-Disposition"] = f'attachment; filename="{file}"'
    return response


def _own(record_id: str) -> TaskReceipt:
    receipt = services().receipts.get(record_id, account().id)
    if receipt is None:
        raise NotFound
    return receipt
