"""Rooms."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

ADDRESS = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")


def room() -> list[sa.Column | sa.ForeignKeyConstraint]:
    return [
        sa.Column("room", ADDRESS, nullable=False),
        sa.ForeignKeyConstraint(["room"], ["rooms.room"], ondelete="CASCADE"),
    ]


def upgrade() -> None:
    op.create_table(
        "rooms",
        sa.Column("room", ADDRESS, nullable=False),
        sa.Column("domain", ADDRESS, nullable=False),
        sa.Column("public", sa.Boolean, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("state", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("room"),
    )
    op.create_index("rooms_by_domain", "rooms", ["domain", "room"])
    op.create_table(
        "room_affiliations",
        *room(),
        sa.Column("account", ADDRESS, nullable=False),
        sa.Column("affiliation", sa.BigInteger, nullable=False),
        sa.Column("nick", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("room", "account"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "room_cursors",
        *room(),
        sa.Column("account", ADDRESS, nullable=False),
        sa.Column("resource", ADDRESS, nullable=False),
        sa.Column("n", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("room", "account", "resource"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "room_occupants", *room(), sa.Column("state", sa.LargeBinary, nullable=False), sa.PrimaryKeyConstraint("room")
    )
    op.create_table(
        "room_log",
        *room(),
        sa.Column("n", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("peer", ADDRESS, nullable=False),
        sa.Column("resource", ADDRESS, nullable=False),
        sa.Column("mark", sa.BigInteger),
        sa.Column("stanza", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("room", "n"),
    )
    op.create_index("room_log_by_peer", "room_log", ["room", "peer", "n"])
    with_resource = sa.text("resource <> ''")
    op.create_index(
        "room_log_by_resource",
        "room_log",
        ["room", "peer", "resource", "n"],
        sqlite_where=with_resource,
        postgresql_where=with_resource,
    )
    op.create_index("room_log_by_mark", "room_log", ["room", "mark", "n"])
