"""Accounts, rosters, blocklists, waiting messages, last activity, reports, secrets."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
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
        "accounts",
        sa.Column("account", ADDRESS, nullable=False),
        sa.Column("host", ADDRESS, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("last_login", sa.BigInteger),
        sa.Column("disabled", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("account"),
        sqlite_with_rowid=False,
    )
    op.create_index("accounts_by_host", "accounts", ["host", "account"])
    op.create_table(
        "verifiers",
        *owner(),
        sa.Column("hash", sa.Text, nullable=False),
        sa.Column("salt", sa.LargeBinary, nullable=False),
        sa.Column("iterations", sa.BigInteger, nullable=False),
        sa.Column("stored_key", sa.LargeBinary, nullable=False),
        sa.Column("server_key", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("account", "hash"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "counters",
        *owner(),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("value", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("account", "name"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "roster",
        *owner(),
        sa.Column("jid", ADDRESS, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("subscription", sa.Text, nullable=False),
        sa.Column("ask", sa.Boolean, nullable=False),
        sa.Column("approved", sa.Boolean, nullable=False),
        sa.Column("listed", sa.Boolean, nullable=False),
        sa.Column("pending_in", sa.LargeBinary),
        sa.Column("groups", sa.Text, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("account", "jid"),
        sqlite_with_rowid=False,
    )
    op.create_index("roster_by_contact", "roster", ["jid", "account", "subscription", "listed"])
    op.create_table(
        "blocks",
        *owner(),
        sa.Column("jid", ADDRESS, nullable=False),
        sa.PrimaryKeyConstraint("account", "jid"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "inbox",
        *owner(),
        sa.Column("id", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("sender", ADDRESS, nullable=False),
        sa.Column("stanza", sa.LargeBinary, nullable=False),
        sa.Column("received", sa.BigInteger, nullable=False),
        sa.Column("expires", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("account", "id"),
    )
    op.create_index("inbox_by_expiry", "inbox", ["expires"])
    op.create_table(
        "last_activity",
        *owner(),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("account"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "reports",
        *owner(),
        sa.Column("id", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("reported", ADDRESS, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("stanza_ids", sa.Text, nullable=False),
        sa.Column("received", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("account", "id"),
    )
    op.create_index("reports_by_time", "reports", ["received"])
    op.create_table(
        "secrets",
        sa.Column("host", ADDRESS, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("value", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("host", "name"),
        sqlite_with_rowid=False,
    )
