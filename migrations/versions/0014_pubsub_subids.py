"""An address may have several subscriptions at a node."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

ADDRESS = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")
TABLE = "pubsub_subscriptions"
KEY = ["owner", "node", "jid", "subid"]


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        with op.batch_alter_table(TABLE, recreate="always", copy_from=rebuilt()):
            return
    op.drop_constraint(f"{TABLE}_pkey", TABLE, type_="primary")
    op.alter_column(TABLE, "subid", type_=ADDRESS)
    op.create_primary_key(f"{TABLE}_pkey", TABLE, KEY)


def rebuilt() -> sa.Table:
    """SQLite keeps no other key in a table: it is made anew, and filled from the old one."""
    return sa.Table(
        TABLE,
        sa.MetaData(),
        sa.Column("owner", ADDRESS, nullable=False),
        sa.Column("node", ADDRESS, nullable=False),
        sa.Column("jid", ADDRESS, nullable=False),
        sa.Column("subid", ADDRESS, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("options", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint(*KEY),
        sa.ForeignKeyConstraint(["owner", "node"], ["pubsub_nodes.owner", "pubsub_nodes.node"], ondelete="CASCADE"),
        sa.Index("pubsub_subscriptions_by_subscriber", "owner", "jid"),
        sqlite_with_rowid=False,
    )
