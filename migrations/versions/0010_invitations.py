"""Invitations to make an account."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

ADDRESS = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "invitations",
        sa.Column("host", ADDRESS, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("localpart", ADDRESS, nullable=False),
        sa.Column("contact", ADDRESS, nullable=False),
        sa.Column("uses", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("host", "digest"),
    )
    op.create_index("invitations_by_name", "invitations", ["host", "localpart"])
    op.create_index("invitations_by_expiry", "invitations", ["host", "expires_at"])
