"""Invitations that users make: by whom and when, and whether they are to a contact alone."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

ADDRESS = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")


def upgrade() -> None:
    with op.batch_alter_table("invitations") as table:
        table.add_column(sa.Column("inviter", ADDRESS))
        table.add_column(sa.Column("made_at", sa.BigInteger))
        table.add_column(sa.Column("contact_only", sa.Boolean))
        table.create_foreign_key("invitations_inviter_fkey", "accounts", ["inviter"], ["account"], ondelete="CASCADE")
        table.create_index("invitations_by_inviter", ["inviter", "made_at"])
