"""Subscriptions and affiliations of publish-subscribe are found by who has them."""

from __future__ import annotations

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("pubsub_subscriptions_by_subscriber", "pubsub_subscriptions", ["owner", "jid"])
    op.create_index("pubsub_affiliations_by_affiliate", "pubsub_affiliations", ["owner", "jid", "affiliation"])
