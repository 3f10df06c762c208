"""Publish-subscribe: nodes, their items, subscriptions and affiliations."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

ADDRESS = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")


def of_node() -> list[sa.Column | sa.ForeignKeyConstraint]:
    return [
        sa.Column("owner", ADDRESS, nullable=False),
        sa.Column("node", ADDRESS, nullable=False),
        sa.ForeignKeyConstraint(["owner", "node"], ["pubsub_nodes.owner", "pubsub_nodes.node"], ondelete="CASCADE"),
    ]


def upgrade() -> None:
    op.create_table(
        "pubsub_nodes",
        sa.Column("owner", ADDRESS, nullable=False),
        sa.Column("node", ADDRESS, nullable=False),
        sa.Column("config", sa.LargeBinary, nullable=False),
        sa.Column("last", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("owner", "node"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "pubsub_items",
        *of_node(),
        sa.Column("item", ADDRESS, nullable=False),
        sa.Column("n", sa.BigInteger, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("publisher", ADDRESS, nullable=False),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("owner", "node", "item"),
    )
    op.create_index("pubsub_items_by_order", "pubsub_items", ["owner", "node", "n"])
    op.create_table(
        "pubsub_subscriptions",
        *of_node(),
        sa.Column("jid", ADDRESS, nullable=False),
        sa.Column("subid", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("options", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("owner", "node", "jid"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "pubsub_affiliations",
        *of_node(),
        sa.Column("jid", ADDRESS, nullable=False),
        sa.Column("affiliation", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("owner", "node", "jid"),
        sqlite_with_rowid=False,
    )
