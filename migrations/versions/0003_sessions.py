"""Streams that can be resumed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

ADDRESS = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "sessions",
        sa.Column("account", ADDRESS, nullable=False),
        sa.Column("key", sa.LargeBinary, nullable=False),
        sa.Column("handled", sa.BigInteger, nullable=False),
        sa.Column("saved", sa.BigInteger, nullable=False),
        sa.Column("state", sa.LargeBinary),
        sa.ForeignKeyConstraint(["account"], ["accounts.account"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("account", "key"),
    )
    op.create_index("sessions_by_time", "sessions", ["saved"])
    has_state = sa.text("state IS NOT NULL")
    op.create_index("sessions_with_state", "sessions", ["account"], postgresql_where=has_state, sqlite_where=has_state)
