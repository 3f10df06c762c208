"""What can go wrong below a repository. Exceptions of a database driver never leave the package."""

from __future__ import annotations


class StorageError(Exception):
    """Something that the database refused; the base of all errors of this package."""


class Unavailable(StorageError):  # noqa: N818
    """The database is away, locked, full or overloaded; later it may work again.

    Whether a write that ended so took effect is unknown only if the connection was lost while it was being committed.
    """


class DatabaseClosed(Unavailable):
    """The server is stopping: the database was closed."""


class Interrupted(StorageError):  # noqa: N818
    """The database gave this transaction up for the sake of another one; it is tried again."""


class NoSuchAccount(StorageError):  # noqa: N818
    """A row would belong to an account that does not exist, or does not any more."""


class AccountExists(StorageError):  # noqa: N818
    """The name is taken."""


class NoSuchInvitation(StorageError):  # noqa: N818
    """The invitation is not there any more."""


class QuotaExceeded(StorageError):  # noqa: N818
    """The owner keeps as many rows of this kind as it may."""
