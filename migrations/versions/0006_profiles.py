"""vCards, private XML storage, and what clients can do."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

ADDRESS = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "vcards",
        sa.Column("account", ADDRESS, nullable=False),
        sa.Column("vcard", sa.LargeBinary, nullable=False),
        sa.Column("photo", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(["account"], ["accounts.account"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("account"),
    )
    op.create_table(
        "private_xml",
        sa.Column("account", ADDRESS, nullable=False),
        sa.Column("name", ADDRESS, nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
        sa.ForeignKeyConstraint(["account"], ["accounts.account"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("account", "name"),
    )
    op.create_table(
        "capabilities",
        sa.Column("host", ADDRESS, nullable=False),
        sa.Column("hash", ADDRESS, nullable=False),
        sa.Column("ver", ADDRESS, nullable=False),
        sa.Column("info", sa.LargeBinary, nullable=False),
        sa.Column("seen", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("host", "hash", "ver"),
    )
    op.create_index("capabilities_by_time", "capabilities", ["host", "seen"])
