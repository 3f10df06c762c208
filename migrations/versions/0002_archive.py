"""Message archives."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

ADDRESS = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")


def owner() -> list[sa.Column | sa.ForeignKeyConstraint]:
    return [
        sa.Column("account", ADDRESS, nullable=False),
        sa.ForeignKeyConstraint(["account"], ["accounts.account"], ondelete="CASCADE"),
    ]


def upgrade() -> None:
    op.create_table(
        "archive",
        *owner(),
        sa.Column("n", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("peer", ADDRESS, nullable=False),
        sa.Column("resource", ADDRESS, nullable=False),
        sa.Column("mark", sa.BigInteger),
        sa.Column("stanza", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("account", "n"),
    )
    op.create_index("archive_by_peer", "archive", ["account", "peer", "n"])
    with_resource = sa.text("resource <> ''")
    op.create_index(
        "archive_by_resource",
        "archive",
        ["account", "peer", "resource", "n"],
        sqlite_where=with_resource,
        postgresql_where=with_resource,
    )
    op.create_index("archive_by_mark", "archive", ["account", "mark", "n"])
    op.create_table(
        "archive_preferences",
        *owner(),
        sa.Column("default", sa.Text, nullable=False),
        sa.Column("always", sa.Text, nullable=False),
        sa.Column("never", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("account"),
        sqlite_with_rowid=False,
    )
