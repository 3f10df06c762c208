"""What a retraction finds a waiting message by (XEP-0424)."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("inbox", sa.Column("mark", sa.BigInteger))
    has_mark = sa.text("mark IS NOT NULL")
    op.create_index(
        "inbox_by_mark", "inbox", ["account", "mark", "id"], postgresql_where=has_mark, sqlite_where=has_mark
    )
