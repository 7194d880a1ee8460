"""Receipts: which account asked which record id, and the proof of the answer; no text."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from appliance.database.tables import UtcDateTime

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the table of receipts."""
    op.create_table(
        "receipts",
        sa.Column("record_id", sa.String(36), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("body", sa.JSON(none_as_null=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["accounts.id"],
            name=op.f("fk_receipts_account_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("record_id", name=op.f("pk_receipts")),
    )
    op.create_index(op.f("ix_receipts_account_id"), "receipts", ["account_id"])
    op.create_index(op.f("ix_receipts_created_at"), "receipts", ["created_at"])
