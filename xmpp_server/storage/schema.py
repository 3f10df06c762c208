"""What the tables have in common; each stands beside the repository that uses it.

Every table leads with its owner, mostly the bare address of an account as text: it is what a distributed PostgreSQL
shards by, and with the account its rows go, by the foreign key.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Column, ForeignKey, MetaData, Text
from sqlalchemy.dialects.postgresql import TEXT

metadata: Final = MetaData()

Address: Final = Text().with_variant(TEXT(collation="C"), "postgresql")
"""Addresses and other keys: compared by bytes, so that order is the same everywhere, and no index is of a locale."""


def owner() -> Column[Any]:
    """The account that a row belongs to; the row goes with it."""
    return Column("account", Address, ForeignKey("accounts.account", ondelete="CASCADE"), primary_key=True)
