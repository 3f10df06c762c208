"""For how long the archive of an account is kept: by the kind of the account, or for it alone."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("accounts", sa.Column("kind", sa.Text))
    op.add_column("accounts", sa.Column("archive_days", sa.BigInteger))
