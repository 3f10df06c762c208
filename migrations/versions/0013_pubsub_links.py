"""Collections of publish-subscribe."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

ADDRESS = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")
NODE = ["pubsub_nodes.owner", "pubsub_nodes.node"]


def upgrade() -> None:
    op.create_table(
        "pubsub_links",
        sa.Column("owner", ADDRESS, nullable=False),
        sa.Column("node", ADDRESS, nullable=False),
        sa.Column("collection", ADDRESS, nullable=False),
        sa.PrimaryKeyConstraint("owner", "node", "collection"),
        sa.ForeignKeyConstraint(["owner", "node"], NODE, ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["owner", "collection"], NODE, ondelete="CASCADE"),
        sqlite_with_rowid=False,
    )
    op.create_index("pubsub_links_by_collection", "pubsub_links", ["owner", "collection"])
